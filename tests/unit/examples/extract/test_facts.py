"""What one file of AST JSON says."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from shardwatch.supervisor.demo.tree import encode_node

sys.path.insert(0, str(Path(__file__).parents[4] / "examples/extract"))

from facts import Facts, Function, Import, facts_of, module_name


def said(source: str, relative: str = "pkg/inner/mod.ast.json") -> Facts:
    return facts_of(json.dumps(encode_node(ast.parse(source))).encode(), relative)


@pytest.mark.parametrize(
    ("relative", "name"),
    [
        ("os.ast.json", "os"), ("json/tool.ast.json", "json.tool"), ("json/__init__.ast.json", "json"), ("a/b.json", "a.b"),
    ],
)  # fmt: skip
def test_a_module_is_named_after_its_place(relative: str, name: str) -> None:
    """As Python would import it."""
    assert module_name(relative) == name


def test_imports_are_found_everywhere() -> None:
    """At the top, in a function, under a condition; several in one line."""
    source = "import os, json.decoder as d\nif os:\n    from email import message\ndef f():\n    import re\n"
    assert said(source).imports == (Import("os", 1), Import("json.decoder", 1), Import("email", 3), Import("re", 5))


@pytest.mark.parametrize(
    ("relative", "names"),
    [
        ("pkg/inner/mod.ast.json", ["pkg.inner", "pkg.inner.x", "pkg", "pkg.y"]),
        ("pkg/inner/__init__.ast.json", ["pkg.inner", "pkg.inner.x", "pkg", "pkg.y"]),
        ("top.ast.json", ["", "x", "", "y"]),
    ],
)
def test_relative_imports_are_resolved(relative: str, names: list[str]) -> None:
    """From the place of the file; those that lead out of the tree end at its top."""
    source = "from . import a\nfrom .x import a\nfrom .. import a\nfrom ..y import a\n"
    assert [fact.name for fact in said(source, relative).imports] == names


def test_functions_have_the_names_of_what_is_around_them() -> None:
    """Classes and functions, at any depth."""
    source = "class A:\n    async def m(self):\n        def inner(): pass\ndef f(): pass\n"
    assert said(source).functions == (Function("A.m", 2), Function("A.m.inner", 3), Function("f", 4))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"_type":"Module","body":[{"_type":"Import"}]}', b"[" * 100_000, b'{"_type":"x"}']
)
def test_what_is_no_ast_json_is_told(content: bytes) -> None:
    """There are no facts, and a reason."""
    facts = facts_of(content, "a.json")
    assert facts.problem
    assert not facts.imports and not facts.functions
