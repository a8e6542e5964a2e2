"""Other clients of this backend, each installed into an environment of its own: their requirements differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Name of the module in ``clients``, and what is installed for it.
PEERS = {
    "codex_backend_sdk": "codex-backend-sdk==0.5.9",
    "llm_openai_codex": "llm-openai-codex==0.10.1",
    "codex_auth_helper": "codex-auth-helper==1.10.1",
}


def install(client: str, folder: Path) -> str:
    """Install a peer for the running version of Python; return the path of its interpreter. Needs uv."""
    environment = folder / client
    python = str(environment / "bin" / "python")
    _run("uv", "venv", "--quiet", "--python", sys.executable, str(environment))
    _run("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, PEERS[client])
    return python


def sign_in(home: Path, token: str) -> None:
    """Write the sign-in file of Codex, which these clients use."""
    tokens = {"access_token": token, "refresh_token": "none", "id_token": token, "account_id": "account"}
    stored = {"auth_mode": "chatgpt", "tokens": tokens, "last_refresh": "2026-11-28T00:00:00Z"}
    path = home / ".codex" / "auth.json"
    path.parent.mkdir()
    path.write_text(json.dumps(stored))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
