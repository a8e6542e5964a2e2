"""The search for leaked secrets during the whole test run.

It learns every token, code, verifier and encrypted reasoning that any simulator of this process issues,
and searches for them in all logs (at DEBUG), in all events that reach the kernel's hooks, in all kernel
errors, in everything that tests print and in what programs show in a terminal. User codes may be printed:
the prompt of a sign-in contains one.
"""

import functools
import logging
import os
import re
import traceback

from amplifier_core.llm_errors import LLMError
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt.simulator import accounts

_MARK = 10
_RUNS = re.compile(rf"[\w.=~-]{{{_MARK},}}")
_USER_CODE = re.compile(r"[A-Z]{4}-[A-Z]{5}")


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
        self.searched = dict.fromkeys(("log", "event", "exception", "output"), 0)
        self._marks = {}

    def learn(self, secret):
        """Search for this secret too from now on."""
        self._marks.update((mark, secret) for mark in _marks(secret) if len(mark) == _MARK)

    def search(self, where, text, test=None):
        """Note the secrets in ``text``, and the test in which they leaked."""
        self.searched[where] += 1
        for secret in set(self._secrets_in(text)):
            if not (where == "output" and _USER_CODE.fullmatch(secret)):
                test = test or os.environ.get("PYTEST_CURRENT_TEST", "between tests").split(" (")[0]
                self.found.append(f"{test}: {secret[:8]}… leaked into the {where}: {text[:200]!r}")

    def stray(self, sentence):
        """Note a secret that reached a service that must never get it."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "between tests").split(" (")[0]
        self.found.append(f"{test}: {sentence}")

    def _secrets_in(self, text):
        for run in _RUNS.findall(text):
            for at in range(len(run) - _MARK + 1):
                if secret := self._marks.get(run[at : at + _MARK]):
                    yield secret

    def emit(self, record):
        """Search a log record, with its arguments and its traceback."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.search("log", f"{record.getMessage()} {record.args!r} {trace}")


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
