"""Where a service keeps its state when nobody names a directory, and how a command finds it again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.process.life import Lock
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings, write_settings
from shardwatch.supervisor.cli.link.nearby import running_services, service_about
from shardwatch.supervisor.config.default_place import default_place
from shardwatch.supervisor.config.resolve import resolve

Serve = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir(mode=0o700)
    return base


@pytest.fixture
def serve(base: Path, tmp_path: Path) -> Iterator[Serve]:
    """Makes a default place for roots below tmp_path, in which a service seems to run."""
    locks: list[Lock] = []

    def serve(*roots: str, at: Path | None = None, runs: bool = True) -> Path:
        paths = tuple(os.fsencode(tmp_path / root) for root in roots)
        place = at or default_place(base, None, paths)
        layout = Layout(place)
        layout.locks.mkdir(mode=0o700, parents=True)
        write_settings(layout.settings, Settings(roots=paths, include=(), exclude=()))
        if runs:
            locks.append(Lock(layout.service_lock))
        return place

    yield serve
    for lock in locks:
        lock.close()


def test_each_file_and_each_set_of_roots_has_its_place(base: Path, tmp_path: Path) -> None:
    """The order of roots does not matter, nor a link on the way to the file; what stays is short."""
    a, b = b"/src/a", b"/src/b"
    places = [
        default_place(base, None, (a,)), default_place(base, None, (b,)), default_place(base, None, (a, b)),
        default_place(base, tmp_path / "x/shardwatch.toml", (a,)), default_place(base, tmp_path / "y/shardwatch.toml", (a,)),
    ]  # fmt: skip
    assert len(set(places)) == 5
    assert {place.parent for place in places} == {base}
    assert {len(place.name) for place in places} == {12}
    assert default_place(base, None, (b, a)) == places[2]
    assert default_place(base, tmp_path / "x/shardwatch.toml", (b,)) == places[3], "its roots may change"
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    assert default_place(base, tmp_path / "link/shardwatch.toml", (a,)) == places[3]
    assert default_place(base, None, ()) == base


def test_the_place_of_earlier_versions_stays_that_of_its_roots(base: Path, serve: Serve, tmp_path: Path) -> None:
    """And of no others."""
    serve("src", at=base)
    root, other = os.fsencode(tmp_path / "src"), os.fsencode(tmp_path / "other")
    assert default_place(base, None, (root,)) == base
    assert default_place(base, tmp_path / "shardwatch.toml", (root,)) == base
    assert default_place(base, None, (other,)).parent == base
    assert default_place(base, None, (root, other)).parent == base


def test_the_service_about_a_directory(base: Path, serve: Serve, tmp_path: Path) -> None:
    """The nearest root above, else one below; a directory that no root has to do with has none."""
    (tmp_path / "p/src/deep").mkdir(parents=True)
    (tmp_path / "q").mkdir()
    outer, inner = serve("p"), serve("p/src", "elsewhere")
    serve("q", runs=False)

    def about(directory: str) -> Path | None:
        return service_about(base, os.fsencode(tmp_path / directory))

    assert about("p") == outer
    assert about("p/src/deep") == inner
    assert about("p/src") == inner
    assert about("q") is None
    assert about("p/srcs") == outer
    assert {found.state_dir for found in running_services(base)} == {outer, inner}
    with pytest.raises(UsageError, match="several services") as several:
        about("")
    assert "--state-dir" in several.value.hint


def test_a_single_service_below_is_found_from_above(base: Path, serve: Serve, tmp_path: Path) -> None:
    """`up src` and `pull` are called in the same directory."""
    (tmp_path / "src").mkdir()
    place = serve("src", "lib")
    assert service_about(base, os.fsencode(tmp_path)) == place
    assert service_about(base, b"/") == place
    assert [str(found) for found in running_services(base)] == [f"--state-dir {place} ({tmp_path}/src, {tmp_path}/lib)"]


def test_what_is_no_place_of_ours_is_passed_over(base: Path, serve: Serve) -> None:
    """A FIFO for a lock, a link for a directory, a damaged file."""
    place = serve("src")
    (base / ("0" * 12) / "locks").mkdir(parents=True, mode=0o700)
    os.mkfifo(base / ("0" * 12) / "locks/service.lock")
    (base / ("1" * 12)).symlink_to("nowhere")
    (base / ("2" * 12)).write_text("")
    assert [found.state_dir for found in running_services(base)] == [place]
    assert list(running_services(base / "none")) == []


def test_the_place_depends_on_file_and_roots_alone(tmp_path: Path) -> None:
    """Other options do not move it; only where nobody names anything is it the directory that all of them lie in."""
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    more = {**environ, "SHARDWATCH_SHARDS": "2"}
    roots: dict[str, object] = {"roots": [str(tmp_path)]}
    rooted = resolve(overrides=roots, environ=environ, cwd=tmp_path)
    assert rooted.state_dir == resolve(overrides=roots, environ=more, cwd=tmp_path).state_dir
    assert rooted.state_dir.parent == tmp_path / "state/shardwatch"
    for env in (environ, more):
        assert resolve(environ=env, cwd=tmp_path).state_dir == tmp_path / "state/shardwatch"
    (tmp_path / "shardwatch.toml").write_text("")
    filed = resolve(environ=environ, cwd=tmp_path)
    assert filed.state_dir.parent == tmp_path / "state/shardwatch"
    assert filed.state_dir == resolve(overrides=roots, environ=environ, cwd=tmp_path).state_dir != rooted.state_dir
    named = resolve(config_file=tmp_path / "shardwatch.toml", environ=environ, cwd=Path("/"))
    assert named.state_dir == filed.state_dir
