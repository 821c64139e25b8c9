"""Where a pattern that is in force was written: what brought it, and the line of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwatch.supervisor.config import profile
from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.explanation.rule_origin import Origin, line_of, origin_of
from shardwatch.supervisor.host.scouting import Scouts

FILE = """\
# exclude = ["docs/"]
roots = ["."]
include = ["*.py"]  # not "docs/"
exclude = [
  # "docs/"
  "docs/", 'a\\b',
  "x\\"y",
  "*.{orig,py.bak}",
  "caf\\u00e9",
]
[priorities]
"docs/" = 1
"""


def test_a_line_is_that_of_the_list_and_not_of_a_comment() -> None:
    """Whichever kind of string it is written as; None for what is written with an escape sequence."""
    lines = [line_of(FILE, "exclude", number) for number in range(5)]
    assert lines == [6, 6, 7, 8, None]
    assert line_of(FILE, "include", 0) == 3
    assert line_of('exclude = ["a", "a",\n"a"]', "exclude", 2) == 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shardwatch.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def test_each_source_is_named(file: Path) -> None:
    """The file, a variable, the command line, the default patterns; braces are expanded."""
    environ = {"HOME": str(file.parent), "SHARDWATCH_EXCLUDE": "env/"}
    settings = resolve(config_file=file, environ=environ, overrides={"exclude": ["given/"]}, cwd=file.parent).settings
    with Scouts() as scouts:

        def origin(pattern: str, option: str = "exclude") -> Origin:
            return origin_of(settings, option, pattern, scouts)

        assert origin("*.py", "include") == (f"file {file}", 3)
        assert origin("docs/") == (f"file {file}", 6)
        assert origin("*.py.bak") == (f"file {file}", 8)
        assert origin("env/") == ("env SHARDWATCH_EXCLUDE", None)
        assert origin("given/") == ("command line", None)
        assert origin(profile.EXCLUDE[0]) == ("default", None)
        assert origin("of an earlier version/") == ("unknown", None)
        file.write_text("\n\n" + FILE)
        assert origin("docs/") == (f"file {file}", 8)
        file.write_text("roots = []")
        assert origin("docs/") == (f"file {file}", None)
        file.unlink()
        assert origin("docs/") == (f"file {file}", None)


def test_a_later_layer_takes_the_place_of_include_and_adds_to_exclude(file: Path) -> None:
    """As it does with the patterns themselves; of a pattern in two layers the first is named."""
    environ = {"HOME": str(file.parent), "SHARDWATCH_INCLUDE": "*.md", "SHARDWATCH_EXCLUDE": "docs/,more/"}
    origins = resolve(config_file=file, environ=environ, cwd=file.parent).settings.pattern_origins
    assert origins["include"] == {"*.md": "env SHARDWATCH_INCLUDE"}
    assert (origins["exclude"]["docs/"], origins["exclude"]["more/"]) == (f"file {file}", "env SHARDWATCH_EXCLUDE")
    assert resolve(environ={"HOME": str(file.parent)}, cwd=Path("/")).settings.pattern_origins == {}
