"""One run: the server, one interpreter per client, and comparisons between clients."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from . import peers
from .certificate import make_certificate, trust_store
from .streams import prepare
from .worker import digest

ROOT = Path(__file__).parent.parent


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


# Valid for many years.
_CLAIMS = {"exp": 4102444800, "https://api.openai.com/auth": {"chatgpt_account_id": "account"}}
TOKEN = ".".join(map(_part, ({"alg": "none"}, _CLAIMS, {})))
WARM_UP = "small-5"
Result = dict[str, Any]


class WrongAnswerError(Exception):
    """A client misread a stream, so its figures mean nothing."""


@dataclass(frozen=True)
class Job:
    """One function of one client. ``stream`` names the answer it reads, which is checked."""

    client: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: str = ""
    scheme: str = "http"


@dataclass(frozen=True)
class Least:
    """The minimum of several rounds, in seconds and MB: the cost without disturbance by other programs."""

    cpu: float
    wall: float
    peak: float
    rounds: list[Result]


class Program:
    """A child process that answers each JSON line with a JSON line."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: Any = None) -> Any:
        """Send a line, if there is a question, and wait for a line."""
        assert self._process.stdin
        assert self._process.stdout
        if question is not None:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WrongAnswerError(f"{self._process.args!r} ended")
        return json.loads(line)

    def end(self) -> None:
        """Close its input, which ends it."""
        self._process.communicate()


class Bench:
    """What the metrics share: server, clients, environment. ``quick`` runs few rounds."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self._folder = tempfile.TemporaryDirectory()
        self._clients: dict[str, Program] = {}
        self._interpreters: dict[str, str] = {}

    def __enter__(self) -> Self:
        folder = Path(self._folder.name)
        certificate = make_certificate(folder)
        trusted = str(trust_store(folder))
        self._environment = {
            "SSL_CERT_FILE": trusted,
            "REQUESTS_CA_BUNDLE": trusted,
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "",  # an installed package is compiled once
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "OPENAI_CHATGPT_TOKEN_FILE": str(_sign_in(folder, TOKEN)),
            "OPENAI_CHATGPT_AUTH_URL": "http://127.0.0.1:9",
        }
        arguments = [str(certificate)] if certificate else []
        self._server = Program("benchmarks.server", *arguments, environment={})
        self.ports: dict[str, int] = self._server.ask()
        return self

    def __exit__(self, *_: object) -> None:
        for program in (*self._clients.values(), self._server):
            program.end()
        self._folder.cleanup()

    @property
    def has_tls(self) -> bool:
        return "https" in self.ports

    def connections(self) -> int:
        """Return how many connections have carried requests so far."""
        with urlopen(f"http://127.0.0.1:{self.ports['http']}/") as reply:
            return int(reply.read())

    def install_peers(self) -> None:
        """Make the other clients of this backend available."""
        folder = Path(self._folder.name)
        peers.sign_in(folder, TOKEN)
        self._interpreters = {client: peers.install(client, folder) for client in peers.PEERS}

    @property
    def has_peers(self) -> bool:
        return bool(self._interpreters)

    def interpreter(self, client: str) -> str:
        """Return the path of the Python that runs a client."""
        return self._interpreters.get(client, sys.executable)

    def environment(self) -> dict[str, str]:
        """Return the environment of a client: signed in, trusts the server, temporary home directory."""
        return {**os.environ, **self._environment}

    def run(self, job: Job, *, fresh: bool = False) -> Result:
        """Run a job once and check its result; ``fresh`` uses a new, warmed-up interpreter."""
        if fresh:
            self._end(job.client)
            self.run(replace(job, stream=WARM_UP))
        result = self._client(job.client).ask({"name": job.name, "options": self._options(job)})
        _check(job, result)
        return dict(result)

    def _options(self, job: Job) -> dict[str, Any]:
        if not job.stream:
            return dict(job.options)
        return {**job.options, "url": f"{job.scheme}://127.0.0.1:{self.ports[job.scheme]}/{job.stream}"}

    def race(self, jobs: Mapping[str, Job], rounds: int) -> dict[str, Least]:
        """Run all jobs in turns, after one round that is discarded."""
        results: dict[str, list[Result]] = {name: [] for name in jobs}
        for number in range(rounds + 1):
            for name, job in jobs.items():
                result = self.run(job)
                if number:
                    results[name].append(result)
        return {name: _least(rounds) for name, rounds in results.items()}

    def _end(self, name: str) -> None:
        if name in self._clients:
            self._clients.pop(name).end()

    def _client(self, name: str) -> Program:
        if name not in self._clients:
            python = self.interpreter(name)
            self._clients[name] = Program(
                "benchmarks.worker", name, environment=self._environment, python=python
            )
        return self._clients[name]


def _least(rounds: list[Result]) -> Least:
    cpu, wall, peak = (min(result[key] for result in rounds) for key in ("cpu", "wall", "peak"))
    return Least(cpu, wall, peak, rounds)


def _check(job: Job, result: Result) -> None:
    """Compare the client's result with the content of the stream."""
    if "-" not in job.stream:
        return
    stream = prepare(job.stream)
    expected = {
        "events": stream.events,
        "text": digest(stream.text),
        "thinking": digest(stream.thinking),
        "tool_calls": stream.tool_calls,
        "output_tokens": stream.output_tokens,
    }
    wrong = {key: result[key] for key in expected.keys() & result.keys() if result[key] != expected[key]}
    if wrong or "output_tokens" not in result:
        raise WrongAnswerError(f"{job.client} made {wrong} of {job.stream}")


def _sign_in(folder: Path, token: str) -> Path:
    """Write the token file."""
    tokens = {"auth_mode": "oauth", "access_token": token, "refresh_token": "none", "account_id": "account"}
    path = folder / "tokens.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(tokens))
    return path
