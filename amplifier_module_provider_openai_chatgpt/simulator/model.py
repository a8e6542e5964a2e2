"""What the simulated model answers: thoughts, tool calls and texts, all decided by the request alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from .rules import Policy, as_list, as_object, seal
from .schema_samples import salient, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_QUOTED = 200
_CALLS = ("function_call", "custom_tool_call")
_SHORTEST_WORD = 5
_SEARCH_WORDS = frozenset({"search", "look", "news", "web"})
# Words that say nothing of a tool's subject: every prompt would ask for it.
_EMPTY = (
    "a about and could do for from get given in into its of on please returns run set should some tell that "
    "the their there these this those to tool use used user using when where which with would your"
)
_EMPTY_WORDS = frozenset(_EMPTY.split())


def respond(body: Json, policy: Policy) -> list[Json]:
    """Return the output items of the answer to an accepted request, without ids.

    A tool is called when `tool_choice` forces it, or when the latest user message has a word of its
    name ("time" asks for `get_time`) or a word of at least five letters of its description, and the
    conversation has no call of it since that message. The same request always gets the same answer.
    """
    scene = _read(body)
    called = _wanted(scene)
    items = [*_thoughts(scene, policy, [tool["name"] for tool in called])]
    if called:
        items.append(_message(_rest(scene, "Let me check."), "commentary"))
        return [*items, *(_call(tool, scene, place) for place, tool in enumerate(called))]
    if _searches(scene):
        return [*items, *_search(scene)]
    return [*items, _message(_rest(scene, _answer(scene)), "final_answer")]


def cut_short(items: list[Json]) -> list[Json]:
    """Return what is out of an answer that stops half way through its text; calls would come later."""
    kept = [item for item in items if item["type"] not in _CALLS]
    if not kept or kept[-1]["type"] != "message":
        return kept
    part = kept[-1]["content"][0]
    half = {**part, "text": part["text"][: len(part["text"]) // 2], "annotations": []}
    return [*kept[:-1], {**kept[-1], "status": "incomplete", "content": [half]}]


def _rest(scene: _Scene, text: str) -> str:
    """Return what is still to be said of a text that the conversation ends in the middle of."""
    results = [place for place, item in enumerate(scene.since, 1) if _is_result(item)]
    latest = scene.since[results[-1] if results else 0 :]
    said = "".join(_texts([item for item in latest if item.get("role") == "assistant"]))
    return text.removeprefix(said) or text


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the answer depends on: the request, its latest user message and what came after that."""

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


def _read(body: Json) -> _Scene:
    items = [item for item in as_list(body.get("input")) if isinstance(item, dict)]
    asked = [place for place, item in enumerate(items) if item.get("role") == "user"]
    last = asked[-1] if asked else -1
    messages = [items[last]] if asked else [item for item in items if item.get("role")]
    return _Scene(
        body=body,
        prompt=" ".join(_texts(messages)).strip(),
        turns=len(asked),
        images=sum(part.get("type") == "input_image" for item in items for part in _parts(item)),
        since=items[last + 1 :],
        tools=[*_callable(body, items)],
    )


def _callable(body: Json, items: list[Json]) -> Iterator[Json]:
    """Yield the tools that can be called, those within a namespace with its name beside them."""
    carried = [tool for item in items if item.get("type") == "additional_tools" for tool in item["tools"]]
    for tool in [*as_list(body.get("tools")), *carried]:
        if tool["type"] in ("function", "custom"):
            yield tool
        if tool["type"] == "namespace":
            space = {} if tool["name"] == "functions" else {"namespace": tool["name"]}
            yield from ({**inner, **space} for inner in tool["tools"])


def _parts(item: Json) -> list[Json]:
    content = item.get("content") or item.get("output")
    return [part for part in as_list(content) if isinstance(part, dict)]


def _texts(items: list[Json]) -> list[str]:
    return [part["text"] for item in items for part in _parts(item) if isinstance(part.get("text"), str)]


def _wanted(scene: _Scene) -> list[Json]:
    """Return the tools to call now, in the order in which they are offered."""
    done = {item.get("name") for item in scene.since if item.get("type") in _CALLS}
    open_tools = [tool for tool in scene.tools if tool["name"] not in done]
    if scene.choice == "none" or not open_tools:
        return []
    if isinstance(scene.choice, dict):
        return [tool for tool in open_tools if tool["name"] == scene.choice.get("name")]
    words = _words(scene.prompt)
    asked = [tool for tool in open_tools if words & _words_of(tool)]
    if scene.choice == "required" and not done:
        asked = asked or open_tools[:1]
    return asked if scene.body.get("parallel_tool_calls") else asked[:1]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))


def _words_of(tool: Json) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool["name"])
    described = {word for word in _words(tool.get("description") or "") if len(word) >= _SHORTEST_WORD}
    return (_words(spaced) | described) - _EMPTY_WORDS


def _call(tool: Json, scene: _Scene, place: int) -> Json:
    seed = to_json([scene.prompt, scene.turns, len(scene.since), place, tool["name"]])
    call: Json = {"call_id": f"call_{hashlib.sha256(seed).hexdigest()[:24]}", "name": tool["name"]}
    if "namespace" in tool:
        call["namespace"] = tool["namespace"]
    if tool["type"] == "custom":
        return {"type": "custom_tool_call", **call, "input": scene.prompt}
    arguments = sample(tool.get("parameters") or {"type": "object"}, scene.prompt)
    return {"type": "function_call", **call, "arguments": to_json(arguments).decode()}


def _thoughts(scene: _Scene, policy: Policy, called: list[str]) -> Iterator[Json]:
    """Yield the reasoning: only where asked for, summed up and sealed only where those are asked for."""
    reasoning = as_object(scene.body.get("reasoning"))
    if not reasoning or reasoning.get("effort") == "none":
        return
    plan = f"I will call {' and '.join(called)}." if called else "I can answer this at once."
    texts = [f"**Reading the question**\n\nThe user asks: {_short(scene.prompt)}", f"**Deciding**\n\n{plan}"]
    shown = texts if reasoning.get("summary") else []
    item: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in shown],
    }
    if "reasoning.encrypted_content" in as_list(scene.body.get("include")):
        item["encrypted_content"] = seal("\n".join(texts), policy, str(scene.body.get("model")))
    yield item


def _message(text: str, phase: str, annotations: list[Json] | None = None) -> Json:
    part = {"type": "output_text", "annotations": annotations or [], "text": text}
    return {"type": "message", "role": "assistant", "phase": phase, "content": [part]}


def _answer(scene: _Scene) -> str:
    form = as_object(as_object(scene.body.get("text")).get("format"))
    if form.get("type") == "json_schema":
        return to_json(sample(form["schema"], scene.prompt)).decode()
    if form.get("type") == "json_object":
        return to_json({"answer": _plain(scene)}).decode()
    return _plain(scene)


def _plain(scene: _Scene) -> str:
    if scene.results:
        found = " and ".join(f"“{_result(item)[:_QUOTED]}”" for item in scene.results)
        return f"The tool says {found}. That answers your question: {_short(scene.prompt)}"
    subject = salient(scene.prompt)
    if subject == scene.prompt:
        subject = next(reversed(re.findall(r"\w+", subject)), "that")
    seen = f"I see {scene.images} image{'' if scene.images == 1 else 's'}. " if scene.images else ""
    return (
        f"{seen}You asked: “{_short(scene.prompt)}”. This is message {scene.turns} of our conversation, "
        "and a simulated model answers it. A real one would have more to say about "
        f"{subject}."
    )


def _result(item: Json) -> str:
    output = item.get("output")
    return output if isinstance(output, str) else " ".join(_texts([item]))


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def _searches(scene: _Scene) -> bool:
    offered = any(as_object(tool).get("type") == "web_search" for tool in as_list(scene.body.get("tools")))
    forced = as_object(scene.choice).get("type") == "web_search"
    return offered and scene.choice != "none" and (forced or bool(_words(scene.prompt) & _SEARCH_WORDS))


def _search(scene: _Scene) -> list[Json]:
    query = _short(scene.prompt)
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
