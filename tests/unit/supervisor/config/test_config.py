"""The configuration: layers, origins, ranges, and one clear line for every mistake."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.options import OPTIONS, Number, Option, Paths, Whole
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings
from shardwatch.supervisor.config import profile
from shardwatch.supervisor.config.default_place import default_state_dir
from shardwatch.supervisor.config.file import find_config
from shardwatch.supervisor.config.names import default_text, flag, metavar, variable
from shardwatch.supervisor.config.resolve import Resolved, resolve

REPOSITORY = Path(__file__).resolve().parents[4]


def write(path: Path, text: str) -> Path:
    """A config file that only its owner may change, whatever the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def resolved(tmp_path: Path, text: str | None = None, env: dict[str, str] | None = None, **said: object) -> Resolved:
    """Resolves with this file (none if None), this environment and this command line."""
    file = None if text is None else write(tmp_path / "shardwatch.toml", text)
    return resolve(config_file=file, overrides=said, environ={"HOME": "/home/me", **(env or {})}, cwd=tmp_path)


def refused(tmp_path: Path, text: str | None = None, env: dict[str, str] | None = None, **said: object) -> str:
    """The one line with which it is refused."""
    with pytest.raises(UsageError) as caught:
        resolved(tmp_path, text, env, **said)
    line = str(caught.value)
    assert "\n" not in line and caught.value.exit_code == 2
    return line


def test_defaults_are_the_services(tmp_path: Path) -> None:
    """With nothing given, the settings are those that the contract documents, and the default profile."""
    result = resolved(tmp_path)
    assert result.settings == Settings(roots=(), include=profile.INCLUDE, exclude=profile.EXCLUDE)
    assert result.state_dir == Path("/home/me/.local/state/shardwatch")
    assert result.config_file is None
    assert set(result.origins.values()) == {"default"}
    assert list(result.origins) == list(OPTIONS)


def test_later_layers_win_and_say_where_from(tmp_path: Path) -> None:
    """Default, then file, then environment, then command line; each option remembers who set it."""
    text = "settle_ms = 1\nshards = 1\npoll_ms = 111\n"
    result = resolved(
        tmp_path, text, {"SHARDWATCH_SETTLE_MS": "2", "SHARDWATCH_SHARDS": "2"}, settle_ms=3, backend=None
    )
    assert (result.settings.settle_ms, result.settings.shards, result.settings.poll_ms) == (3, 2, 111)
    file = f"file {tmp_path}/shardwatch.toml"
    assert result.origins["settle_ms"] == "command line"
    assert result.origins["shards"] == "env SHARDWATCH_SHARDS"
    assert result.origins["poll_ms"] == file
    assert result.origins["backend"] == "default"


def test_includes_replace_and_excludes_add_up(tmp_path: Path) -> None:
    """The highest include replaces all others; excludes of all layers stand after the default ones."""
    text = 'include = ["*.a"]\nexclude = ["one"]\n'
    result = resolved(tmp_path, text, {"SHARDWATCH_EXCLUDE": "two, three"}, include=["*.b"], exclude=["four", "one"])
    assert result.settings.include == ("*.b",)
    assert result.settings.exclude == (*profile.EXCLUDE, "one", "two", "three", "four")
    assert result.origins["exclude"].endswith("shardwatch.toml + env SHARDWATCH_EXCLUDE + command line")
    bare = resolved(tmp_path, text, default_excludes=False)
    assert bare.settings.exclude == ("one",)


def test_ordinary_files_are_all_but_noise(tmp_path: Path) -> None:
    """Unless a layer gives patterns of its own. What configures a tool is ordinary, what tools leave behind is not."""
    ordinary = resolve(environ={"HOME": "/home/me"}, cwd=tmp_path, defaults=profile.ORDINARY).settings
    scope = Filter(ordinary.include, ordinary.exclude)
    for name in (b"main.py", b"README", b"package.json", b"src/a.c", b".gitignore", b"Makefile"):
        assert scope.keeps(name), name
    for name in (b".git/index", b"a.pyc", b".coverage", b"x/node_modules/y.js", b"a.swp", b"coverage-final.json"):
        assert not scope.keeps(name), name
    given = resolve(
        environ={"HOME": "/home/me"}, cwd=tmp_path, overrides={"include": ["*.py"]}, defaults=profile.ORDINARY
    ).settings
    assert (given.include, given.exclude) == (("*.py",), ordinary.exclude)


def test_a_default_pattern_can_be_taken_back(tmp_path: Path) -> None:
    """`!` and a default pattern verbatim removes it, rather than bringing back what lies in pruned directories."""
    result = resolved(tmp_path, exclude=["!package.json", "!mine.json"])
    assert result.settings.exclude == (*(p for p in profile.EXCLUDE if p != "package.json"), "!mine.json")


def test_environment_forms(tmp_path: Path) -> None:
    """Paths by the system's separator, globs by comma or line, a map as PATTERN=NUMBER; empty counts as unset."""
    env = {
        "SHARDWATCH_ROOTS": "/a:b",
        "SHARDWATCH_INCLUDE": "*.{a,b}\n*.c\n",
        "SHARDWATCH_PRIORITIES": "*.x = 3,y=z=-1",
        "SHARDWATCH_RECURSIVE": "no",
        "SHARDWATCH_DIRECTORIES": "true",
        "SHARDWATCH_RETENTION_DAYS": "0.5",
        "SHARDWATCH_SHARDS": "",
        "SHARDWATCH_TEST_MARK": "not ours",
    }
    settings = resolved(tmp_path, env=env).settings
    assert settings.roots == (b"/a", os.fsencode(tmp_path / "b"))
    assert settings.include == ("*.a", "*.b", "*.c")
    assert settings.priorities == {"*.x": 3, "y=z": -1}
    assert (settings.recursive, settings.directories, settings.retention_days, settings.shards) == (False, True, 0.5, 0)


def test_roots_are_exact_real_and_single(tmp_path: Path) -> None:
    """Absolute, normalised, links resolved, duplicates gone; names keep their bytes and need not exist."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    raw = os.fsencode(tmp_path) + b"/\xff\n%"
    roots = ["link", tmp_path / "real/", "real/../real", raw, os.fsdecode(raw), "//none//x", tmp_path]
    settings = resolved(tmp_path, roots=roots).settings
    top = os.fsencode(tmp_path)
    assert settings.roots == (top + b"/real", raw, b"/none/x", top)
    write_settings(tmp_path / "settings.json", settings)
    assert read_settings(tmp_path / "settings.json") == settings


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    """Editors on Windows write one before UTF-8."""
    assert resolved(tmp_path, "\ufeffshards = 3\r\n").settings.shards == 3
    assert "is not valid TOML" in refused(tmp_path, "\ufeff\ufeffshards = 3\n")


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """A file found above names its own neighbours; `~` is the home directory there, but not on the command line."""
    file = write(tmp_path / "shardwatch.toml", 'roots = ["src", "~/x"]\nstate_dir = "state"\n')
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    assert find_config(inner).path == file
    result = resolve(environ={"HOME": "/home/me"}, cwd=inner, overrides={})
    assert result.config_file == file
    assert result.settings.roots[0] == os.fsencode(tmp_path / "src")
    assert not result.settings.roots[1].endswith(b"~/x")
    assert result.state_dir == tmp_path / "state"
    said = resolve(environ={}, cwd=inner, overrides={"roots": ["~x"], "state_dir": "s"})
    assert said.settings.roots == (os.fsencode(inner / "~x"),) and said.state_dir == inner / "s"


def test_the_config_file_can_be_named(tmp_path: Path) -> None:
    """By argument, else by SHARDWATCH_CONFIG, else by the search upwards."""
    one, two = write(tmp_path / "one.toml", "shards = 1"), write(tmp_path / "two.toml", "shards = 2")
    write(tmp_path / "shardwatch.toml", "shards = 3")
    environ = {"SHARDWATCH_CONFIG": "two.toml"}
    assert resolve(config_file=one, environ=environ, cwd=tmp_path).settings.shards == 1
    assert resolve(environ=environ, cwd=tmp_path).config_file == two
    assert resolve(environ={}, cwd=tmp_path).settings.shards == 3


def test_state_directory_by_default(tmp_path: Path) -> None:
    """XDG_STATE_HOME if it is absolute, else below the home directory."""
    assert default_state_dir({"XDG_STATE_HOME": "/s"}) == Path("/s/shardwatch")
    assert default_state_dir({"XDG_STATE_HOME": "s", "HOME": "/h"}) == Path("/h/.local/state/shardwatch")
    assert default_state_dir({}) == Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".local/state/shardwatch"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    """Who may write the file may name what is watched and where state goes: said with the remedy."""
    file = write(tmp_path / "shardwatch.toml", "shards = 1")
    file.chmod(mode)
    with pytest.raises(UsageError) as caught:
        resolve(environ={}, cwd=tmp_path)
    assert caught.value.hint == f"run: chmod go-w {file}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("setle_ms = 1", "unknown option 'setle_ms' (did you mean settle_ms?)"),
        ("SETTLE_MS = 1", "unknown option 'SETTLE_MS' (did you mean settle_ms?)"),
        ("[wbe]\nport = 1", "unknown option 'wbe' (did you mean web?)"),
        ("[web]\nport = '1'", "[web]: port = '1' must be a whole number, without quotes"),
        ("[web]\nport = 1.0", "[web]: port = 1.0 must be a whole number"),
        ("[exec.a]\ncommand = ['x']\ntimeout = '1'", "[exec.a]: timeout = '1' must be a number, without quotes"),
        ("zzz = 1", "unknown option 'zzz' (docs/configuration.md lists the options)"),
        ("shards = -1", "must be a whole number from 0 to 64"),
        ("shards = true", "must be a whole number from 0 to 64"),
        ("shards = 1.5", "must be a whole number from 0 to 64"),
        ("shards = 2.0", "must be a whole number from 0 to 64"),
        ("settle_ms = '3'", "must be a whole number from 0 to 60000, without quotes"),
        ("retention_days = '7'", "must be a number from 0.01 to 3650, without quotes"),
        ("recursive = 'no'", "must be true or false, without quotes"),
        ("recursive = 0", "must be true or false"),
        ("priorities = {'*' = '3'}", "'*' = '3' must be a whole number from -1000 to 1000"),
        ("retention_days = inf", "must be a number from 0.01 to 3650"),
        ("recursive = 'maybe'", "must be true or false"),
        ("backend = 'magic'", "must be one of auto, inotify, fanotify, polling, native"),
        ("durability = ''", "must be one of process, power"),
        ("roots = 'src'", "must be a list of paths"),
        ("roots = 3", "must be a list of paths"),
        ("roots = [3]", "must be a list of paths"),
        ("roots = ['']", "is no path"),
        ("state_dir = 3", "must be a path"),
        ("include = '*.json'", "must be a list of gitignore patterns"),
        ("include = [1]", "must be a list of gitignore patterns"),
        ("include = []", "use ['*'] for every file"),
        ("exclude = ['a[b']", "bad pattern 'a[b': a `[` is never closed"),
        ("exclude = ['# no']", "the pattern '# no' matches nothing"),
        ("exclude = ['a//b']", "the pattern 'a//b' matches nothing"),
        ("priorities = 3", "must be a table of gitignore pattern to a whole number"),
        ("priorities = {'*' = 1001}", "must be a whole number from -1000 to 1000"),
        ("priorities = {'*' = 'x'}", "must be a whole number from -1000 to 1000"),
        ("priorities = {'*' = 1.0}", "must be a whole number from -1000 to 1000"),
        ("priorities = {'!a' = 1}", "can't begin with !"),
        ("settle_ms = 50\nsettle_ms_max = 10", "settle_ms_max = 10"),
        ("shards = ", "is not valid TOML"),
        ("shards = 99\npoll_ms = 1", "; poll_ms = 1 "),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, text: str, expected: str) -> None:
    """One line: the option, its value, the file, and what it may be."""
    line = refused(tmp_path, text)
    assert expected in line
    assert f"{tmp_path}/shardwatch.toml" in line


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"SHARDWATCH_SHARDS": "two"}, "shards = 'two' (env SHARDWATCH_SHARDS) must be a whole number from 0 to 64"),
        ({"SHARDWATCH_SHARD": "2"}, "unknown option SHARDWATCH_SHARD (did you mean SHARDWATCH_SHARDS?)"),
        ({"SHARDWATCH_PRIORITIES": "*.x"}, "must be PATTERN=NUMBER"),
        ({"SHARDWATCH_CONFIG": "none.toml"}, "can't read the config file"),
    ],
)
def test_mistakes_in_the_environment_are_named(tmp_path: Path, env: dict[str, str], expected: str) -> None:
    """A wrong variable is named, and a misspelt one found."""
    assert expected in refused(tmp_path, env=env)


def test_mistakes_on_the_command_line_are_named(tmp_path: Path) -> None:
    """The same checks hold for what the command line gives."""
    assert "exclude (command line): bad pattern '!'" in refused(tmp_path, exclude=["!"])
    assert "\\udcff is not UTF-8 (write ? for such a byte)" in refused(tmp_path, include=["\udcff"])
    assert "unknown option 'setle'" in refused(tmp_path, setle=3)
    assert "is no path" in refused(tmp_path, roots=["a\0b"])


def test_a_damaged_or_absent_file_is_named(tmp_path: Path) -> None:
    """Not UTF-8, a directory, or not there: one line each."""
    damaged = write(tmp_path / "bad.toml", "")
    damaged.write_bytes(b"\xff = 1")
    for path in (damaged, tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError) as caught:
            resolve(config_file=path, environ={}, cwd=tmp_path)
        assert str(path) in caught.value.message


@pytest.mark.parametrize("kind", ["FIFO", "device", "too long", "nested"])
def test_a_named_file_that_is_no_configuration_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nothing is waited for, and nothing without an end is read."""
    path = tmp_path / "odd.toml"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "too long":
        write(path, "#" * (1 << 20) + "\n")
    else:
        write(path, "include = " + "[" * 5000 + "]" * 5000)
    for found in (path, None):
        path = path.rename(tmp_path / "shardwatch.toml") if found is None else path
        if kind in ("FIFO", "device") and found is None:
            (note,) = resolve(environ={"HOME": "/home/me"}, cwd=tmp_path).notes
            assert note.startswith(f"{path} is not used: {path} is ")
            continue
        with pytest.raises(UsageError) as refused:
            resolve(config_file=found, environ={}, cwd=tmp_path)
        assert str(path) in refused.value.message and "\n" not in str(refused.value)


def test_the_cap_follows_a_longer_quiet_time(tmp_path: Path) -> None:
    """`--settle-ms 3000` alone is no mistake: the cap, not having been set, becomes twice that."""
    result = resolved(tmp_path, settle_ms=3000)
    assert result.settings.settle_ms_max == 6000
    assert result.origins["settle_ms_max"] == "default (twice settle_ms)"


def test_a_level_without_its_class_is_told(tmp_path: Path) -> None:
    """Only best-effort has levels; whoever sets one beside another class would wait for an effect."""
    for io_class, told in (("inherited", 1), ("idle", 1), ("best-effort", 0)):
        notes = resolved(tmp_path, f'io_class = "{io_class}"\nio_level = 3\n').notes
        assert len(notes) == told
        for note in notes:
            assert note.startswith("io_level = 3 (file ") and f"has no effect with io_class = {io_class}" in note
    assert resolved(tmp_path, 'io_class = "idle"\n').notes == ()


@pytest.mark.parametrize("name", ["development", "ci", "monorepo"])
def test_templates_are_valid(tmp_path: Path, name: str) -> None:
    """Each template resolves, and sets nothing to a value that it has anyway without saying why it is there."""
    text = (REPOSITORY / f"configs/{name}.toml").read_text()
    result = resolved(tmp_path, text)
    assert result.settings.roots == (os.fsencode(tmp_path),)
    assert set(tomllib.loads(text)) <= set(result.origins)


def test_every_setting_is_an_option_and_every_option_a_setting() -> None:
    """With the option's default; but for what is made of the roots, and what says how the settings are made."""
    made = Settings(roots=(), include=profile.INCLUDE, exclude=())
    fields = set(Settings.__struct_fields__)
    assert fields - OPTIONS.keys() == {"files", "only", "pattern_origins", "git_excludes"}
    assert OPTIONS.keys() - fields == {"default_excludes", "state_dir"}
    assert {name: getattr(made, name) for name in fields & OPTIONS.keys()} == {
        name: option.default for name, option in OPTIONS.items() if name in fields
    }


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if isinstance(option.kind, Whole | Number)])
def test_bounds_are_part_of_what_is_allowed(tmp_path: Path, name: str) -> None:
    """Both bounds and the default can be set in a file, and what lies beyond a bound is refused with what it may be."""
    option = OPTIONS[name]
    assert isinstance(option.kind, Whole | Number)
    low, high = option.kind.low, option.kind.high
    for value in (low, option.default, high):
        text = f"{name} = {value}\n" + (f"settle_ms_max = {600_000}\n" if name == "settle_ms" else "")
        text = text + "settle_ms = 0\n" if name == "settle_ms_max" else text
        result = resolved(tmp_path, text)
        assert (getattr(result.settings, name), result.values[name]) == (value, value)
    for value in (low - 1, high + 1):
        assert refused(tmp_path, f"{name} = {value}\n").endswith(f" must be {option.kind.allowed}")


def usage(option: Option[Any]) -> str:
    """How the documents write an option of the command line, as in `--shards N`; "" where it can't be set there."""
    if not option.on_command_line:
        return ""
    if isinstance(option.kind, Paths):
        return f"{metavar(option)}..."
    return f"{flag(option)} {metavar(option)}".rstrip()


def test_the_reference_is_what_the_code_says() -> None:
    """docs/configuration.md has each option in order, with its range, default, variable and command-line name, and no other."""
    text = (REPOSITORY / "docs/configuration.md").read_text()
    sections: dict[str, str] = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        sections[name.strip("` ")] = body
    assert list(sections) == list(OPTIONS)
    for name, option in OPTIONS.items():
        facts = [
            f"- Value: {option.kind.allowed}",
            f"- Default: `{default_text(option)}`",
            f"- Environment: `{variable(option)}`",
            *([f"- Command line: `{usage(option)}`"] if usage(option) else []),
        ]
        assert re.findall(r"^- [A-Z][a-z ]+: .*$", sections[name], re.MULTILINE) == facts, name
    for pattern in (*profile.INCLUDE, *profile.EXCLUDE_SPECIFIED):
        assert f"`{pattern}`" in text


def test_the_table_of_options_is_current() -> None:
    """docs/configuration.md begins its reference with a table that is made of the definitions; what fails here can be pasted."""
    rows = [
        f"| [`{name}`](#{name}) | {option.text} | `{default_text(option)}` | {f'`{usage(option)}`' if usage(option) else ''} |"
        for name, option in OPTIONS.items()
    ]
    text = (REPOSITORY / "docs/configuration.md").read_text()
    assert "\n".join(["| option | what it does | default | command line |", "|---|---|---|---|", *rows, ""]) in text


def test_a_service_that_is_given_paths_alone_needs_no_pydantic(tmp_path: Path) -> None:
    """Its import takes longer than all else that `watch` does before the service is on its way."""
    code = """
import argparse, sys
before = set(sys.modules)  # coverage has some of them loaded
from shardwatch.supervisor.cli.commands import watch
parser = argparse.ArgumentParser()
watch.add_arguments(parser)
found = watch.watched_tree(parser.parse_args([sys.argv[1]]))
assert found.settings.roots
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.state_dir import prepare
from shardwatch.supervisor.service.temporary import make_temporary
prepare(sys.argv[2], found.settings)
assert not {"pydantic", "zmq", "tomllib", "difflib"} & (sys.modules.keys() - before), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-P", "-c", code, tmp_path, tmp_path / "s"], check=True, cwd=tmp_path)
