"""A renewal in a process of its own, which goes on when the one that asked for it is interrupted or killed.

The order, with its secrets, goes to the process through a pipe, and so does its answer; neither is ever an
argument or an environment variable. The process belongs to a session of its own, so neither Ctrl-C nor a
closing terminal reaches it. It ends after ``oauth`` has ended the request, in a few minutes at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amplifier_core import llm_errors
from pydantic_core import from_json, to_json

from ..secret import Secret
from ..services import CHATGPT_CODEX, Claims
from ..settings import PROVIDER, RENEW_IN_PROCESS
from .failures import RefreshRefusedError, SignInError, kernel_error
from .renewal import Order, Renewal, Renewed, StoreChangedError
from .store import StoreError
from .token_file import token_store
from .tokens import Tokens
from .waiting import announced, silent_issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amplifier_core.llm_errors import LLMError

    from ..services import Service
    from .renewal import Renewer

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main()"
# Windows has no sessions; there these keep Ctrl-C and the console's end away.
_FLAGS = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class Detached:
    """Renews what is in a token file. Where no process can be started, ``otherwise`` renews."""

    def __init__(
        self,
        path: str | Path,
        service: Service,
        otherwise: Renewer,
        ask: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """``ask`` has an order carried out, as ``answer`` does; by default a new process does."""
        self._path = Path(path)
        self._service = service
        self._otherwise = otherwise
        self._ask = ask or in_new_process

    def __call__(self, order: Order) -> Renewed:
        """Renew, and wait for the result; raises what ``Renewal`` raises, or its kernel error."""
        try:
            content = Secret(_to_wire(self._path, self._service, order))
        except ValueError:  # tokens given in code, next to something that JSON cannot hold
            return self._otherwise(order)
        host = urlsplit(self._service.issuer.url).hostname or ""
        with announced(silent_issuer(host)):
            found = json_object(self._ask(content.reveal()))
        if found is None:
            # Whatever the process did: the lock and another look at the store precede any request.
            return self._otherwise(order)
        return _read_answer(found, order.tokens.claims)


def in_new_process(order: bytes, module: str = __name__) -> bytes:
    """Have ``main`` of a module carry out an order in a process of its own.

    Returns nothing where none can be started.
    """
    if not _is_possible():
        return b""
    command = [
        sys.executable,
        "-P",
        "-c",
        _BOOT.format(module),
        json.dumps([entry for entry in sys.path if entry]),
    ]
    try:
        process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=_FLAGS,
        )
        return process.communicate(order)[0]
    except OSError:
        return b""


def json_object(content: bytes) -> Mapping[str, Any] | None:
    """Return the object that an answer holds; None if it cannot be read."""
    try:
        found = from_json(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def error_on_wire(error: LLMError) -> dict[str, Any]:
    """Return a kernel error as fields of an answer."""
    words = {"status_code": error.status_code, "retryable": error.retryable}
    return {"error": type(error).__name__, "text": str(error), "words": words}


def read_error(found: Mapping[str, Any]) -> LLMError:
    """Return the kernel error that is in an answer."""
    error: type[LLMError] = getattr(llm_errors, found["error"])
    return error(found["text"], provider=PROVIDER, **found["words"])


def _is_possible() -> bool:
    """False in a program that was frozen or embeds Python: its executable is not an interpreter."""
    is_python = bool(sys.executable) and Path(sys.executable).stem.lower().startswith(("python", "pypy"))
    return is_python and not getattr(sys, "frozen", False) and os.environ.get(RENEW_IN_PROCESS) != "1"


def _to_wire(path: Path, service: Service, order: Order) -> bytes:
    return to_json(
        {
            "path": str(path),
            "base_url": service.base_url,
            "auth_url": service.issuer.url,
            "client_id": service.issuer.client_id,
            "token_path": service.issuer.token_path,
            "claims": asdict(service.claims),
            "tokens": order.tokens.to_dict(),
            "stored": order.stored and order.stored.to_dict(),
            "patience": order.patience,
        }
    )


def _from_wire(content: bytes) -> tuple[Renewal, Order]:
    found = from_json(content)
    claims = Claims(**found["claims"])
    issuer = replace(
        CHATGPT_CODEX.issuer,
        url=found["auth_url"],
        client_id=found["client_id"],
        token_path=found["token_path"],
    )
    service = replace(CHATGPT_CODEX, base_url=found["base_url"], issuer=issuer, claims=claims)
    stored = Tokens.from_dict(found["stored"], claims) if found["stored"] else None
    order = Order(Tokens.from_dict(found["tokens"], claims), stored, found["patience"])
    return Renewal(token_store(Path(found["path"]), service), service), order


def answer(content: bytes) -> bytes:
    """Carry out an order in this process; returns what its giver understands."""
    renew, order = _from_wire(content)
    try:
        renewed = renew(order)
    except StoreChangedError:
        return to_json({"changed": True})
    except RefreshRefusedError as refusal:
        return to_json({"refused": str(refusal)})
    except (SignInError, StoreError) as failure:
        return to_json(error_on_wire(kernel_error(failure)))
    return to_json(
        {
            "tokens": renewed.tokens.to_dict(),
            "is_settled": renewed.is_settled,
            "problem": renewed.problem,
        }
    )


def _read_answer(found: Mapping[str, Any], claims: Claims) -> Renewed:
    match found:
        case {"changed": True}:
            raise StoreChangedError
        case {"refused": str(why)}:
            raise RefreshRefusedError(why)
        case {"error": str(), "text": str(), "words": dict()}:
            raise read_error(found)
    tokens = Tokens.from_dict(found["tokens"], claims)
    return Renewed(tokens, is_settled=found["is_settled"], problem=found["problem"])


def main() -> None:
    """Carry out the order on stdin, and end."""
    serve(answer)


def serve(carry_out: Callable[[bytes], bytes]) -> None:
    """Answer the order on stdin, and end. The process that gave it may have ended by then."""
    found = carry_out(sys.stdin.buffer.read())
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(found)
        sys.stdout.buffer.flush()
    # amplifier-core's native threads may call into Python while it finalizes.
    os._exit(0)
