"""The search for leaked secrets during the whole test run.

It learns every token, code, verifier and encrypted reasoning that any simulator of this process issues,
and searches for them in all logs (at DEBUG), in all events that reach the kernel's hooks, in all kernel
errors, in everything that tests print, in what programs show in a terminal, and in the files next to a
token file. User codes may be printed: the prompt of a sign-in contains one.

``search_failure`` searches an exception as the most talkative debugger shows it.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import pickle
import re
import traceback
from collections.abc import Mapping

from amplifier_core.llm_errors import LLMError
from amplifier_core.testing import MockCoordinator
from rich.traceback import Traceback

from amplifier_module_provider_openai_chatgpt.simulator import accounts

_MARK = 10
_RUNS = re.compile(rf"[\w.=~-]{{{_MARK},}}")
_USER_CODE = re.compile(r"[A-Z]{4}-[A-Z]{5}")
_DEEPEST = 5
# The simulator's account and person, also as an address spells it.
PERSONAL = (
    "6f1c2a10-0000-4000-8000-000000000001",
    "ada@example.com",
    "Ada%40Example.com",
    "user-simulated",
)
# What the provider writes next to a token file: locks, notes, lists of models. Never the sign-in itself.
NOTES = ("*.lock", ".*.failed", ".*.queue", ".*.login", "*-models-*", "*.corrupt")


def _marks(secret):
    """Yield the random parts that identify a secret, complete or cut: its end, and the part after its prefix.

    All JWTs start the same, and encrypted reasoning of the simulator ends with its text.
    """
    if not secret.startswith("gAAAA"):
        yield secret[-_MARK:]
    if not secret.startswith("eyJ") and len(secret) > 3 * _MARK:
        yield secret[_MARK + 1 : 2 * _MARK + 1]


class Watch(logging.Handler):
    """Searches texts for the secrets it has learnt; also a logging handler."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.found = []
        self.searched = dict.fromkeys(("log", "event", "exception", "output", "stdout", "stderr", "file"), 0)
        self._marks = {}
        self._names = set()

    def learn(self, secret):
        """Search for this secret too from now on."""
        self._marks.update((mark, secret) for mark in _marks(secret) if len(mark) == _MARK)

    def learn_name(self, name):
        """Search for the whole of what names a person or an account from now on."""
        self._names.add(name)

    def search(self, where, text, test=None):
        """Note the secrets in ``text``, and the test in which they leaked."""
        self.searched[where] += 1
        for secret in set(self._secrets_in(text)):
            if not (where in {"output", "stdout", "stderr"} and _USER_CODE.fullmatch(secret)):
                test = test or os.environ.get("PYTEST_CURRENT_TEST", "between tests").split(" (")[0]
                self.found.append(f"{test}: {secret[:8]}… leaked into the {where}: {text[:200]!r}")

    def search_failure(self, error):
        """Search an exception and all it was raised from: texts, attributes, pickles and local variables."""
        for one in _chain(error):
            self.search("exception", f"{one!s} {one!r} {one.args!r} {list(_contents(vars(one)))}")
            with contextlib.suppress(Exception):
                self.search("exception", pickle.dumps(one).decode("latin-1"))
        self.search("exception", _with_locals(error))

    def search_files(self, folder, test=None):
        """Search the files that the provider writes next to its token file."""
        for pattern in NOTES:
            for path in folder.rglob(pattern):
                if path.is_file() and not path.is_symlink():
                    self.search("file", f"{path.name} {path.read_bytes().decode('latin-1')}", test)

    def stray(self, sentence):
        """Note a secret that reached a service that must never get it."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "between tests").split(" (")[0]
        self.found.append(f"{test}: {sentence}")

    def _secrets_in(self, text):
        yield from (name for name in self._names if name in text)
        for run in _RUNS.findall(text):
            for at in range(len(run) - _MARK + 1):
                if secret := self._marks.get(run[at : at + _MARK]):
                    yield secret

    def emit(self, record):
        """Search a log record, with its arguments and its traceback."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.search("log", f"{record.getMessage()} {record.args!r} {trace}")


def _chain(error):
    """Return an exception and every cause and context of it, also those that tracebacks leave out."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is known for known in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found


def _contents(value, depth=0):
    """Yield the representations of a value and of all that is in it, whatever its own hides."""
    yield repr(value)
    if depth == _DEEPEST or isinstance(value, str | bytes | type):
        return
    inner = []
    if isinstance(value, Mapping):
        inner += [part for pair in value.items() for part in pair]
    elif isinstance(value, list | tuple | set | frozenset):
        inner += value
    elif dataclasses.is_dataclass(value):
        inner += [getattr(value, field.name) for field in dataclasses.fields(value)]
    with contextlib.suppress(TypeError):
        inner += vars(value).values()
    for part in inner:
        yield from _contents(part, depth + 1)


def _with_locals(error):
    """Return what rich shows of a traceback with local variables; a screen would cut long lines."""
    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=10_000,
        locals_max_string=10_000_000,
    )
    shown = []
    for stack in trace.stacks:
        shown += [stack.exc_type, stack.exc_value]
        for frame in stack.frames:
            shown += [f"{frame.filename}:{frame.lineno}", frame.name]
            shown += [f"{name} = {value}" for name, value in (frame.locals or {}).items()]
    return "\n".join(shown)


watch = Watch()


def surround(watch):
    """Make a watch search everything that leaves the provider in this process.

    That is Python's logging, the kernel's hooks and the kernel's errors. Their behaviour does not change.
    """
    accounts.secret_listeners.append(watch.learn)
    accounts.stray_listeners.append(watch.stray)
    logging.getLogger().addHandler(watch)
    logging.getLogger().setLevel(logging.DEBUG)
    registry = type(MockCoordinator().hooks)
    registry.emit = _watched_emit(watch, registry.emit)
    LLMError.__init__ = _watched_init(watch, LLMError.__init__)


def _watched_emit(watch, emit):
    @functools.wraps(emit)
    def watched(self, event, data, *more):
        watch.search("event", f"{event} {data!r}")
        return emit(self, event, data, *more)

    return watched


def _watched_init(watch, init):
    @functools.wraps(init)
    def watched(self, *given, **options):
        init(self, *given, **options)
        watch.search("exception", f"{self} {self!r} {vars(self)!r}")

    return watched
