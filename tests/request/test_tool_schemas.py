"""Any parameters of a tool become a schema the backend accepts, or the tool is left out with one warning."""

import copy
import json
import sys

import pytest
from amplifier_core.message_models import ToolSpec
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.protocol.text import json_text
from amplifier_module_provider_openai_chatgpt.request import tool_schemas
from amplifier_module_provider_openai_chatgpt.request.tool_schemas import sanitised
from tests.conftest import MODEL

from .conversations import call_for, request, user
from .schema_checker import schema_fault
from .test_accepted import refusal

TEXT = {"type": "string"}
NOTHING = {"type": "object", "properties": {}}


def offering(**properties: object) -> dict:
    return {"type": "object", "properties": properties}


REPAIRED = {
    "an empty schema": ({}, NOTHING),
    "no properties": ({"type": "object"}, NOTHING),
    "no type": ({"properties": {"a": TEXT}}, offering(a=TEXT)),
    "properties as a list": ({"type": "object", "properties": []}, NOTHING),
    "properties as null": ({"type": "object", "properties": None, "required": None}, NOTHING),
    "a nullable object": ({"type": ["object", "null"], "properties": {"a": TEXT}}, offering(a=TEXT)),
    "an array without items": (offering(a={"type": "array"}), offering(a={"type": "array", "items": TEXT})),
    "an array with null items": (
        offering(a={"type": "array", "items": None}),
        offering(a={"type": "array", "items": TEXT}),
    ),
    "a nullable array without items": (
        offering(a={"type": ["array", "null"]}),
        offering(a={"type": ["array", "null"], "items": TEXT}),
    ),
    "an array of untyped items": (
        offering(a={"type": "array", "items": {}}),
        offering(a={"type": "array", "items": TEXT}),
    ),
    "items of a tuple": (
        offering(a={"type": "array", "items": [TEXT, {"type": "integer"}]}),
        offering(a={"type": "array", "items": {"anyOf": [TEXT, {"type": "integer"}]}}),
    ),
    "an array deep inside": (
        offering(a={"anyOf": [{"type": "array", "items": {"type": "array"}}, {"type": "null"}]}),
        offering(
            a={"anyOf": [{"type": "array", "items": {"type": "array", "items": TEXT}}, {"type": "null"}]}
        ),
    ),
    "an array in additionalProperties": (
        offering(a={"type": "object", "additionalProperties": {"type": "array"}}),
        offering(
            a={
                "type": "object",
                "additionalProperties": {"type": "array", "items": TEXT},
                "properties": {},
            }
        ),
    ),
    "an array in a definition": (
        {**offering(a={"$ref": "#/$defs/L"}), "$defs": {"L": {"type": "array"}}},
        {**offering(a={"$ref": "#/$defs/L"}), "$defs": {"L": {"type": "array", "items": TEXT}}},
    ),
    "boolean schemas": (offering(a=True, b=False), offering(a=TEXT, b=TEXT)),
    "a property that is null": (offering(a=None), offering(a=TEXT)),
    "types of other languages": (
        offering(a={"type": "str"}, b={"type": "Int"}, c={"type": "float"}, d={"type": "bool"}),
        offering(a=TEXT, b={"type": "integer"}, c={"type": "number"}, d={"type": "boolean"}),
    ),
    "an unknown type": (
        offering(a={"type": "any", "minimum": 1}),
        offering(a={"type": "number", "minimum": 1}),
    ),
    "a list of unknown types": (offering(a={"type": ["x", 7]}), offering(a=TEXT)),
    "a missing type is implied": (
        offering(
            a={"enum": ["x", "y"]}, b={"const": 1}, c={"items": TEXT}, d={"required": ["q"]}, e={"maximum": 9}
        ),
        offering(
            a={"type": "string", "enum": ["x", "y"]},
            b={"type": "integer", "const": 1},
            c={"type": "array", "items": TEXT},
            d={"type": "object", "required": ["q"], "properties": {}},
            e={"type": "number", "maximum": 9},
        ),
    ),
    "an enum of several types": (
        offering(a={"enum": ["x", 1, None, True]}),
        offering(a={"type": ["string", "integer", "null", "boolean"], "enum": ["x", 1, None, True]}),
    ),
    "an empty enum": (offering(a={"type": "string", "enum": []}), offering(a=TEXT)),
    "null for optional keywords": (
        offering(a={"type": "string", "default": None, "description": None, "enum": None}),
        offering(a=TEXT),
    ),
    "a constant null": (offering(a={"const": None}), offering(a={"type": "null"})),
    "required as a flag and with odd names": (
        {**offering(a={"type": "string", "required": True}), "required": ["a", 7, "a"]},
        {**offering(a=TEXT), "required": ["a"]},
    ),
    "keywords with values of the wrong type": (
        offering(
            a={"type": "number", "minimum": "0", "exclusiveMinimum": True, "description": 7, "title": []}
        ),
        offering(a={"type": "number"}),
    ),
    "anyOf at the top": (
        {
            "anyOf": [
                {**offering(a=TEXT, c=TEXT), "required": ["a", "c"]},
                {**offering(b=TEXT, c={"type": "integer"}), "required": ["b", "c"]},
            ]
        },
        {
            "type": "object",
            "properties": {"a": TEXT, "c": {"anyOf": [TEXT, {"type": "integer"}]}, "b": TEXT},
            "required": ["c"],
        },
    ),
    "oneOf next to properties": (
        {**offering(a=TEXT, b=TEXT), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        offering(a=TEXT, b=TEXT),
    ),
    "allOf of references": (
        {"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"]}], "$defs": {"A": offering(b=TEXT)}},
        {
            "type": "object",
            "$defs": {"A": offering(b=TEXT)},
            "properties": {"b": TEXT},
            "required": ["b"],
        },
    ),
    "compositions inside a composition": (
        {"anyOf": [{"oneOf": [offering(a=TEXT), offering(b=TEXT)]}, offering(c=TEXT), {"type": "null"}]},
        offering(a=TEXT, b=TEXT, c=TEXT),
    ),
    "enum and not at the top": (
        {**offering(a=TEXT), "enum": [{}], "not": {"required": ["b"]}},
        offering(a=TEXT),
    ),
    "a reference at the top": (
        {"$ref": "#/$defs/A", "$defs": {"A": {**offering(b=TEXT), "required": ["b"]}}},
        {**offering(b=TEXT), "required": ["b"], "$defs": {"A": {**offering(b=TEXT), "required": ["b"]}}},
    ),
    "a reference to nothing": (
        offering(a={"$ref": "#/$defs/Gone", "description": "d"}, b={"$ref": "https://example.com/s.json"}),
        offering(a={"type": "string", "description": "d"}, b=TEXT),
    ),
    "a reference into what is removed": (
        {**offering(a={"$ref": "#/anyOf/0/properties/b"}), "anyOf": [offering(b=TEXT)]},
        offering(a=TEXT, b=TEXT),
    ),
    "a reference that is not text": (offering(a={"$ref": 7}), offering(a=TEXT)),
}


@pytest.mark.parametrize("kind", REPAIRED)
def test_an_invalid_schema_is_repaired(kind):
    given_schema, expected = REPAIRED[kind]
    before = copy.deepcopy(given_schema)

    assert sanitised(given_schema) == expected
    assert given_schema == before
    assert schema_fault(expected) is None


GOOD = {
    "plain": {**offering(a=TEXT, b={"type": "integer", "minimum": 0}), "required": ["a"]},
    "another order of keywords": {"required": [], "properties": {"a": TEXT}, "type": "object"},
    "a nullable text": offering(a={"type": ["string", "null"]}, b={"anyOf": [TEXT, {"type": "null"}]}),
    "a constant": offering(a={"type": "string", "const": "x"}, b={"const": "x", "type": "string"}),
    "an enum": offering(a={"type": ["string", "null"], "enum": ["x", None]}),
    "a recursive definition": {
        **offering(tree={"$ref": "#/$defs/Node"}),
        "$defs": {"Node": offering(children={"type": "array", "items": {"$ref": "#/$defs/Node"}})},
    },
    "a reference to the whole": offering(child={"$ref": "#"}),
    "a reference to a property": offering(a=TEXT, b={"$ref": "#/properties/a"}),
    "a reference with escapes": {**offering(a={"$ref": "#/$defs/x~1y~0z"}), "$defs": {"x/y~z": TEXT}},
    "no more properties": {**offering(a=TEXT), "additionalProperties": False},
    "unknown keywords": {
        **offering(a={"type": "string", "x-order": 1, "nullable": True, "examples": [None], "format": "odd"}),
        "$schema": "http://json-schema.org/draft-07/schema#",
        "x-meta": {"a": None},
    },
    "conditions": {
        **offering(a=TEXT, b=TEXT),
        "if": {"properties": {"a": {"const": "x", "type": "string"}}},
        "then": {"required": ["b"]},
        "else": False,
    },
    "properties named like keywords": offering(
        type=TEXT, properties=TEXT, items=TEXT, enum=TEXT, anyOf=TEXT, required=TEXT, default=TEXT
    ),
    "a default that looks like a schema": offering(
        a={"type": "object", "properties": {}, "default": {"$ref": "#/gone", "type": "odd", "x": None}}
    ),
    "a tuple": offering(a={"type": "array", "prefixItems": [TEXT, TEXT], "items": TEXT}),
    "a draft that closes tuples": offering(a={"type": "array", "items": {"type": "string"}, "minItems": 2}),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_schema_is_not_touched(kind):
    assert schema_fault(GOOD[kind]) is None
    assert json_text(sanitised(GOOD[kind])) == json_text(GOOD[kind])


HOPELESS = {
    "a text": {"type": "string"},
    "an array": {"type": "array", "items": TEXT},
    "only null": {"type": "null"},
    "a reference to nothing": {"$ref": "#/$defs/Gone"},
    "a reference to itself": {"$ref": "#"},
    "references in a circle": {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
    },
    "a reference to another document": {"$ref": "https://example.com/schema.json"},
    "too many schemas": offering(**{f"p{n}": TEXT for n in range(tool_schemas.MOST + 1)}),
}


@pytest.mark.parametrize("kind", HOPELESS)
def test_a_tool_whose_schema_cannot_be_repaired_is_left_out_with_one_warning(kind, caplog):
    specs = [ToolSpec(name="bad", parameters=HOPELESS[kind]), ToolSpec(name="good", parameters={})]
    warned: set[str] = set()

    for _ in range(2):
        payload = call_for(request(user(), tools=specs), warned=warned, model=MODEL).payload()
        assert [tool["name"] for tool in payload["tools"]] == ["good"]

    assert caplog.messages == ["Tool 'bad' is left out: its parameters are not the schema of an object."]


@pytest.mark.parametrize(
    "value", [None, True, False, 7, 1.5, "text", [], [{}], float("nan"), object(), {1: 2}]
)
def test_what_is_not_a_schema_gives_an_empty_one_or_none(value):
    schema = sanitised(value)

    assert schema is None or schema_fault(schema) is None


@pytest.mark.parametrize("levels", [10, 49, 60, 150, 250, 5000])
def test_nesting_is_bounded(levels):
    schema: dict = {"type": "array"}
    for _ in range(levels):
        schema = offering(a=schema)
    result = sanitised(schema)

    assert result is None or schema_fault(result) is None
    assert (levels >= 50) or json_text(result).count('"items"') == 1


def test_cached_schemas_are_found_by_content_alone():
    first = sanitised(offering(a={"type": "array", "description": "cached by content"}))
    hits = tool_schemas._sanitised.cache_info().hits

    assert (
        sanitised(json.loads(json.dumps(offering(a={"type": "array", "description": "cached by content"}))))
        is first
    )
    assert tool_schemas._sanitised.cache_info().hits == hits + 1


def steps(work) -> int:
    """Count the calls of Python and C functions in ``work``; the same on every machine."""
    count = 0

    def note(_frame, event, _arg):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_the_same_tools_cost_next_to_nothing_the_second_time():
    fields = {f"field_{n}": {"type": "array", "description": "what it is for"} for n in range(8)}
    specs = [ToolSpec(name=f"tool_{n}", parameters=offering(**fields, own={"const": n})) for n in range(300)]

    first = steps(lambda: call_for(request(user(), tools=specs)))
    again = [ToolSpec(**spec.model_dump()) for spec in specs]
    second = steps(lambda: call_for(request(user(), tools=again)))

    assert second < first / 5
    assert second < 30 * len(specs)


def test_a_name_that_is_offered_twice_is_sent_once_with_one_warning(caplog):
    specs = [ToolSpec(name="look", parameters={}, description=words) for words in ("one", "two", "three")]

    payload = call_for(request(user(), tools=specs)).payload()

    assert [tool["description"] for tool in payload["tools"]] == ["one"]
    assert caplog.messages == ["Tool 'look' is offered more than once; the first is sent."]


leaves = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.sampled_from(["", "a", "#", "object"])
)
anything = st.recursive(
    leaves | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
types: st.SearchStrategy = st.sampled_from(
    ["string", "object", "array", "null", "integer", "int", "any", "Array", "file", 7, None, []]
)
references = st.sampled_from(["#", "#/$defs/a", "#/properties/a", "#/anyOf/0", "#/$defs/b/items", "x", "", 7])
spoilt: st.SearchStrategy = st.sampled_from([None, True, [], {}, "x", 0])
KEYWORDS = [*sorted(tool_schemas._RULES), "const", "default", "x-odd", "nullable"]


def schemas(inner):
    named = st.dictionaries(st.sampled_from(["a", "b", "$ref", "type"]), inner, max_size=3)
    several = st.lists(inner, max_size=3)
    known = {
        "type": types | st.lists(types, max_size=3),
        "$ref": references,
        **dict.fromkeys(
            ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"), named
        ),
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), several),
        **dict.fromkeys(("items", "not", "if", "then", "contains", "additionalProperties"), inner | several),
        "enum": st.lists(leaves, max_size=3),
        "required": st.lists(st.sampled_from(["a", "b", 7]), max_size=3),
    }
    keyword = st.sampled_from(KEYWORDS)
    entry = keyword.flatmap(lambda key: st.tuples(st.just(key), known.get(key, anything) | spoilt))
    return st.lists(entry, max_size=5).map(dict)


schema_like = st.recursive(schemas(anything) | spoilt, schemas, max_leaves=12)
properties = st.dictionaries(st.sampled_from("ab"), schema_like)
objects = st.one_of(
    st.fixed_dictionaries({}, optional={"type": st.just("object"), "properties": properties}),
    schemas(schema_like),
)
parameters = objects | schema_like
quick = settings(max_examples=150)


@quick
@given(anything | parameters)
def test_any_json_value_gives_an_accepted_schema_or_none(value):
    before = json_text(value)
    schema = sanitised(value)

    assert json_text(value) == before
    if schema is not None:
        assert schema_fault(schema) is None
        assert json_text(sanitised(schema)) == json_text(schema)


@quick
@given(parameters)
def test_an_accepted_schema_is_not_touched(value):
    value = json.loads(json_text(value))
    if schema_fault(value) is None and "$ref" not in value:
        result = sanitised(value)
        assert result is not None
        assert sorted(result["properties"]) == sorted(value["properties"])


@quick
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "my.tool", ""]), parameters), max_size=6))
def test_any_set_of_tools_is_accepted(tools):
    specs = [ToolSpec(name=name, parameters=one if isinstance(one, dict) else {}) for name, one in tools]
    before = [spec.model_dump_json() for spec in specs]
    call = call_for(request(user(), tools=specs), model=MODEL)
    sent = call.payload().get("tools", [])

    assert all(schema_fault(tool["parameters"]) is None for tool in sent)
    assert refusal(call) is None
    assert len({tool["name"] for tool in sent}) == len(sent)
    assert (
        call.body() == call_for(request(user(), tools=specs), remembered=remember(call), model=MODEL).body()
    )
    assert [spec.model_dump_json() for spec in specs] == before


def remember(call) -> dict[str, str]:
    return {call.conversation.of: call.conversation.id}


@pytest.mark.long
def test_five_thousand_sets_of_tools_are_accepted():
    rule = test_any_set_of_tools_is_accepted
    settings(max_examples=5000)(
        given(st.lists(st.tuples(st.sampled_from(["a", "b", "my.tool", ""]), parameters), max_size=6))(
            rule.hypothesis.inner_test  # type: ignore[attr-defined]
        )
    )()


@pytest.mark.long
def test_five_thousand_values_give_an_accepted_schema_or_none():
    rule = test_any_json_value_gives_an_accepted_schema_or_none
    settings(max_examples=5000)(given(anything | parameters)(rule.hypothesis.inner_test))()  # type: ignore[attr-defined]
