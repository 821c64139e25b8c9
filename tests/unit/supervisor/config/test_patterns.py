"""Patterns as they are given: braces as in a shell, and refusals that name the right pattern."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.supervisor.config.layers import split
from shardwatch.supervisor.config.patterns import BRACES_MAX, checked, expand
from shardwatch.supervisor.config.resolve import resolve


@pytest.mark.parametrize(
    "pattern",
    [
        "*.json", "*.{json,yml}", "{a,b}{c,d}", "{a,{b,c}d}/x", "a{,b}c", "{a,b", "x/{a/b,c}/*.json", "{{a,b},c}",
        "pre{a,b}{c,{d,e}}post", "{a\\,b,c}", "!{a,b}",
    ],
)  # fmt: skip
def test_braces_expand_as_in_a_shell(pattern: str) -> None:
    """bash itself says how; where it leaves one unclosed as it is, we refuse it."""
    script = f"set -f; printf '%s\\n' {pattern}".replace("!", "\\!")
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    if pattern == "{a,b":
        with pytest.raises(UsageError, match="never closed"):
            expand(pattern)
    else:
        assert [one.replace("\\,", ",") for one in expand(pattern)] == said


def test_what_is_escaped_or_in_a_class_is_no_brace() -> None:
    assert expand("\\{a,b\\}") == ["\\{a,b\\}"]
    assert expand("[{,}]x") == ["[{,}]x"]
    assert expand("[!]{]{a,b}") == ["[!]{]a", "[!]{]b"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{1..3}.json", "{1,2,3}"),
        ("*.{json}", "write *.json"),
        ("{}", "has no comma"),
        ("*.{json,yml", "never closed"),
        ("{a,b}" * 9, f"more than {BRACES_MAX}"),
        ("{" + ",".join(map(str, range(BRACES_MAX + 1))) + "}", f"more than {BRACES_MAX}"),
        ("{a," * 200 + "b" + "}" * 200, "nested more than 10 deep"),
        ("{a,b}" + "x" * 2_000, "1,024 at most"),
        ("./*.json", "write /*.json"),
        ("../*.json", "write *.json"),
        ("a/../b", "write a/b"),
        ("a/./b.json", "write a/b.json"),
        ("./x", "write /x"),
        ("!./x/", "write !/x/"),
        ("a//b", "write a/b"),
        ("//a", "write /a"),
        ("a//b/", "write a/b/"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("*.json ", "write *.json"),
        ("*.json\t", "write *.json"),
        ("# x", "write \\# x"),
        ("/", "write *"),
        ("x\\", "backslash"),
        ("[ab", "never closed"),
        ("{a,./b}", "write /b"),
    ],
)
@pytest.mark.parametrize("option", ["include", "exclude", "priorities"])
def test_what_can_match_nothing_is_refused_with_the_right_one(pattern: str, said: str, option: str, tmp_path: Path) -> None:
    """Whatever option it is given by; each message is one line that names the option."""
    value = {pattern: 1} if option == "priorities" else [pattern]
    with pytest.raises(UsageError) as caught:
        resolve(overrides={"roots": [str(tmp_path)], option: value}, environ={}, cwd=tmp_path)
    assert said in f"{caught.value.message} ({caught.value.hint})"
    assert caught.value.message.startswith(f"{option} (command line): ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "pattern", ["\\ ", "a\\ ", "/a", "src/*.json", ".hidden", "..a", "a..b/", "...", "\\#x", "\\{x\\}", "**/", "a b"]
)
def test_odd_patterns_that_mean_something_are_taken(pattern: str) -> None:
    assert checked("include", [pattern], "x") == [pattern]


def test_an_absolute_path_is_refused_where_it_can_not_be_meant(tmp_path: Path) -> None:
    """In a root: the pattern that is meant is named. Outside of all: it can match nothing. A slash for the root is as ever."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "src").mkdir(parents=True)
    elsewhere.mkdir()

    def said(pattern: str) -> str:
        with pytest.raises(UsageError) as caught:
            resolve(overrides={"roots": [str(root)], "include": [pattern]}, environ={}, cwd=tmp_path)
        return f"{caught.value.message} ({caught.value.hint})"

    assert "write /src/*.json" in said(f"{root}/src/*.json")
    assert "write /**/*.json" in said(f"{root}/**/*.json")
    assert "write /*.json" in said(f"{root}/*.json")
    assert "outside of the roots" in said(f"{elsewhere}/*.json")
    assert "outside of the roots" in said("/etc/*.conf")
    for pattern in ("/src/*.json", "/to_come/*.json", "/*.json", "/**/x.json"):
        taken = resolve(overrides={"roots": [str(root)], "include": [pattern]}, environ={}, cwd=tmp_path).settings
        assert taken.include == (pattern,)


def test_an_absolute_path_is_taken_where_the_root_is_all(tmp_path: Path) -> None:
    """Below `/` a pattern and a path with a slash at the beginning mean the same; in a root inside it they do not."""
    wanted = {"roots": ["/", str(tmp_path)], "exclude": ["/usr/", "/etc/*.conf"]}
    assert resolve(overrides=wanted, environ={}, cwd=tmp_path).settings.exclude[-2:] == ("/usr/", "/etc/*.conf")
    with pytest.raises(UsageError, match="absolute"):
        resolve(overrides={**wanted, "exclude": [f"{tmp_path}/*.json"]}, environ={}, cwd=tmp_path)


def test_every_layer_expands_braces(tmp_path: Path) -> None:
    """Configuration file, environment with its commas, and command line; priorities too."""
    (tmp_path / "shardwatch.toml").write_text('exclude = ["{a,b}/"]\n[priorities]\n"*.{x,y}" = 5\n')
    found = resolve(
        overrides={"exclude": ["c{1,2}"]}, environ={"SHARDWATCH_INCLUDE": "*.{json,yml}, {p,q}.txt"}, cwd=tmp_path
    ).settings
    assert found.include == ("*.json", "*.yml", "p.txt", "q.txt")
    assert found.exclude[-4:] == ("a/", "b/", "c1", "c2")
    assert found.priorities == {"*.x": 5, "*.y": 5}


def test_a_list_in_one_text_is_split_outside_of_braces() -> None:
    assert split("a, b,,c") == ["a", "b", "c"]
    assert split("{a,b},c\\,d,e") == ["{a,b}", "c\\,d", "e"]
    assert split("a,b\nc") == ["a,b", "c"]
    assert split("") == []
