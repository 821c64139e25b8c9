"""A configuration is read again from what a service was started with, and from nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.sources import Sources, read_sources, write_sources
from shardwatch.supervisor.config import profile
from shardwatch.supervisor.config.again import resolve_again, sources_of
from shardwatch.supervisor.config.resolve import Resolved, resolve


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("src", "lib", "below"):
        (tmp_path / name).mkdir()
    return tmp_path


def started(
    cwd: Path, *, overrides: dict[str, object] | None = None, environ: dict[str, str] | None = None, file: Path | None = None,
    ordinary: bool = False,
) -> tuple[Resolved, Sources]:  # fmt: skip
    """What a service is started with, and what is stored of it."""
    given, variables = overrides or {}, environ or {}
    defaults = profile.ORDINARY if ordinary else profile.AST
    resolved = resolve(config_file=file, overrides=given, environ=variables, cwd=cwd, defaults=defaults)
    found = sources_of(
        resolved, searched=file is None, overrides=given, environ=variables, cwd=cwd, ordinary=ordinary, umask=0o22
    )
    write_sources(cwd / "sources.json", found)
    stored = read_sources(cwd / "sources.json")
    assert stored == found and stored.umask == 0o22
    return resolved, stored


@pytest.mark.parametrize("ordinary", [False, True])
def test_all_layers_are_read_again(place: Path, monkeypatch: pytest.MonkeyPatch, ordinary: bool) -> None:
    """The file as it is now, the variables and arguments as they were, relative to where they were given."""
    file = place / "shardwatch.toml"
    file.write_text('roots = ["src"]\nsettle_ms = 10\npoll_ms = 500\nexclude = ["x"]\n')
    environ = {"SHARDWATCH_POLL_MS": "700", "SHARDWATCH_EXCLUDE": "a,b", "SHARDWATCH_LEASE_MS": "", "OTHER": "1", "HOME": "/"}
    overrides: dict[str, object] = {"shards": 2, "exclude": ["y"], "state_dir": "state", "backend": None}
    before, sources = started(place, overrides=overrides, environ=environ, ordinary=ordinary)
    assert set(sources.variables) == {"SHARDWATCH_POLL_MS", "SHARDWATCH_EXCLUDE"}
    monkeypatch.chdir(place / "below")
    monkeypatch.setenv("SHARDWATCH_SETTLE_MS", "99")
    assert resolve_again(sources) == before
    file.write_text('roots = ["src", "lib"]\nsettle_ms = 20\npoll_ms = 900\n')
    again = resolve_again(sources)
    assert again.settings.roots == (os.fsencode(place / "src"), os.fsencode(place / "lib"))
    assert (again.settings.settle_ms, again.settings.poll_ms, again.settings.shards) == (20, 700, 2)
    assert again.values["exclude"] == ("a", "b", "y")
    assert again.state_dir == place / "state"


def test_paths_of_the_command_line_are_kept(place: Path) -> None:
    """Whatever bytes they have; a file that appears where there was none does not count."""
    strange = os.path.join(os.fsencode(place), b"\xff")
    os.mkdir(strange)
    before, sources = started(place, overrides={"roots": ["src", os.fsdecode(strange)], "state_dir": place / "s"})
    assert sources.roots == (os.fsencode(place / "src"), strange)
    (place / "shardwatch.toml").write_text('roots = ["lib"]\nsettle_ms = 10\n')
    assert resolve_again(sources) == before


def test_a_file_that_was_found_has_to_be_found_again(place: Path) -> None:
    """Not another one, and none that others could have put there."""
    file = place / "shardwatch.toml"
    file.write_text('roots = ["src"]\n')
    _, sources = started(place / "below")
    assert sources.searched
    file.chmod(0o666)
    with pytest.raises(UsageError, match=r"does not count any more: .*chmod|can be changed by others"):
        resolve_again(sources)
    file.chmod(0o644)
    (place / "below/shardwatch.toml").write_text("")
    with pytest.raises(UsageError, match=r"does not count any more: .*below/shardwatch.toml is nearer now"):
        resolve_again(sources)
    (place / "below/shardwatch.toml").unlink()
    resolve_again(sources)
    file.unlink()
    with pytest.raises(UsageError, match="does not count any more: it is not there any more"):
        resolve_again(sources)
    file.mkdir()
    with pytest.raises(UsageError, match="does not count any more: it is a directory now"):
        resolve_again(sources)


def test_a_file_that_was_named_is_read_where_it_is(place: Path) -> None:
    """By its absolute path, and it has to be there."""
    file = place / "other.toml"
    file.write_text('roots = ["src"]\n')
    before, sources = started(place, file=Path("other.toml"))
    assert (sources.config_file, sources.searched) == (os.fsencode(file), False)
    assert resolve_again(sources).settings == before.settings
    file.unlink()
    with pytest.raises(UsageError, match="can't read the config file"):
        resolve_again(sources)
