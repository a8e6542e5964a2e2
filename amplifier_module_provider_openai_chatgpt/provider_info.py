"""How the provider describes itself to hosts: capabilities, defaults, and the questions of their wizards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amplifier_core.models import ConfigField, ProviderInfo

from .services import CHATGPT_CODEX, SERVICES
from .settings import EFFORTS, PROVIDER

if TYPE_CHECKING:
    from amplifier_core.models import ModelInfo

    from .settings import Settings

DISPLAY_NAME = "OpenAI ChatGPT"
CAPABILITIES = ("streaming", "tools", "thinking", "vision")
BY_DEVICE_CODE = "auth:oauth-device-code"


def provider_info(settings: Settings, model: ModelInfo) -> ProviderInfo:
    """Describe a provider with these settings, whose calls without a model use ``model``."""
    has_device_codes = bool(settings.service.issuer.device_code_path)
    return ProviderInfo(
        id=PROVIDER,
        display_name=DISPLAY_NAME,
        credential_env_vars=[],
        capabilities=[*CAPABILITIES, *([BY_DEVICE_CODE] if has_device_codes else [])],
        defaults={
            "auth_mode": settings.auth_mode,
            "model": model.id,
            "context_window": model.context_window,
            "max_output_tokens": model.max_output_tokens,
        },
        config_fields=[
            ConfigField(
                id="auth_mode",
                display_name="Sign-in",
                prompt="How should this provider use your ChatGPT plan?",
                field_type="choice",
                choices=list(SERVICES),
                default=CHATGPT_CODEX.name,
                required=False,
            ),
            ConfigField(
                id="reasoning_effort",
                display_name="Reasoning effort",
                prompt="How hard should the model think?",
                field_type="choice",
                choices=list(EFFORTS),
                default="medium",
                required=False,
                requires_model=True,
            ),
        ],
    )
