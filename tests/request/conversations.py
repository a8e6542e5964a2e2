"""Builders for the tests of requests: a small catalogue, one account, one session, messages and items."""

from typing import Any

from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model, look_up
from amplifier_module_provider_openai_chatgpt.protocol.call import Call
from amplifier_module_provider_openai_chatgpt.protocol.reasoning import to_block_content
from amplifier_module_provider_openai_chatgpt.request.build import build_call
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import Settings

from .pictures import b64, png

PNG = b64(png())
BLIND = Model("blind", input_modalities=("text",))
TERSE = Model("terse", verbosity=False, parallel_tool_calls=False, summaries=False)
THROUGH_XHIGH = ("low", "medium", "high", "xhigh")
OLDER = (
    Model("gpt-5.5", efforts=THROUGH_XHIGH, service_tiers=("priority",), verbosity=True),
    Model("gpt-5.2", efforts=THROUGH_XHIGH, verbosity=True),
)
CATALOGUE = {model.slug: model for model in (*OLDER, *BUILT_IN, BLIND, TERSE)}


def request(*messages: dict | Message, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=list(messages), **fields)


def call_for(
    asked: ChatRequest,
    *,
    settings: Settings | None = None,
    model: str = "gpt-5.5",
    account_id: str = "acc-1",
    session_id: str | None = "session-1",
    remembered: dict[str, str] | None = None,
    warned: set[str] | None = None,
    **kwargs: Any,
) -> Call:
    return build_call(
        asked,
        kwargs,
        settings or Settings(),
        model=model,
        find=lambda slug: look_up(CATALOGUE, slug),
        knows=CATALOGUE.__contains__,
        account_id=Secret(account_id),
        session_id=session_id,
        remembered={} if remembered is None else remembered,
        warned=warned,
    )


def payload_of(*messages: dict | Message, **options: Any) -> dict[str, Any]:
    return call_for(request(*messages), **options).payload()


def items_of(*messages: dict | Message, **options: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = payload_of(*messages, **options)["input"]
    return items


def user(text: str = "hi") -> dict:
    return {"role": "user", "content": text}


def assistant(*blocks: dict, **extra: Any) -> dict:
    return {"role": "assistant", "content": list(blocks), **extra}


def tool(call_id: str, content: Any = "done", **extra: Any) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **extra}


def text(words: str, **extra: Any) -> dict:
    return {"type": "text", "text": words, **extra}


def calls(call_id: str, name: str = "look", **arguments: Any) -> dict:
    return {"type": "tool_call", "id": call_id, "name": name, "input": arguments}


def image(data: str = PNG, media_type: str = "image/png") -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def thinking(ciphertext: str, *, model: str = "gpt-5.5", account_id: str = "acc-1") -> dict:
    item = {"encrypted_content": ciphertext, "summary": [{"type": "summary_text", "text": "so"}]}
    return {
        "type": "thinking",
        "thinking": "so",
        "content": to_block_content(item, model, Secret(account_id)),
    }


def said(role: str, words: str) -> dict:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": words}]}


def answered(words: str, **extra: Any) -> dict:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": words}],
        **extra,
    }


def called(call_id: str, name: str = "look", arguments: str = "{}") -> dict:
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}


def output(call_id: str, result: Any = "done") -> dict:
    return {"type": "function_call_output", "call_id": call_id, "output": result}


def reasoned(ciphertext: str) -> dict:
    summary = [{"type": "summary_text", "text": "so"}]
    return {"type": "reasoning", "summary": summary, "encrypted_content": ciphertext}
