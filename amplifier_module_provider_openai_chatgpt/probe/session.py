"""One run's connection to the service: it sends requests as the provider does, and raw ones where claimed.

Answers that several claims look at are requested once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import QuotaExceededError
from pydantic_core import to_json

from ..errors.refusal import Refusal, is_shape_refusal, is_unsupported_model, is_version_gate
from ..errors.table import rule_for
from ..errors.transport import as_faults
from ..http import new_request, new_router, parsed_url
from ..http.cookies import AccountCookies
from ..models.model import Model, listed, parse_models
from ..protocol.conversation import uuid7
from ..quota.reading import read_headers
from ..redaction import Sealed
from ..transport.http_sse import identity_headers
from .claim import NotCheckedError, StoppedError, UnclearError
from .reading import UNFINISHED, Answer, Bounds, read
from .shape import safe

if TYPE_CHECKING:
    from ..http.router import Router
    from ..provider import ChatGPTProvider
    from ..services import Service
    from ..transport.base import Identity

Fields = Mapping[str, Any]

INSTRUCTIONS = "Answer in one short sentence."
PROMPT = "Reply with the word: ready"
# A window that is fuller than this is left to the person, in percent.
FULL = 97.0
# Smaller and cheaper models, by a part of their names.
_SMALL = ("luna", "mini", "nano")
_MOST_MODELS_TRIED = 3
_ALLOWED = 10
_MOST_SLOW = 3


@dataclass(frozen=True, slots=True)
class Base:
    """A call that is answered: the model, the headers it needs besides the usual ones, and its answer.

    ``refused`` is the first refusal of a plain call, by its model, if there was one.
    """

    model: Model
    headers: Mapping[str, str]
    answer: Answer
    refused: tuple[str, Answer] | None = None


class Session:
    """Sends the requests of one run. Belongs to one event loop; ``close`` ends its connections.

    ``send`` raises StoppedError when a limit is reached, the sign-in is refused, or far more tokens were
    used than ``expected_tokens``, and a Refusal for a connection that fails.
    """

    def __init__(
        self, provider: ChatGPTProvider, bounds: Bounds | None = None, expected_tokens: int = 0
    ) -> None:
        self.provider = provider
        self.settings = provider.settings
        self.requests = 0
        self.tokens = 0
        self._bounds = bounds or Bounds()
        self._most_tokens = 5_000 + _ALLOWED * expected_tokens
        self._slow = 0
        self._cookies = AccountCookies()
        self._conversation = uuid7()
        self._base: Base | UnclearError | None = None
        self._answers: dict[str, Answer] = {}

    @property
    def service(self) -> Service:
        """The service that is asked."""
        return self.settings.service

    @cached_property
    def _router(self) -> Router:
        return new_router(None)

    async def close(self) -> None:
        """Close the connections."""
        if "_router" in vars(self):
            await self._router.aclose()

    async def identity(self) -> Identity:
        """Return who is signed in, as a call gets it. Raises kernel errors."""
        return await self.provider.credentials.current()

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str | None] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        is_signed_in: bool = True,
    ) -> Answer:
        """Send one request as the signed-in account; a header that is None is left out."""
        identity = await self.identity()
        merged = {**(identity_headers(identity, self.settings) if is_signed_in else {}), **(headers or {})}
        self.requests += 1
        with as_faults(silence=self._bounds.seconds), Sealed():
            request = new_request(
                method,
                parsed_url(self.settings.base_url + path).copy_merge_params(params or {}),
                headers={name: value for name, value in merged.items() if value is not None},
                content=content,
                connect=self.settings.connect_timeout,
                silence=min(self._bounds.seconds, self.settings.timeout),
            )
            self._cookies.add_to(request, identity.account_id)
            sent = time.monotonic()
            async with asyncio.timeout(self._bounds.seconds):
                response = await self._router.handle_async_request(request)
            self._cookies.take_from(response, identity.account_id)
            answer = await read(response, self.service.response, self._bounds, sent)
        self.tokens += answer.tokens
        self._slow += answer.cut.startswith(UNFINISHED)
        self._check_limits(answer, is_signed_in=is_signed_in)
        return answer

    def _check_limits(self, answer: Answer, *, is_signed_in: bool) -> None:
        refusal = answer.refusal
        if refusal is not None:
            if issubclass(rule_for(refusal, self.service.rules).error, QuotaExceededError):
                raise StoppedError("the usage limit is reached")
            if refusal.status == 429:
                raise StoppedError("the service asks for fewer requests")
            if refusal.status == 401 and is_signed_in:
                raise StoppedError("the service does not accept the sign-in")
            if refusal.cloudflare:
                raise StoppedError("Cloudflare blocks this network")
        quota = read_headers(answer.headers, self.service.response.quota, time.time())
        if quota is not None and any(window.used_percent >= FULL for window in quota.windows):
            raise StoppedError(f"more than {FULL:g} % of a limit window is used")
        if self._slow >= _MOST_SLOW:
            raise StoppedError("the service does not finish its answers")
        if self.tokens > self._most_tokens:
            raise StoppedError("far more tokens were used than estimated")

    async def once(self, name: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to a request that several claims look at; it is made once."""
        if name not in self._answers:
            self._answers[name] = await ask()
        return self._answers[name]

    # Lists

    async def list_as(self, version: str | None) -> Answer:
        """Return the model list as a client of this version gets it; None: without a version."""
        params = {"client_version": version} if version else None
        return await self.once(f"list as {version}", lambda: self._document(self.service.models_path, params))

    async def _document(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        return await self.send("GET", path, headers={"Accept": "application/json"}, params=params)

    async def whole_list(self) -> Answer:
        """Return the first list that names a model to choose from, as the provider asks for it."""
        answer = await self.list_as(None) if not self.service.models.client_versions else None
        for version in self.service.models.client_versions:
            answer = await self.list_as(version)
            if listed(parse_models(answer.document, self.service.models)):
                break
        if answer is None:
            raise AssertionError("there is at least one way to ask for the list")
        return answer

    async def models(self) -> list[Model]:
        """Return the models to choose from, the preferred one first."""
        answer = await self.whole_list()
        found = listed(parse_models(answer.document, self.service.models))
        if not found:
            raise UnclearError(f"no list of models: {why_not(answer)}")
        return found

    async def usage(self) -> Answer:
        """Return the usage document."""
        return await self.once("usage", lambda: self._document(self.service.usage_path))

    # Calls

    async def base(self) -> Base:
        """Return the plain call of the first model that answers one; small models are tried first."""
        if self._base is None:
            try:
                self._base = await self._find_base()
            except UnclearError as error:
                self._base = error
        if isinstance(self._base, Exception):
            raise UnclearError(str(self._base))
        return self._base

    async def _find_base(self) -> Base:
        models = await self.models()
        small = [model for model in models if any(word in model.slug for word in _SMALL)]
        chosen = list(dict.fromkeys((*small[:1], *models)))[:_MOST_MODELS_TRIED]
        refused: tuple[str, Answer] | None = None
        for model in chosen:
            for headers in self._ways(model):
                answer = await self.post(self.body(model.slug), headers)
                if answer.is_answered:
                    return Base(model, headers, answer, refused)
                refused = refused or (model.slug, answer)
                if not is_gate(answer.refusal):
                    break
        slug, answer = refused or ("", answer)
        raise UnclearError(f"no model answered a plain call: {slug}: {why_not(answer)}")

    def _ways(self, model: Model) -> list[dict[str, str]]:
        """Return the headers to try: without a client version, then with the model's minimum."""
        name, version = self.service.request.version, model.minimal_client_version
        return [{}, {name: version}] if name and version else [{}]

    def body(self, slug: str, text: str = PROMPT, tools: Sequence[Fields] = ()) -> dict[str, Any]:
        """Return a small body in the usual shape of this service."""
        user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        items: list[Fields] = [user]
        in_body: dict[str, Any] = {"tools": list(tools)} if self.service.tools == "body" else {}
        if tools and self.service.tools == "input":
            items = [{"type": "additional_tools", "role": "developer", "tools": list(tools)}, user]
        return {
            "model": slug,
            "instructions": INSTRUCTIONS,
            "input": items,
            **in_body,
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"effort": "low", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": self._conversation,
        }

    async def post(
        self,
        body: Fields,
        headers: Mapping[str, str | None] | None = None,
        *,
        content: bytes | None = None,
    ) -> Answer:
        """Send a call; ``content`` replaces the encoded body. A header that is None is left out."""
        usual = {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            **dict.fromkeys(self.service.request.session, self._conversation),
        }
        return await self.send(
            "POST",
            self.service.responses_path,
            headers={**usual, **(headers or {})},
            content=to_json(body) if content is None else content,
        )

    async def call(
        self,
        changes: Fields | None = None,
        headers: Mapping[str, str | None] | None = None,
        *,
        text: str = PROMPT,
        tools: Sequence[Fields] = (),
        model: str = "",
    ) -> Answer:
        """Send the plain call with other fields (None removes one) and other headers."""
        base = await self.base()
        body = {**self.body(model or base.model.slug, text, tools), **(changes or {})}
        body = {name: value for name, value in body.items() if value is not None}
        return await self.post(body, {**base.headers, **(headers or {})})

    async def answered(
        self, changes: Fields | None = None, *, text: str = PROMPT, tools: Sequence[Fields] = ()
    ) -> Answer:
        """Send a call that is expected to be answered. Raises UnclearError if it is not."""
        return must_be_answered(await self.call(changes, text=text, tools=tools))

    async def other_family(self) -> Model:
        """Return a model of another family than the plain call's, such as gpt-5.6 for gpt-6."""
        base = await self.base()
        own, refused = family(base.model.slug), base.refused[0] if base.refused else ""
        models = [model for model in await self.models() if model.slug != refused]
        found = [model for model in models if family(model.slug) != own]
        if not found:
            raise NotCheckedError("only one family of models is listed")
        small = [model for model in found if any(word in model.slug for word in _SMALL)]
        return (small or found)[0]


def must_be_answered(answer: Answer) -> Answer:
    """Return the answer. Raises UnclearError if it is a refusal or incomplete."""
    if not answer.is_answered:
        raise UnclearError(why_not(answer))
    return answer


def is_gate(refusal: Refusal | None) -> bool:
    """True if a client version, or the other shape, might change a refusal."""
    return refusal is not None and (
        is_version_gate(refusal) or is_shape_refusal(refusal) or is_unsupported_model(refusal)
    )


def family(slug: str) -> str:
    """Return the generation of a model: gpt-5.6 of gpt-5.6-sol."""
    return "-".join(slug.split("-")[:2])


def why_not(answer: Answer) -> str:
    """Return in a few words how an answer differs from a complete one."""
    if answer.refusal is not None:
        return safe(str(answer.refusal))
    if answer.cut:
        return answer.cut
    return "answered" if answer.closing else f"HTTP {answer.status}, without the closing event"
