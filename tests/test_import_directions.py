"""Which package may import which. Imports for types only and inside functions count too."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import amplifier_module_provider_openai_chatgpt as package

ROOT = Path(package.__file__).parent
BASE = {"services", "settings", "secret", "redaction", "tasks", "http", "quota", "files", "drift"}
# A package or top-level module, and what it may import. The order is that of a call.
MAY_IMPORT: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {
        "probe",
        "mounting",
        "provider",
        "call",
        "request",
        "errors",
        "models",
        "auth",
        "simulator",
        *BASE,
    },
    "__init__": {"mounting", "provider", "http"},
    "probe": {
        *("provider", "response", "transport", "errors", "models", "auth", "protocol"),
        *BASE,
    },
    "oauth": {"auth", *BASE},
    "plan_auth": {"auth", *BASE},
    "mounting": {"provider", "call", *BASE},
    "provider_info": BASE,
    "provider": {"provider_info", "call", "response", "transport", "models", "auth", *BASE},
    "call": {"request", "response", "transport", "errors", "models", "auth", "protocol", *BASE},
    "request": {"models", "protocol", *BASE},
    "response": {"protocol", *BASE},
    "transport": {"errors", "protocol", *BASE},
    "errors": BASE,
    "models": {"errors", *BASE},
    "auth": {"errors", *BASE},
    "protocol": {"models", "services", "settings", "secret"},  # a Call carries its Model
    "http": {"services", "settings", "redaction", "secret"},
    "quota": {"services", "settings", "redaction", "drift"},
    "drift": {"services", "redaction"},
    "settings": {"services", "redaction"},
    "redaction": {"services", "secret"},
    "secret": set(),
    "tasks": set(),
    "files": set(),
    "services": set(),
    "simulator": set(),
}
# Known exceptions, which should become fewer.
KNOWN: set[tuple[str, str]] = set()


def place(path):
    """Return the parts of a module's name within the package; those of ``__init__`` are its folder's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def targets(node, folder):
    """Yield the modules of the package that an import statement in ``folder`` names."""
    if isinstance(node, ast.Import):
        names = [alias.name.split(".") for alias in node.names]
        return [name[1:] for name in names if name[0] == ROOT.name]
    module = node.module.split(".") if node.module else []
    if node.level:
        module = [*folder[: len(folder) - node.level + 1], *module]
    elif module[:1] == [ROOT.name]:
        module = module[1:]
    else:
        return []
    return [module] if module else [[alias.name] for alias in node.names]


def imports():
    """Yield for each import: the importing package, the imported one, and file and line."""
    for path in sorted(ROOT.rglob("*.py")):
        folder, [here, *_] = path.relative_to(ROOT).parts[:-1], place(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target in targets(node, folder):
                    if target and target[0] != here:
                        yield here, target[0], f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.fixture(scope="module")
def graph():
    """Return where each package imports each other package."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for here, there, where in imports():
        found[here, there].append(where)
    return dict(found)


def test_every_package_is_in_the_order():
    tops = {place(path)[0] for path in ROOT.rglob("*.py")}
    assert tops == set(MAY_IMPORT)


def test_imports_follow_the_order_except_known_exceptions(graph):
    """Fails for a new exception, and for a known one that is gone: remove it from KNOWN."""
    wrong = {pair: where for pair, where in graph.items() if pair[1] not in MAY_IMPORT[pair[0]]}
    assert set(wrong) == KNOWN, wrong


def test_the_order_has_no_circle():
    TopologicalSorter(MAY_IMPORT).prepare()


def test_packages_do_not_import_each_other_in_a_circle(graph):
    edges = defaultdict(set)
    for here, there in graph:
        edges[here].add(there)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        pytest.fail("\n".join(f"{here} -> {there}: {graph[here, there]}" for here, there in pairwise(circle)))


def test_sign_in_and_transport_do_not_depend_on_each_other(graph):
    assert ("auth", "transport") not in graph
    assert ("transport", "auth") not in graph
