"""The simulated model: reasoning, tool calls and texts, a function of the request alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from .rules import Policy, as_list, as_object, seal
from .schema_samples import salient, sample
from .tool_requests import harmless_or_scripted, requested, without_reminders

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_QUOTED = 200
_CALLS = ("function_call", "custom_tool_call")
_SEARCH = re.compile(r"(?:please )?(?:search|look up|google)\b", re.IGNORECASE)


def respond(body: Json, policy: Policy) -> list[Json]:
    """Return the output items of the answer to an accepted request, without ids.

    A tool is called when the latest user message asks for it (see ``tool_requests``) or `tool_choice`
    forces it, once per message. A tool with side effects is called only if ``policy.scripted_tools`` names
    it. Blocks of hooks (`<system-reminder>`) are not part of the message. Equal requests get equal answers.
    """
    talk = _read(body, policy)
    called = _called(talk, policy)
    items = [*_thoughts(talk, policy, [tool["name"] for tool in called])]
    if called:
        items.append(_message(_rest(talk, "Let me check."), "commentary"))
        return [*items, *(_call(tool, talk, place) for place, tool in enumerate(called))]
    if _searches(talk):
        return [*items, *_search(talk)]
    return [*items, _message(_rest(talk, _answer(talk, policy)), "final_answer")]


def cut_short(items: list[Json]) -> list[Json]:
    """Return the first half of an answer, which ends within its text, before any call."""
    kept = [item for item in items if item["type"] not in _CALLS]
    if not kept or kept[-1]["type"] != "message":
        return kept
    part = kept[-1]["content"][0]
    half = {**part, "text": part["text"][: len(part["text"]) // 2], "annotations": []}
    return [*kept[:-1], {**kept[-1], "status": "incomplete", "content": [half]}]


def _rest(talk: _Conversation, text: str) -> str:
    """Return the rest of a text whose beginning is at the end of the conversation."""
    results = [place for place, item in enumerate(talk.since, 1) if _is_result(item)]
    latest = talk.since[results[-1] if results else 0 :]
    said = "".join(_texts([item for item in latest if item.get("role") == "assistant"]))
    return text.removeprefix(said) or text


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What the answer depends on: the request, its latest user message and the items after it."""

    body: Json
    prompt: str
    turns: int
    images: int
    since: list[Json]
    tools: list[Json]

    @property
    def choice(self) -> Any:
        return self.body.get("tool_choice") or "auto"

    @property
    def results(self) -> list[Json]:
        return [item for item in self.since if _is_result(item)]


def _is_result(item: Json) -> bool:
    return str(item.get("type")).endswith("_call_output")


def _read(body: Json, policy: Policy) -> _Conversation:
    items = [item for item in as_list(body.get("input")) if isinstance(item, dict) and not _is_reminder(item)]
    asked = [place for place, item in enumerate(items) if item.get("role") == "user"]
    last = asked[-1] if asked else -1
    messages = [items[last]] if asked else [item for item in items if item.get("role")]
    return _Conversation(
        body=body,
        prompt=without_reminders(" ".join(_texts(messages))),
        turns=len(asked),
        images=sum(part.get("type") == "input_image" for item in items for part in _parts(item)),
        since=items[last + 1 :],
        tools=[*_callable(body, items, policy)],
    )


def _is_reminder(item: Json) -> bool:
    """Return True for a user message that a hook put in: nothing but reminders."""
    texts = _texts([item])
    only_text = bool(texts) and all(isinstance(part.get("text"), str) for part in _parts(item))
    return item.get("role") == "user" and only_text and not without_reminders(" ".join(texts))


def _callable(body: Json, items: list[Json], policy: Policy) -> Iterator[Json]:
    """Yield the function and custom tools; those in a namespace get its name."""
    is_named = policy.plan is not None and policy.plan.namespaced_calls
    carried = [tool for item in items if item.get("type") == "additional_tools" for tool in item["tools"]]
    for tool in [*as_list(body.get("tools")), *carried]:
        if tool["type"] in ("function", "custom"):
            yield tool
        if tool["type"] == "namespace":
            is_plain = tool["name"] == "functions" and not is_named
            space = {} if is_plain else {"namespace": tool["name"]}
            yield from ({**inner, **space} for inner in tool["tools"])


def _parts(item: Json) -> list[Json]:
    content = item.get("content") or item.get("output")
    return [part for part in as_list(content) if isinstance(part, dict)]


def _texts(items: list[Json]) -> list[str]:
    plain = [item["content"] for item in items if isinstance(item.get("content"), str)]
    parts = [part["text"] for item in items for part in _parts(item) if isinstance(part.get("text"), str)]
    return plain + parts


def _called(talk: _Conversation, policy: Policy) -> list[Json]:
    """Return the tools to call now, in the order in which they are offered."""
    done = {item.get("name") for item in talk.since if item.get("type") in _CALLS}
    offered = [
        tool for tool in harmless_or_scripted(talk.tools, policy.scripted_tools) if tool["name"] not in done
    ]
    if talk.choice == "none" or not offered:
        return []
    if isinstance(talk.choice, dict):
        return [tool for tool in offered if tool["name"] == talk.choice.get("name")]
    asked = requested(offered, talk.prompt)
    if talk.choice == "required" and not done:
        asked = asked or offered[:1]
    return asked if talk.body.get("parallel_tool_calls") else asked[:1]


def _call(tool: Json, talk: _Conversation, place: int) -> Json:
    seed = to_json([talk.prompt, talk.turns, len(talk.since), place, tool["name"]])
    call: Json = {"call_id": f"call_{hashlib.sha256(seed).hexdigest()[:24]}", "name": tool["name"]}
    if "namespace" in tool:
        call["namespace"] = tool["namespace"]
    if tool["type"] == "custom":
        return {"type": "custom_tool_call", **call, "input": talk.prompt}
    arguments = sample(tool.get("parameters") or {"type": "object"}, talk.prompt)
    return {"type": "function_call", **call, "arguments": to_json(arguments).decode()}


def _thoughts(talk: _Conversation, policy: Policy, called: list[str]) -> Iterator[Json]:
    """Yield the reasoning where requested, with a summary and ciphertext where those are requested."""
    reasoning = as_object(talk.body.get("reasoning"))
    if not reasoning or reasoning.get("effort") == "none":
        return
    plan = f"I will call {' and '.join(called)}." if called else "I can answer this directly."
    texts = [f"**Reading the question**\n\nThe user asks: {_short(talk.prompt)}", f"**Deciding**\n\n{plan}"]
    shown = texts if reasoning.get("summary") else []
    item: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in shown],
    }
    if "reasoning.encrypted_content" in as_list(talk.body.get("include")):
        item["encrypted_content"] = seal("\n".join(texts), policy, str(talk.body.get("model")))
    yield item


def _message(text: str, phase: str, annotations: list[Json] | None = None) -> Json:
    part = {"type": "output_text", "annotations": annotations or [], "text": text}
    return {"type": "message", "role": "assistant", "phase": phase, "content": [part]}


def _answer(talk: _Conversation, policy: Policy) -> str:
    form = as_object(as_object(talk.body.get("text")).get("format"))
    if form.get("type") == "json_schema":
        return to_json(sample(form["schema"], talk.prompt)).decode()
    if form.get("type") == "json_object":
        return to_json({"answer": _plain(talk, policy)}).decode()
    return _plain(talk, policy)


def _plain(talk: _Conversation, policy: Policy) -> str:
    if talk.results:
        found = " and ".join(f"“{_result(item)[:_QUOTED]}”" for item in talk.results)
        return f"The tool says {found}. That answers your question: {_short(talk.prompt)}"
    subject = salient(talk.prompt)
    if subject == talk.prompt:
        subject = next(reversed(re.findall(r"\w+", subject)), "that")
    seen = f"I see {talk.images} image{'' if talk.images == 1 else 's'}. " if talk.images else ""
    return (
        f"{seen}{_withheld(talk, policy)}You asked: “{_short(talk.prompt)}”. "
        f"This is message {talk.turns} of our conversation, "
        f"and a simulated model answers it. A real one would have more to say about {subject}."
    )


def _withheld(talk: _Conversation, policy: Policy) -> str:
    """Return the sentence that names the requested tools which the simulated model does not call."""
    allowed = harmless_or_scripted(talk.tools, policy.scripted_tools)
    names = [tool["name"] for tool in requested(talk.tools, talk.prompt) if tool not in allowed]
    return f"I do not call {' or '.join(names)}: a simulated model never changes anything. " if names else ""


def _result(item: Json) -> str:
    output = item.get("output")
    return output if isinstance(output, str) else " ".join(_texts([item]))


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def _searches(talk: _Conversation) -> bool:
    offered = any(as_object(tool).get("type") == "web_search" for tool in as_list(talk.body.get("tools")))
    forced = as_object(talk.choice).get("type") == "web_search"
    return offered and talk.choice != "none" and (forced or bool(_SEARCH.match(talk.prompt)))


def _search(talk: _Conversation) -> list[Json]:
    query = _short(talk.prompt)
    lead = "I searched the web and found one page: "
    title = "A simulated page"
    note = {
        "type": "url_citation",
        "start_index": len(lead),
        "end_index": len(lead) + len(title),
        "url": "https://example.com/simulated",
        "title": title,
    }
    action = {"type": "search", "query": query, "queries": [query]}
    return [
        {"type": "web_search_call", "status": "completed", "action": action},
        _message(f"{lead}{title}. It is about “{query}”.", "final_answer", [note]),
    ]
