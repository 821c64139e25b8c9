"""The real tree that `make run` watches: is its JSON what its docstring says, and is a broken run made anew?"""

from __future__ import annotations

import ast
import base64
import json
import math
from pathlib import Path

import pytest

from shardwatch.supervisor.demo import tree as demo_tree
from shardwatch.supervisor.demo.tree import encode_constant, encode_node, make_tree, mirrored, parse_file


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, None),
        (True, True),
        ("plain", "plain"),
        ("ümlaut", "ümlaut"),
        (2**53, 2**53),
        (2**53 + 1, {"$int": hex(2**53 + 1)}),
        (-(10**30), {"$int": hex(-(10**30))}),
        (1.5, 1.5),
        (math.inf, {"$float": "inf"}),
        (-math.inf, {"$float": "-inf"}),
        (math.nan, {"$float": "nan"}),
        (b"\0\xff", {"$bytes": base64.b64encode(b"\0\xff").decode()}),
        (2j, {"$complex": ["0.0", "2.0"]}),
        (complex(0, math.inf), {"$complex": ["0.0", "inf"]}),
        (..., {"$ellipsis": True}),
        ("\ud800", {"$str": base64.b64encode(b"\xed\xa0\x80").decode()}),
    ],
)
def test_every_constant_has_an_encoding(value: object, encoded: object) -> None:
    """JSON that every reader accepts: no NaN, no lone surrogate, no integer that a double can't hold."""
    assert encode_constant(value) == encoded
    json.dumps(encode_constant(value), allow_nan=False, ensure_ascii=False).encode()


def test_what_is_no_constant_is_refused() -> None:
    """A new kind of constant in a later Python must be noticed, not guessed."""
    with pytest.raises(TypeError, match="object"):
        encode_constant(object())


def test_a_node_has_its_type_fields_and_position() -> None:
    """The shape that the module's docstring promises."""
    module = encode_node(ast.parse("x = 1"))
    (assign,) = module["body"]
    assert module["_type"] == "Module"
    assert assign["_type"] == "Assign" and assign["value"]["value"] == 1
    assert [assign[name] for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")] == [1, 0, 1, 5]


def test_a_file_becomes_json_and_a_broken_one_an_error(tmp_path: Path) -> None:
    """What does not parse is the caller's to skip and count."""
    source = tmp_path / "a.py"
    source.write_text("def f():\n    return 1e400, b'x', ...\n")
    assert json.loads(parse_file(source))["_type"] == "Module"
    source.write_text("def f(:\n")
    with pytest.raises(SyntaxError):
        parse_file(source)


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of three modules, one of them broken, and a test package."""
    home = tmp_path / "lib"
    for name, text in {"a.py": "A = 1", "p/b.py": "B = 2", "p/broken.py": "(", "p/tests/t.py": "T = 1"}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.setattr(demo_tree, "library", lambda: home)
    return home


def _files(tree: Path) -> set[str]:
    return {p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}


def test_the_tree_mirrors_the_library(small_library: Path, tmp_path: Path) -> None:
    """Every module that parses, no tests, the skipped counted, and one branch 20 directories deep."""
    seen: list[tuple[int, int]] = []
    tree = tmp_path / "out/tree"
    made = make_tree(tree, lambda done, total: seen.append((done, total)))
    deep = {p.relative_to(tree).as_posix() + "/leaf.ast.json" for p in demo_tree.deep_directories(tree)}
    assert len(deep) == 20
    assert _files(tree) == {"a.ast.json", "p/b.ast.json"} | deep
    assert (made.files, made.skipped) == (22, 1)
    assert seen[-1] == (3, 3)
    assert mirrored(Path("p/b.py")) == Path("p/b.ast.json")


def test_a_whole_tree_is_kept_and_a_broken_run_is_made_anew(small_library: Path, tmp_path: Path) -> None:
    """The manifest is written last: without it whatever lies there is not believed."""
    tree = tmp_path / "out/tree"
    made = make_tree(tree)
    (tree / "a.ast.json").write_text("changed")
    assert make_tree(tree) == made
    assert (tree / "a.ast.json").read_text() == "changed"
    (tmp_path / "out/tree.json").unlink()
    (tmp_path / "out/tree.building").mkdir()
    assert make_tree(tree) == made
    assert (tree / "a.ast.json").read_text() != "changed"
    assert not (tmp_path / "out/tree.building").exists()
