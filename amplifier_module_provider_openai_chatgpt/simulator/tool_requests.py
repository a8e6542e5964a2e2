"""Which tools a prompt asks for: by name, or by verb and object; tools with side effects need a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

Json = dict[str, Any]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_REMINDER = re.compile(
    r"<system-reminders?\b[^>]*>.*?(?:</system-reminders?\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
_QUOTES = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|“[^”]*”|(?<!\w)'[^'\n]*'(?!\w)|^[ \t]*[$>#%].*$",
    re.DOTALL | re.MULTILINE,
)
_CLAUSE_END = re.compile(r"[.!?;:\n](?=\s|\Z)|\n|,?\s+(?:and\s+)?then\s+", re.IGNORECASE)
_PATH = re.compile(r"[\w~]*(?:[./\\:-][\w~]+)+")
_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*(?:['’][^\W_]+)?")

_OPENINGS = tuple(
    tuple(phrase.split())
    for phrase in (
        *("please", "now", "and", "then", "also", "first", "next", "finally", "ok", "okay", "so", "again"),
        *("can you", "could you", "will you", "would you please", "i want you to", "i would like you to"),
        *("let us", "let's", "go ahead and", "do you know"),
    )
)
_FILLERS = _set("the a an my our your this that these those me us current local up out for of all any")
_CALLING = _set("use call invoke run try")
_ASKING = _set("what which what's whats")
_IS = _set("is are was")
_READ = 20_000
_LONGEST_OBJECT = 4
_AFTER_OBJECT = _set(
    "… about again and are as at by for from here in is it like now of on please right there today "
    "using via was will with"
)
# A tool's verb -> the verbs by which a person asks for it.
_VERBS: dict[str, frozenset[str]] = {
    "get": _set("get check fetch find give look retrieve show"),
    "read": _set("read open show view"),
    "list": _set("list show"),
    "search": _set("search find look"),
    "find": _set("find search"),
    "fetch": _set("fetch get load open retrieve"),
    "load": _set("load fetch open"),
    "check": _set("check"),
    "show": _set("show display"),
    "look": _set("look"),
    "count": _set("count"),
    "query": _set("query"),
    "add": _set("add"),
}
_SIDE_EFFECTS = _set(
    "agent append appl approv archiv assign automat bash book buy cancel chang chmod clear clos command "
    "commit creat decrypt delegat delet deploy destroy disabl download drop edit email enabl encrypt "
    "eras eval exec execut flush insert install invit invok kill launch mail manag merg migrat modif "
    "mov order overwrit patch pay post publish purg push put reboot recip remov renam replac reset "
    "restart revoc revok run sav schedul script send shell shutdown spawn start stop submit sync "
    "terminal toggl transfer trigger truncat uninstall updat upgrad upload wip workflow writ"
)
_ENDINGS = _set("d e ed er ers es ies ing ion ions ment ning or ors ped ping s ten ting tted y")
_SIDE_EFFECT = re.compile(f"(?:{'|'.join(sorted(_SIDE_EFFECTS))})(?:{'|'.join(sorted(_ENDINGS))})?")
_DIGEST = re.compile(r"_(?=[a-f]*\d)[0-9a-f]{8}\Z")
_EXECUTED = _set("command cmd script code shell statement")


def without_reminders(text: str) -> str:
    """Rule agent.reminders: return a user message without `<system-reminder>` blocks, which hooks add."""
    return _REMINDER.sub("", text).strip()


def requested(tools: Sequence[Json], prompt: str) -> list[Json]:
    """Return the tools that `prompt` asks for, in the order in which they are offered.

    Rule agent.asked. A request is a clause that begins with "use", "call" or the like and the tool's name,
    or with the verb of the tool's name and its object ("read the file" for `read_file`), or with "what" and
    the object ("what time is it" for `get_time`). Quoted text and code are never a request.
    """
    clauses = [*_clauses(prompt[:_READ], {tool["name"] for tool in tools})]
    return [tool for tool in tools if any(_asks(clause, _name(tool["name"])) for clause in clauses)]


def has_side_effects(tool: Json) -> bool:
    """Return True for a tool that may change or start something, by its name, description or parameters."""
    words = [*_name_words(tool["name"]), *_plain_words(tool.get("description") or "")]
    parameters = tool.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    executed = isinstance(properties, dict) and not _EXECUTED.isdisjoint(properties)
    return executed or any(_SIDE_EFFECT.fullmatch(word) for word in words)


def harmless_or_scripted(tools: Sequence[Json], scripted: Collection[str]) -> list[Json]:
    """Rule agent.side-effects: only harmless tools and those that a script names may be called."""
    return [tool for tool in tools if tool["name"] in scripted or not has_side_effects(tool)]


@dataclass(frozen=True, slots=True)
class _Name:
    """A tool's name as words, its verb and its object; a digest at the end of the name is not a word."""

    name: str
    words: list[str]
    verb: str
    object: list[str]


def _name(name: str) -> _Name:
    words = _name_words(_DIGEST.sub("", name))
    verbs = [word for word in (*words[:1], *words[-1:]) if word in _VERBS]
    if not verbs and len(words) == 1:
        return _Name(name, words, "get", words)
    verb = (verbs or words)[0] if words else ""
    rest = [word for word in words if word != verb and word not in _FILLERS]
    return _Name(name, words, verb, rest)


def _clauses(prompt: str, names: set[str]) -> Iterator[list[str]]:
    """Yield the words of each clause without its opening ("please", "can you"); quoted text is left out."""

    def quoted(match: re.Match[str]) -> str:
        inner = match.group().strip("`\"“”' ")
        return inner if inner in names else " … "

    for clause in _CLAUSE_END.split(_QUOTES.sub(quoted, prompt)):
        words = [word if word in names else word.lower() for word in _words(clause, names)]
        yield _without_opening(words)


def _words(text: str, names: set[str]) -> list[str]:
    """Return the words of `text`; a tool's name is one word, a path or address is "…"."""
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    named = rf"(?<![\w.-])(?:{pattern})(?![\w-])|" if pattern else ""
    return [
        "…" if path else word
        for word, path in re.findall(f"({named}…|({_PATH.pattern})|{_WORD.pattern})", text)
    ]


def _without_opening(words: list[str]) -> list[str]:
    while True:
        opening = next((one for one in _OPENINGS if tuple(words[: len(one)]) == one), None)
        if opening is None:
            return words
        words = words[len(opening) :]


def _asks(clause: list[str], name: _Name) -> bool:
    if not clause:
        return False
    first, rest = clause[0], clause[1:]
    if first in _CALLING and _names(rest, name):
        return True
    if not name.object:
        return False
    if rest[:1] == ["me"] and rest[1:2] and rest[1] in _ASKING:
        first, rest = rest[1], rest[2:]
    if first in _ASKING:
        return name.verb in _VERBS["get"] and _begins_with(_skip(rest, _FILLERS | _IS), name.object)
    return first in _VERBS.get(name.verb, {name.verb}) and _has_object(rest, name.object)


def _names(words: list[str], name: _Name) -> bool:
    """Return True where `words` begin with the tool's name; a plain word needs "tool" before or after it."""
    said = _skip(words, _FILLERS | {"tool", "function"})
    if said[:1] == [name.name]:
        around = words[: len(words) - len(said) + 2]
        return len(name.words) > 1 or not {"tool", "function"}.isdisjoint(around)
    return len(name.words) > 1 and said[: len(name.words)] == name.words


def _has_object(words: list[str], wanted: list[str]) -> bool:
    """Return True where the verb's objects include `wanted`; "and" joins them, one adjective may precede."""
    while words:
        named = _skip(words, _FILLERS)
        if _begins_with(named, wanted) or _begins_with(named[1:], wanted):
            return True
        joint = next((place for place, word in enumerate(named[:_LONGEST_OBJECT]) if word == "and"), None)
        words = named[joint + 1 :] if joint else []
    return False


def _begins_with(words: list[str], wanted: list[str]) -> bool:
    """Return True where `words` begin with the object and go on with something other than a compound noun."""
    said = words[: len(wanted)]
    same = len(said) == len(wanted) and all(
        word.removesuffix("s") == one.removesuffix("s") for word, one in zip(said, wanted, strict=True)
    )
    return same and (len(words) == len(wanted) or words[len(wanted)] in _AFTER_OBJECT)


def _skip(words: list[str], fillers: Collection[str]) -> list[str]:
    start = next((place for place, word in enumerate(words) if word not in fillers), len(words))
    return words[start:]


def _name_words(name: str) -> list[str]:
    return _plain_words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def _plain_words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
