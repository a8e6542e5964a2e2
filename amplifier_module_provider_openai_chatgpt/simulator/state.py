"""The state and the switches of the simulated service, safe to use from other threads."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from .accounts import ACCOUNT, LIFETIME, Accounts, SignIn, announce_secret, announce_stray
from .catalogue import served_models
from .changes import Changes
from .device import Device
from .plan.sharing import Sharing
from .quota import Quota, Window
from .reply import Reply
from .rules import Policy, Voice
from .turns import Turns
from .usage import PrefixCache
from .worlds import DEFAULT_WORLD, World

if TYPE_CHECKING:
    from .faults import Fault
    from .recorded import Recorded

Json = dict[str, Any]


class State:
    """State shared by the routes and the test or program that controls the simulator.

    ``changed`` guards all of it and is notified at every change. Switches, in addition to the methods:

    * ``world``: the service at a date, given at the start; ``models`` begins as its catalogue
    * ``stale_list``: the catalogue still names the models that ``world`` has retired
    * ``version_gate`` "strict": models flagged for Lite need a `version` header
    * ``require_lite``: models that are refused in the classic shape
    * ``gate_voice``: the words in which both refuse (see ``rules.Voice``); None for the usual ones
    * ``tier_refused``: the field `service_tier` is refused
    * ``rate_limits_first``: each stream begins with `codex.rate_limits`
    * ``max_output_cut``: the number of coming answers that are cut at the output limit
    * ``scripted_tools``: tools with side effects that the simulated model may call when asked
    * ``sharing``: the switches of the plan service
    * ``changes``: departures from the rules
    """

    def __init__(
        self, world: World = DEFAULT_WORLD, on_stray: Callable[[str], object] = announce_stray
    ) -> None:
        self.world = world
        self._on_stray = on_stray
        self.changed = threading.Condition(threading.RLock())
        self.accounts = Accounts()
        self.device = Device()
        self.sharing = Sharing()
        self.changes = Changes()
        self.quota = Quota()
        self.cache = PrefixCache()
        self.turns = Turns()
        self.plan = "plus"
        self.account_id = ACCOUNT
        self.models: list[Json] = world.catalogue()
        self.models_etag = 'W/"simulated-1"'
        self.stale_list = False
        self.version_gate: Literal["open", "strict"] = "open"
        self.gate_voice: Voice | None = None
        self.require_lite: set[str] = set()
        self.tier_refused = False
        self.rate_limits_first = False
        self.scripted_tools: set[str] = set()
        self.max_output_cut = 0
        self.connections_open = 0
        self._encryption_key = "simulated"
        self._recorded: list[Recorded] = []
        self._strays: list[str] = []
        self._user_codes: set[str] = set()
        self._sealed: set[str] = set()
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._permanent: dict[str, Fault] = {}
        self._replies: deque[Reply] = deque()
        self._stalled: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self.use_quota()

    @property
    def requests(self) -> list[Recorded]:
        """Every request so far, oldest first."""
        with self.changed:
            return list(self._recorded)

    def listed_models(self) -> list[Json]:
        """Return the whole list of the catalogue endpoint."""
        return [*self.models, *(self.world.retired_entries() if self.stale_list else ())]

    def requests_to(self, ending: str) -> list[Recorded]:
        """Return the requests whose path has this ending."""
        return [request for request in self.requests if request.path.endswith(ending)]

    @property
    def strays(self) -> list[str]:
        """One sentence for every secret that reached the wrong service; a test run with any must fail."""
        with self.changed:
            return list(self._strays)

    @property
    def secrets(self) -> frozenset[str]:
        """Every token, code, verifier and user code ever issued."""
        return self.accounts.secrets

    @property
    def user_codes(self) -> frozenset[str]:
        """Every user code ever issued."""
        with self.changed:
            return frozenset(self._user_codes)

    @property
    def sealed(self) -> frozenset[str]:
        """Every ciphertext of reasoning ever sent; only the backend may read it."""
        with self.changed:
            return frozenset(self._sealed)

    @property
    def stalled(self) -> int:
        """Number of answers that a fault holds back."""
        with self.changed:
            return len(self._stalled)

    def forget(self) -> None:
        """Drop recorded requests and the prompt cache, to keep long runs small."""
        with self.changed:
            self._recorded.clear()
            self._sealed.clear()
            self.cache = PrefixCache()
            self.turns = Turns()

    def sign_in(
        self,
        plan: str | None = None,
        account_id: str | None = None,
        expires_in: float = LIFETIME,
        *,
        fedramp: bool = False,
    ) -> Json:
        """Return the token file content of a new sign-in; a negative ``expires_in`` makes it expired."""
        sign_in = SignIn(account_id or self.account_id, plan or self.plan, fedramp)
        return self.accounts.token_file(sign_in, expires_in)

    def revoke_access(self, access_token: str, code: str = "token_expired") -> None:
        """Refuse an access token from now on, whatever its expiry."""
        self.accounts.refuse(access_token, code)

    def rotate_encryption(self) -> None:
        """Make all reasoning encrypted so far unreadable."""
        self._encryption_key = uuid.uuid4().hex

    def misbehave(self, ending: str, fault: Fault, times: int | None = 1) -> None:
        """Queue a fault for paths with this ending; with ``times`` None it stays until ``behave``."""
        with self.changed:
            if times is None:
                self._permanent[ending] = fault
            else:
                self._faults[ending].extend([fault] * times)

    def behave(self, ending: str) -> None:
        """Remove the faults of paths with this ending."""
        with self.changed:
            self._permanent.pop(ending, None)
            self._faults.pop(ending, None)

    def reply_with(self, *replies: Reply) -> None:
        """Queue scripted answers."""
        with self.changed:
            self._replies.extend(replies)

    def use_quota(
        self,
        primary: float | None = 12.0,
        secondary: float | None = 40.0,
        *,
        minutes: tuple[int, int] = (300, 10_080),
        resets_in: tuple[float, float] = (900, 90_000),
        each: float = 0.0,
        headers: Mapping[str, str] | None = None,
        spend_cap_reached: bool = False,
        reset_credits: int = 0,
    ) -> None:
        """Set the limit windows in percent (None: no such window); each answer adds ``each``.

        A reached spend cap refuses calls whatever the windows say. ``reset_credits`` are only reported.
        """
        used = {"primary": primary, "secondary": secondary}
        windows = {
            slot: Window(percent, length, time.time() + seconds)
            for (slot, percent), length, seconds in zip(used.items(), minutes, resets_in, strict=True)
            if percent is not None
        }
        self.quota = Quota(
            windows, each, headers or {}, spend_cap_reached=spend_cap_reached, reset_credits=reset_credits
        )

    def exhaust(
        self,
        resets_in: float = 4_321,
        *,
        slot: Literal["primary", "secondary"] = "primary",
        status: int = 429,
    ) -> None:
        """Exhaust a window: calls are refused until it resets or ``use_quota`` is called.

        The refusal has this ``status``; with 200 it is in the stream.
        """
        window = self.quota.windows.setdefault(slot, Window(100, 300, 0))
        window.used, window.resets_at = 100.0, time.time() + resets_in
        self.quota.used_up, self.quota.refused_as = True, status

    def release(self) -> None:
        """Continue every answer that is held back at the moment."""
        with self.changed:
            waiting = list(self._stalled.items())
        for event, loop in waiting:
            loop.call_soon_threadsafe(event.set)

    def wait_until(self, predicate: Callable[[], object], timeout: float = 30.0) -> bool:
        """Wait until ``predicate`` is true, checked at every change; raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(lambda: bool(predicate()), timeout):
                raise TimeoutError("The simulator did not reach the expected state in time.")
        return True

    def record(self, request: Recorded) -> None:
        """Record a request."""
        with self.changed:
            self._recorded.append(request)
            self.changed.notify_all()

    def add_stray(self, sentence: str) -> None:
        """Record and report a misplaced secret."""
        with self.changed:
            self._strays.append(sentence)
        self._on_stray(sentence)

    def add_user_code(self, code: str) -> None:
        """Record a user code, which is a secret too."""
        with self.changed:
            self._user_codes.add(self.accounts.keep_secret(code))
            self.changed.notify_all()

    def remember_encrypted(self, items: Sequence[Json]) -> None:
        """Record the ciphertexts of an answer."""
        found = [item.get("encrypted_content") for item in items]
        texts = [text for text in found if isinstance(text, str)]
        with self.changed:
            self._sealed.update(texts)
        for text in texts:
            announce_secret(text)

    def next_fault(self, path: str) -> Fault | None:
        """Return the next fault of a path."""
        with self.changed:
            for ending, queue in self._faults.items():
                if queue and path.endswith(ending):
                    return queue.popleft()
            return next((fault for ending, fault in self._permanent.items() if path.endswith(ending)), None)

    def next_reply(self) -> Reply:
        """Return the next scripted answer; an empty one lets the simulated model answer."""
        with self.changed:
            if self._replies:
                return self._replies.popleft()
            if self.max_output_cut <= 0:
                return Reply()
            self.max_output_cut -= 1
            return Reply(end="incomplete")

    def policy(self, account_id: str, plan: str) -> Policy:
        """Return the policy that applies to a request of this account."""
        return Policy(
            account_id=account_id,
            models=served_models(self.models, plan, self.world.today),
            encryption_key=self._encryption_key,
            version_gate=self.version_gate,
            gate_voice=self.gate_voice,
            require_lite=frozenset(self.require_lite),
            tier_refused=self.tier_refused,
            scripted_tools=frozenset(self.scripted_tools),
            turn_of=self.turns.turn,
            plan=self.sharing.terms if self.world.kind == "plan" else None,
            changes=self.changes,
        )

    @contextmanager
    def stream_open(self) -> Iterator[None]:
        """Count one open answer."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        with self.changed:
            self.connections_open += step
            self.changed.notify_all()

    async def stall(self) -> None:
        """Wait until ``release`` is called."""
        event = asyncio.Event()
        with self.changed:
            self._stalled[event] = asyncio.get_running_loop()
            self.changed.notify_all()
        try:
            await event.wait()
        finally:
            with self.changed:
                del self._stalled[event]
                self.changed.notify_all()
