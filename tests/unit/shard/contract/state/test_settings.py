"""The settings of a service as a file: whole, or of a version that had fewer options."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shardwatch.shard.contract.state.options import OPTIONS
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Names that are not UTF-8 too."""
    settings = Settings(roots=(b"/r/\xff\n",), include=("*.json",), exclude=("build/",), priorities={"*.a": -1}, shards=3)
    write_settings(tmp_path / "settings.json", settings)
    assert read_settings(tmp_path / "settings.json") == settings


def test_what_an_earlier_version_did_not_know_has_its_default(tmp_path: Path) -> None:
    """A service whose programs are replaced while it runs reads the settings that it was started with."""
    path = tmp_path / "settings.json"
    write_settings(path, Settings(roots=(b"/r",), include=("*.json",), exclude=()))
    whole = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({name: whole[name] for name in ("roots", "include", "exclude", "settle_ms")}))
    settings = read_settings(path)
    for name in set(Settings.__struct_fields__) & OPTIONS.keys() - {"roots", "include", "exclude"}:
        assert getattr(settings, name) == OPTIONS[name].default


def test_one_shard_reads_what_fanotify_reports_unless_more_are_asked_for() -> None:
    """Each of several would be told of everything."""

    def shards(backend: str, asked: int) -> int:
        return Settings(roots=(b"/r",), include=(), exclude=(), backend=backend, shards=asked).local_shards

    assert [shards("fanotify", 0), shards("fanotify", 3), shards("auto", 0), shards("inotify", 2)] == [1, 3, 0, 2]
