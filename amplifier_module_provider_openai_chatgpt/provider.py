"""ChatGPTProvider: the interface that amplifier-core and its hosts expect of a provider.

What only calls, sign-ins and lists need is imported by the first of them, because most mounted providers
are never called.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, ChatResponse, ToolCall
from amplifier_core.models import ModelInfo, ProviderInfo

from .provider_info import provider_info
from .secret import Secret
from .services import CHATGPT_CODEX, CHATGPT_PLAN
from .settings import LOGIN_COMMAND, PROVIDER, REPLACED, EnvironmentRefusedError, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from .auth.credentials import Credentials, Status
    from .auth.device import DeviceCode
    from .auth.plan.credentials import PlanCredentials
    from .auth.tokens import Tokens
    from .call.budget import RequestBudget
    from .call.context import CallContext
    from .call.shapes import LearntShapes
    from .call.token_memory import TokenMemory
    from .models.catalogue import Catalogue
    from .quota.values import Quota
    from .response.response import ChatGPTResponse
    from .services import Service
    from .transport.base import Transport

logger = logging.getLogger(__name__)

# The routing hook asks for the list when a session starts, a user later: seconds until a notice is repeated.
LIST_NOTICE = 10.0

# Shared by all sessions of a process, because every sub-agent mounts its own provider.
_shapes: dict[str, LearntShapes] = {}
_reported: set[tuple[str, str]] = set()


class ChatGPTProvider:
    """A ChatGPT subscription as an Amplifier provider.

    The constructor does no I/O and needs no event loop. An instance serves many calls in parallel and
    several event loops in turn: it has no state of a single call.
    """

    name = PROVIDER

    def __init__(
        self,
        config: Mapping[str, object] | None = None,
        coordinator: Any = None,
        tokens: Mapping[str, object] | None = None,
        *,
        service: Service = CHATGPT_CODEX,
        transport: Transport | None = None,
    ) -> None:
        """Raise ConfigurationError for a bad value in ``config``.

        A bad environment variable is reported by ``check`` and by the first call instead, because
        hosts also build providers just to inspect them. ``tokens`` has the shape of the token file and
        takes precedence over it. ``service`` and ``transport`` replace the defaults.
        """
        self._given_tokens = None if tokens is None else _given_tokens(tokens, service)
        del tokens  # tracebacks can show local variables
        self.config: dict[str, object] = dict(config or {})
        self.coordinator = coordinator
        self._problem: EnvironmentRefusedError | None = None
        try:
            self.settings = read_settings(self.config, os.environ, service)
        except EnvironmentRefusedError as problem:
            self._problem = problem
            self.settings = read_settings(self.config, {}, service)
        self.default_model = self.settings.default_model
        self.priority = self.settings.priority
        self.raw = self.settings.raw
        self.timeout = self.settings.timeout
        self._given_transport = transport
        self._throttled: set[tuple[str, str, float | None]] = set()
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        settings = self.settings
        shown = {
            "default_model": self.default_model,
            "reasoning_effort": settings.reasoning_effort,
            "base_url": settings.base_url,
            "token_file_path": str(settings.token_file_path),
        }
        given = ", ".join(f"{name}={value!r}" for name, value in shown.items() if value is not None)
        return f"{type(self).__name__}({given})"

    async def __aenter__(self) -> Self:
        """Return the provider, which is closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    @property
    def _is_plan(self) -> bool:
        return self.settings.service.name == CHATGPT_PLAN.name

    @cached_property
    def credentials(self) -> Credentials | PlanCredentials:
        """Who is signed in, and keeps them signed in."""
        path = self.settings.token_file_path
        service = self.settings.service.at(self.settings.base_url, self.settings.auth_url)
        if self._is_plan:
            from .auth.plan.credentials import shared_plan_credentials

            return shared_plan_credentials(path, service)
        from .auth.credentials import Credentials
        from .auth.shared import renewer, shared_credentials
        from .auth.token_file import token_store

        if self._given_tokens is None:
            return shared_credentials(path, service)
        store = token_store(path, service)
        return Credentials(store, service, tokens=self._given_tokens, renew=renewer(store, service))

    @cached_property
    def catalogue(self) -> Catalogue:
        """The models of the signed-in account."""
        from .models.catalogue import shared_catalogue

        return shared_catalogue(self.settings, self._fetch_models, self.account_id)

    @property
    def codex_credentials(self) -> Credentials:
        """What a device code or the Codex browser flow signs in. Raises ConfigurationError in plan mode."""
        from .auth.credentials import Credentials

        if isinstance(self.credentials, Credentials):
            return self.credentials
        raise ConfigurationError(
            f"This command signs in to another service than auth_mode {self.settings.auth_mode}: "
            f"run {self.settings.service.login}.",
            provider=PROVIDER,
        )

    @cached_property
    def transport(self) -> Transport:
        """The transport for calls to the backend."""
        from .transport.http_sse import HttpSseTransport

        return self._given_transport or HttpSseTransport(self.settings, self.credentials)

    @cached_property
    def _tokens(self) -> TokenMemory:
        from .call.token_memory import TokenMemory

        return TokenMemory()

    @property
    def _call_context(self) -> CallContext:
        from .call.context import CallContext
        from .call.shapes import LearntShapes

        return CallContext(
            settings=self.settings,
            transport=self.transport,
            credentials=self.credentials,
            catalogue=self.catalogue,
            coordinator=self.coordinator,
            default_model=self.default_model,
            raw=self.raw,
            problem=self._problem,
            shapes=_shapes.setdefault(self.settings.base_url, LearntShapes()),
            throttled=self._throttled,
            warned=self._warned,
            tokens=self._tokens,
        )

    async def _fetch_models(self, client_version: str | None) -> tuple[object, str | None]:
        from .call.documents import fetched

        document = await fetched(self.transport.models(client_version), self._call_context)
        return document.content, document.etag

    def account_id(self) -> Secret[str]:
        """Return the id of the signed-in account, empty when signed out; offline."""
        tokens = self.credentials.peek()
        return tokens.account_id if tokens else Secret("")

    def check(self) -> None:
        """Raise ConfigurationError for a bad environment variable."""
        if self._problem is not None:
            raise self._problem

    def get_info(self) -> ProviderInfo:
        """Describe the provider; ``defaults`` are those of the configured model. Offline."""
        return provider_info(self.settings, self.get_model_info())

    def get_model_info(self) -> ModelInfo:
        """Describe the model of calls that do not name one. Offline."""
        from .models.model import model_infos, split_fast

        slug, _ = split_fast(self.catalogue.expected_model(self.default_model))
        return model_infos([self.catalogue.find(slug)], hidden=True)[0]

    async def list_models(self) -> list[ModelInfo]:
        """List the models of this subscription, each with its ``-fast`` variant if it has one.

        A program that built the provider without mounting it tests the sign-in with this: it raises
        AuthenticationError when signed out, and the kernel error of any other failure. In a session, roles
        must resolve before the user signs in and while the backend fails: the list that is known then,
        the last good one or a built-in one, is returned instead. Raises ConfigurationError for a bad
        environment variable.
        """
        self.check()
        try:
            models, problem = await self.catalogue.list(), self.catalogue.problem
        except LLMError as error:
            models, problem = list(self.catalogue.known()), error
            self._log_once(error)
        if problem is not None:
            if self.coordinator is None:
                raise problem
            await self._show_on_screen(_last_known(problem))
        from .models.model import model_infos

        return model_infos(models)

    async def _show_on_screen(self, message: str) -> None:
        from .call.notices import Notices

        await Notices(self.coordinator).once(message, again_after=LIST_NOTICE)

    def _log_once(self, problem: LLMError) -> None:
        """Log why the list is not that of this account, once for each sign-in and kind of failure."""
        news = (self.credentials.location, type(problem).__name__)
        if self.coordinator is not None and news not in _reported:
            _reported.add(news)
            logger.warning("%s", _last_known(problem))

    async def complete(self, request: ChatRequest, **kwargs: Any) -> ChatGPTResponse:
        """Answer a request and stream the answer to hooks. Raises only kernel errors (LLMError).

        ``kwargs`` that hosts pass (model, reasoning_effort, extended_thinking, tool_choice,
        response_format, timeout …) take precedence over the request; unknown ones are ignored.
        """
        with _import_errors_as_kernel_errors():
            from .call.completion import complete

            context = self._call_context
        return await complete(context, request, kwargs)

    def request_budget(
        self,
        request: ChatRequest,
        *,
        context_estimate: int,
        request_options: Mapping[str, object] | None = None,
    ) -> RequestBudget | None:
        """Estimate the tokens of a request, and how many of the messages fit. Offline.

        ``context_estimate`` is the caller's own count of the messages in tokens, the unit of the returned
        ``context_token_budget``; ``request_options`` are the keyword arguments of ``complete``. Returns
        None for a request that ``complete`` will refuse.
        """
        with _import_errors_as_kernel_errors():
            from .call.budget import request_budget

            context = self._call_context
        return request_budget(context, request, context_estimate, request_options or {})

    def recover_context_overflow(
        self,
        request: ChatRequest,
        error: BaseException,
        *,
        context_estimate: int,
        request_options: Mapping[str, object] | None = None,
    ) -> RequestBudget | None:
        """Return a smaller budget for a request that ``complete`` refused with ContextLengthError. Offline.

        Returns None for any other error, and where no shorter conversation would help.
        """
        with _import_errors_as_kernel_errors():
            from .call.budget import overflow_budget

            context = self._call_context
        return overflow_budget(context, request, error, context_estimate, request_options or {})

    async def usage(self) -> Quota:
        """Fetch the limits of this account. Raises kernel errors."""
        import time

        from .call.documents import fetched
        from .quota.reading import read_usage

        self.check()
        if not self.settings.service.usage_path:
            page = self.settings.service.usage_page
            raise ConfigurationError(f"This service does not report limits: see {page}", provider=PROVIDER)
        document = await fetched(self.transport.usage(), self._call_context)
        return read_usage(document.content, time.time())

    def parse_tool_calls(self, response: ChatResponse) -> list[ToolCall]:
        """Return the tool calls of a response, as a new list."""
        return list(response.tool_calls or [])

    def auth_status(self) -> Status:
        """Return ``authenticated``, ``expired`` (the user must sign in) or ``unauthenticated``; offline."""
        return self.credentials.status()

    async def login(self, print_fn: Callable[[str], object] | None = None) -> bool:
        """Sign in with a device code; ``print_fn`` gets one plain line at a time (default: stderr).

        In the plan mode, the lines have an address for a browser of this machine. Returns True after the
        tokens are stored. Raises a kernel error with the reason for a failure.
        """
        self.check()
        show_line = print_fn or _to_stderr()

        def show(text: str) -> None:
            for line in text.splitlines():
                show_line(line)

        if self._is_plan:
            await self._login_to_plan(show)
        else:
            await self._login_with_device_code(show)
            show_line("Signed in.")
        return True

    async def _login_with_device_code(self, show: Callable[[str], None]) -> None:
        from .auth.sign_in import with_device_code

        def prompt(device: DeviceCode) -> None:
            show(device.text())

        limit = self.settings.connect_timeout
        await with_device_code(self.codex_credentials, prompt, connect_timeout=limit)

    async def _login_to_plan(self, show: Callable[[str], None]) -> None:
        from .auth.plan.configured import sign_in_as_configured
        from .auth.plan.sign_in import Screen

        await sign_in_as_configured(self.settings, Screen(show))

    async def close(self) -> None:
        """Close the connections of the running loop; the provider can be used again afterwards."""
        if "transport" in vars(self):
            await self.transport.close()


def _given_tokens(tokens: Mapping[str, object], service: Service) -> Tokens:
    from .auth.tokens import Tokens

    return Tokens.from_dict(tokens, service.claims)


def _last_known(problem: LLMError) -> str:
    return f"The models listed are those last known. {problem}"


@contextmanager
def _import_errors_as_kernel_errors() -> Iterator[None]:
    """Convert a failing import into a kernel error, because the first call imports modules."""
    try:
        yield
    except ImportError as error:
        raise LLMError(REPLACED, provider=PROVIDER) from error


def _to_stderr() -> Callable[[str], object]:
    """Return what prints to stderr. Raises ConfigurationError where a host took it away."""
    if sys.stderr is None:
        raise ConfigurationError(
            "There is no stderr to show the sign-in code on: call login with a print_fn, or run "
            f"{LOGIN_COMMAND} in a terminal.",
            provider=PROVIDER,
        )
    stream = sys.stderr
    return lambda line: stream.write(line + "\n")
