"""What one file of AST JSON says: its imports and its functions. Pure.

Nodes are objects, as `make run` writes them (supervisor/demo/tree.py): `_type` is the class of Python's `ast` module, the rest
are its fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

SUFFIX = ".ast.json"
_FUNCTIONS = ("FunctionDef", "AsyncFunctionDef")


class Import(NamedTuple):
    """One imported module."""

    #: With dots, without leading ones: relative imports are resolved.
    name: str
    line: int


class Function(NamedTuple):
    """One function or method."""

    #: With the classes and functions around it: `JSONDecoder.decode`.
    name: str
    line: int


@dataclass(frozen=True)
class Facts:
    """What a file says. Of one that can't be read as AST JSON only the reason is known."""

    imports: tuple[Import, ...] = ()
    functions: tuple[Function, ...] = ()
    problem: str = ""


def module_name(relative: str) -> str:
    """Of a file, from its path below the tree: `json/tool.ast.json` is `json.tool`, `json/__init__.ast.json` is `json`."""
    name = relative.removesuffix(".json").removesuffix(".ast").replace("/", ".")
    return name.removesuffix(".__init__")


def facts_of(content: bytes, relative: str) -> Facts:
    """What the file with this content and this path below the tree says."""
    try:
        root = json.loads(content)
        if not isinstance(root, dict) or root.get("_type") != "Module":
            return Facts(problem="no module")
        package = module_name(relative).split(".")
        if not relative.endswith(f"/__init__{SUFFIX}"):
            package.pop()
        found = list(_walk(root, package, ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Facts(problem=f"no AST JSON: {type(error).__name__}")
    imports = tuple(fact for fact in found if isinstance(fact, Import))
    return Facts(imports, tuple(fact for fact in found if isinstance(fact, Function)))


def _walk(node: dict[str, Any], package: list[str], around: str) -> Iterator[Import | Function]:
    kind = node.get("_type")
    if kind == "Import":
        yield from (Import(alias["name"], node["lineno"]) for alias in node["names"])
    elif kind == "ImportFrom":
        yield Import(_resolved(node["module"], node["level"] or 0, package), node["lineno"])
    elif kind in _FUNCTIONS:
        yield Function(around + node["name"], node["lineno"])
    inside = f"{around}{node['name']}." if kind in (*_FUNCTIONS, "ClassDef") else around
    for value in node.values():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, dict):
                yield from _walk(child, package, inside)


def _resolved(module: str | None, level: int, package: list[str]) -> str:
    """The full name of what `from ..module import x` means in a module of that package."""
    above = package[: max(0, len(package) - (level - 1))] if level else []
    return ".".join([*above, *filter(None, [module])])
