"""The service that calls go to, as data: addresses, names in requests and answers, error sentences.

No other module contains such literals, except the simulator, which has its own, so a wrong value here
fails a test. To add a second service, add a second ``Service`` value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    ProviderUnavailableError,
    QuotaExceededError,
)

USAGE_PAGE = "https://chatgpt.com/codex/settings/usage"
PLANS_PAGE = "https://chatgpt.com/explore/plus"


class Rule(NamedTuple):
    """How one kind of failure is reported: the kernel's class, a sentence, whether a retry may help.

    ``sentence`` may contain {model}, {status}, {account}, {choose}, {wait}, {param}, {login} and {usage},
    which are filled in.
    ``quote``: the server's own message is appended.
    """

    error: type[LLMError]
    sentence: str
    retryable: bool = False
    quote: bool = True

    @property
    def names_models(self) -> bool:
        """True if the sentence suggests other models."""
        return "{choose}" in self.sentence


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where a person signs in. Paths are relative to the issuer's URL (docs/backend.md, Hosts).

    ``redirect_ports`` are the only registered ones; ``authorize_options`` are sent with every authorize
    request. An empty path means that the issuer does not have this endpoint.
    """

    url: str
    client_id: str
    scope: str
    authorize_path: str
    token_path: str
    revoke_path: str
    device_code_path: str = ""
    device_token_path: str = ""
    device_page_path: str = ""
    device_redirect_path: str = ""
    redirect_host: str = "localhost"
    redirect_path: str = "/auth/callback"
    redirect_ports: tuple[int, ...] = ()
    authorize_options: Mapping[str, str] = field(default_factory=dict)
    originator_parameter: str = "originator"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. ``auth`` and ``profile`` are objects; the others are keys in ``auth``."""

    auth: str
    profile: str
    account: str
    plan: str
    fedramp: str


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """Names of request headers; an empty name means that the service does not use this header.

    All headers in ``session`` contain the conversation's id, on which the prompt cache depends.
    """

    account: str = ""
    originator: str = ""
    fedramp: str = ""
    session: tuple[str, ...] = ()
    version: str = ""
    lite: str = ""


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    """Names of response headers, in lower case. ``quota`` is the prefix of the limit headers."""

    quota: str = ""
    models_etag: str = ""
    request_id: tuple[str, ...] = ()
    error: str = ""
    edge_ray: str = "cf-ray"
    edge_challenge: str = "cf-mitigated"


@dataclass(frozen=True, slots=True)
class ModelList:
    """The shape of the model list: the key of its entries, and fields that are named differently here.

    ``client_versions`` are sent as ``client_version``, the next one if a list is empty. If there are
    none, the parameter is not sent. ``ignored`` are fields without a meaning at this service; without a
    priority, the order is the server's. ``built_in``: the built-in models are used until there is a list.
    """

    entries: str = "models"
    slug: str = "slug"
    renamed: Mapping[str, str] = field(default_factory=dict)
    client_versions: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    built_in: bool = True


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sign-in belongs: the origins of its issuer and its backend, as ``scheme://host[:port]``."""

    issuer: str
    backend: str

    @classmethod
    def of(cls, issuer_url: str, base_url: str) -> Origin:
        """Reduce two addresses to their origins."""
        return cls(_origin(issuer_url), _origin(base_url))

    def __str__(self) -> str:
        """Name both, as a person reads it."""
        return f"{self.backend} (sign-in at {self.issuer})"

    @property
    def is_loopback(self) -> bool:
        """True if both are on this machine."""
        return all(is_loopback(urlsplit(url).hostname or "") for url in (self.issuer, self.backend))


def _origin(url: str) -> str:
    """Return scheme, host and port; the scheme's own port is left out."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)}
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{parts.port}"


@lru_cache(maxsize=64)  # asked for each request
def is_loopback(host: str) -> bool:
    """True for a host that is this machine whatever its resolver says."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Service:
    """One way to use a ChatGPT plan. ``usage_path`` is empty if the limits cannot be requested.

    ``tools``: with ``body``, functions are at the top level of the request, with ``input`` in the first
    item of its input. ``contested`` are fields of the body about which reports contradict each other: after
    a refusal that names them, they are sent in another form, or not at all. ``rules``, by the server's
    ``code`` or ``type`` or by status, take precedence over the common ones of the same key.
    ``retries_after_hint`` is how often a call is retried after a server failure that says how long to wait;
    None: as often as after any other. With ``reads_zstd``, requests may be compressed. ``no_cap`` begins the
    warning about a limit for the length of an answer, empty if there is no warning; ``no_fast`` begins the
    one about a missing fast tier. ``login`` is the command that signs in.
    """

    name: str
    token_file: str
    base_url: str
    issuer: Issuer
    claims: Claims
    request: RequestHeaders
    response: ResponseHeaders
    responses_path: str
    models_path: str
    usage_path: str
    models: ModelList
    tools: Literal["body", "input"]
    usage_page: str
    contested: frozenset[str] = frozenset()
    retries_after_hint: int | None = None
    reads_zstd: bool = False
    no_cap: str = ""
    no_fast: str = "{model} has no fast tier on this subscription"
    login: str = "amplifier-openai-chatgpt login"
    rules: Mapping[str | int, Rule] = field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Where its sign-ins belong."""
        return Origin.of(self.issuer.url, self.base_url)

    def at(self, base_url: str, auth_url: str) -> Service:
        """Return the same service at other addresses, such as a simulator's."""
        return replace(self, base_url=base_url, issuer=replace(self.issuer, url=auth_url))


CHATGPT_CODEX = Service(
    name="chatgpt_codex",
    token_file="~/.amplifier/openai-chatgpt-oauth.json",  # noqa: S106 - a path
    base_url="https://chatgpt.com/backend-api",
    issuer=Issuer(
        url="https://auth.openai.com",
        client_id="app_EMoamEEZ73f0CkXaXp7hrann",
        scope="openid profile email offline_access api.connectors.read api.connectors.invoke",
        authorize_path="/oauth/authorize",
        token_path="/oauth/token",  # noqa: S106 - a path
        revoke_path="/oauth/revoke",
        device_code_path="/api/accounts/deviceauth/usercode",
        device_token_path="/api/accounts/deviceauth/token",  # noqa: S106 - a path
        device_page_path="/codex/device",
        device_redirect_path="/deviceauth/callback",
        redirect_ports=(1455, 1457),
        authorize_options={"id_token_add_organizations": "true", "codex_cli_simplified_flow": "true"},
    ),
    claims=Claims(
        auth="https://api.openai.com/auth",
        profile="https://api.openai.com/profile",
        account="chatgpt_account_id",
        plan="chatgpt_plan_type",
        fedramp="chatgpt_account_is_fedramp",
    ),
    request=RequestHeaders(
        account="ChatGPT-Account-ID",
        originator="originator",
        fedramp="X-OpenAI-Fedramp",
        session=("session-id", "thread-id", "x-client-request-id"),
        version="version",
        lite="x-openai-internal-codex-responses-lite",
    ),
    response=ResponseHeaders(
        quota="codex",
        models_etag="x-models-etag",
        request_id=("x-request-id", "x-oai-request-id"),
        error="x-error-json",
    ),
    responses_path="/codex/responses",
    models_path="/codex/models",
    usage_path="/wham/usage",
    # The first version requests all models; the second is for a backend that does not support the first.
    models=ModelList(client_versions=("0.0.0", "99.99.99")),
    tools="body",
    usage_page=USAGE_PAGE,
    reads_zstd=True,
    rules={
        "usage_not_included": Rule(
            QuotaExceededError,
            f"{{account}} does not include Codex: you need a plan that does, see {PLANS_PAGE}.",
            quote=False,
        ),
    },
)


@dataclass(frozen=True, slots=True)
class PlanSignIn:
    """Where a person lets this program use their plan (docs/backend-plan.md); the other paths are discovered.

    ``plan_scope`` is the part of ``scope`` without which the plan is not used; ``resource`` names the API in
    requests to the issuer, wherever it is. ``redirect_port`` is only the first one that is tried.
    """

    mode: str
    token_file: str
    base_url: str
    url: str
    discovery_path: str
    dynamic_client: str
    scope: str
    plan_scope: str
    resource: str
    redirect_host: str
    redirect_path: str
    redirect_port: int
    usage_page: str

    @property
    def origin(self) -> Origin:
        """Where its sign-ins belong."""
        return Origin.of(self.url, self.base_url)

    def at(self, base_url: str, auth_url: str) -> PlanSignIn:
        """Return the same service at other addresses, such as a simulator's."""
        return replace(self, base_url=base_url, url=auth_url)


CHATGPT_PLAN_SIGN_IN = PlanSignIn(
    mode="chatgpt_plan",
    token_file="~/.amplifier/chatgpt-plan/default.json",  # noqa: S106 - a path
    base_url="https://api.openai.com/v1",
    url="https://auth.openai.com",
    discovery_path="/.well-known/openid-configuration",
    dynamic_client="dynamic_agent_client",
    scope="openid profile email offline_access resource.invoke chatgpt.tokens.use.direct",
    plan_scope="chatgpt.tokens.use.direct",
    resource="https://api.openai.com/v1",
    redirect_host="127.0.0.1",
    redirect_path="/auth/callback",
    redirect_port=1455,
    usage_page="https://chatgpt.com/settings/usage",
)

_PLAN_LOGIN = "amplifier-openai-chatgpt login --plan"
_PLAN_SIGNED_OUT = Rule(
    AuthenticationError, "Run {login}: the ChatGPT sign-in is no longer accepted.", quote=False
)
_PLAN_UNAVAILABLE = Rule(
    ProviderUnavailableError,
    "ChatGPT plan use is not available at the moment{status}: try again in a few minutes.",
    retryable=True,
)
_PLAN_CONSENT = Rule(
    AuthenticationError,
    f"Run {_PLAN_LOGIN} --enable-plan: this app may not use your ChatGPT plan.",
    quote=False,
)
# docs/backend-plan.md
CHATGPT_PLAN = Service(
    name=CHATGPT_PLAN_SIGN_IN.mode,
    token_file=CHATGPT_PLAN_SIGN_IN.token_file,
    base_url=CHATGPT_PLAN_SIGN_IN.base_url,
    issuer=Issuer(
        url=CHATGPT_PLAN_SIGN_IN.url,
        client_id=CHATGPT_PLAN_SIGN_IN.dynamic_client,
        scope=CHATGPT_PLAN_SIGN_IN.scope,
        authorize_path="",
        token_path="",
        revoke_path="",
        redirect_host=CHATGPT_PLAN_SIGN_IN.redirect_host,
        redirect_path=CHATGPT_PLAN_SIGN_IN.redirect_path,
    ),
    claims=CHATGPT_CODEX.claims,
    request=RequestHeaders(),
    response=ResponseHeaders(request_id=("x-request-id",)),
    responses_path="/responses",
    models_path="/models",
    usage_path="",
    models=ModelList(
        ignored=frozenset(
            {
                *("priority", "service_tiers", "additional_speed_tiers"),
                *("use_responses_lite", "minimal_client_version"),
            }
        ),
        built_in=False,
    ),
    tools="input",
    usage_page=CHATGPT_PLAN_SIGN_IN.usage_page,
    contested=frozenset({"tools", "tool_choice", "prompt_cache_key", "service_tier"}),
    # The edge asks for a minute [seen], and a person waits for the answer.
    retries_after_hint=1,
    no_fast="The plan mode has no fast tier",
    no_cap="ChatGPT plan use has no limit for the length of an answer",
    login=_PLAN_LOGIN,
    rules={
        "subscription_sharing_usage_limit_exceeded": Rule(
            QuotaExceededError,
            "The limit of your ChatGPT plan, or of this app's share of it, is reached; "
            "OpenAI does not say when it resets. See {usage}",
            quote=False,
        ),
        "subscription_sharing_usage_unavailable": _PLAN_UNAVAILABLE,
        "subscription_sharing_user_unavailable": _PLAN_UNAVAILABLE,
        "subscription_sharing_user_not_eligible": Rule(
            AccessDeniedError,
            "This ChatGPT account cannot be used here: only Plus and Pro plans can. "
            "Signing in again does not change that.",
            quote=False,
        ),
        "subscription_sharing_unsupported_capability": Rule(
            InvalidRequestError,
            "ChatGPT plan use does not support {param}{status}: update this provider, or report this.",
        ),
        "subscription_sharing_route_not_supported": Rule(
            InvalidRequestError,
            "ChatGPT plan use does not offer this address{status}: check base_url, or report this.",
        ),
        "subscription_sharing_invalid_user": _PLAN_SIGNED_OUT,
        "chatpass_v2_scope_not_authorized": _PLAN_CONSENT,
        "chatpass_v2_invalid_authorization_context": _PLAN_CONSENT,
        401: _PLAN_SIGNED_OUT,
        403: Rule(
            AccessDeniedError,
            "OpenAI's policy does not allow this request{status}, for example because of the country or "
            "region: try without VPN or proxy.",
        ),
        503: _PLAN_UNAVAILABLE,
    },
)
SERVICES = {service.name: service for service in (CHATGPT_CODEX, CHATGPT_PLAN)}
