"""Single files among the roots, and roots that do not exist yet."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from cli_process import Command, run
from running import GUARD_S, Consumer, Running, consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.settings import Settings


def replace(path: Path, text: str) -> None:
    """As editors do it: a new file is renamed over the old one."""
    new = path.with_name("." + path.name + ".new")
    new.write_text(text)
    new.rename(path)


def test_watch_of_a_file(tmp_path: Path, no_leaks: None) -> None:
    """Written in place, replaced, deleted, made again, by its own name; its neighbours are nobody's business."""
    file, neighbour = tmp_path / "notes.txt", tmp_path / "a.json"
    file.write_text("1")
    (tmp_path / "sub").mkdir()
    with Command("watch", file, "--json", "--settle-ms", "10") as watch:
        ready = watch.ready()
        assert (ready["roots"], ready["files"], ready["directories"]) == ([str(file)], 1, 1)

        def told(size: int | None) -> list[str]:
            """Kinds of the events up to the one with that size: a file that is written in place may be seen half-way."""
            lines = watch.until(lambda line: line["type"] == "event" and line["size"] == size)
            assert {line["path"] for line in lines if line["type"] == "event"} == {str(file)}
            return [line["event_type"] for line in lines if line["type"] == "event"]

        file.write_text("22")
        assert set(told(2)) == {"modified"}
        neighbour.write_text("{}")
        (tmp_path / "sub/notes.txt").write_text("")
        replace(file, "333")
        assert told(3) == ["modified"]
        file.unlink()
        assert told(None) == ["deleted"]
        file.write_text("4444")
        assert told(4)[0] == "created"
        neighbour.rename(file)
        assert told(2) == ["modified"]
        assert watch.end(signal.SIGINT) == 0


def mirrored(service: Running, consumer: Consumer, *paths: Path) -> None:
    """Synced, and the consumer has exactly these files, as they are."""
    service.client.sync(60, patience_s=20)

    def equal() -> bool:
        there = {os.fsencode(path): path.lstat() for path in paths}
        assert consumer.mirror == {path: (found.st_size, found.st_mtime_ns) for path, found in there.items()}
        return True

    eventually(equal, 30)


def test_files_beside_directories_in_a_service(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """A file outside, one that the patterns leave out, one in a directory that they prune; through kills and a restart."""
    root, etc = tmp_path / "root", tmp_path / "etc"
    kept, text, pruned, outside = root / "a.json", root / "sub/x.txt", root / "build/deep/y.txt", etc / "hosts"
    others = [root / "z.txt", root / "build/deep/z.json", etc / "passwd.json", etc / "sub/hosts"]
    for path in (kept, text, pruned, outside, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    named = settings_for(root, shards=2, settle_ms=10)
    named = Settings(**{f: getattr(named, f) for f in named.__struct_fields__} | {
        "roots": (*named.roots, *(os.fsencode(path) for path in (text, pruned, outside))),
    })  # fmt: skip
    service = Running(state_dir, named)
    try:
        assert set(service.client.status()["roots"]) == {str(path) for path in (root, text, pruned, outside)}
        with consuming(state_dir) as consumer:
            mirrored(service, consumer, kept, text, pruned, outside)
            for path in (text, pruned, outside):
                replace(path, "changed")
            for path in others:
                path.write_text("nobody's")
            mirrored(service, consumer, kept, text, pruned, outside)
            service.kill(next(name for name in service.programs() if name.startswith("s")))
            outside.unlink()
            shutil.rmtree(pruned.parent)
            mirrored(service, consumer, kept, text)
            assert run("audit", "--state-dir", state_dir).returncode == 0
            pruned.parent.mkdir()
            pruned.write_text("again")
            outside.write_text("again")
            eventually(lambda: len(consumer.mirror) == 4)
            mirrored(service, consumer, kept, text, pruned, outside)
            seen = len(consumer.events)
            service.stop()
            outside.unlink()  # away at the start, it is still a file that was named
            service = Running(state_dir, named)
            eventually(lambda: len(consumer.mirror) == 3)
            replace(outside, "back")  # at once: written in place, it may be told while it is still empty
            mirrored(service, consumer, kept, text, pruned, outside)
            told = [kind for kind, path in consumer.events[seen:] if path == os.fsencode(outside)]
            assert told == ["deleted", "created"]
    finally:
        service.stop()


def test_roots_to_come(tmp_path: Path, no_leaks: None) -> None:
    """Ready without them. What comes is told as created, be it a directory, or a file, whose directory is not there either."""
    there, tree, file = tmp_path / "there", tmp_path / "a/tree", tmp_path / "b/file.txt"
    there.mkdir()
    refused = run("watch", tree, check=False)
    assert refused.returncode == 2 and "--wait-for-roots" in refused.stderr
    with Command("watch", there, tree, file, "--wait-for-roots", "--json", "--settle-ms", "10") as watch:
        lines = watch.until(lambda line: line["type"] == "ready")
        said = " ".join(line["message"] for line in lines[:-1])
        assert f"{tree} does not exist: waiting for it" in said and f"{file} does not exist: waiting for it" in said
        (there / "x.json").write_text("1")
        (tree / "sub").mkdir(parents=True)
        (tree / "sub/y.json").write_text("1")
        (tree / "sub/y.txt").write_text("1")
        file.parent.mkdir()
        (file.parent / "other.json").write_text("1")
        file.write_text("1")
        wanted = {str(there / "x.json"), str(tree / "sub/y.json"), str(file)}
        told: dict[str, str] = {}
        while set(told) != wanted:
            line = watch.json()
            if line["type"] == "event":
                told.setdefault(line["path"], line["event_type"])
        assert set(told.values()) == {"created"}
        replace(file, "22")
        line = watch.until(lambda line: line["type"] == "event" and line["size"] == 2)[-1]
        assert (line["event_type"], line["path"]) == ("modified", str(file))
        assert watch.end(signal.SIGINT) == 0


def test_a_root_that_comes_as_a_file_is_not_missing(tmp_path: Path, state_dir: Path) -> None:
    """It was waited for as a directory too, which it is not. Without it, and if a link comes, the status says so."""
    root = tmp_path / "later"

    def is_told(*reasons: str) -> None:
        def so() -> bool:
            degraded = service.client.status()["degraded"]
            assert [doubt["path"] for doubt in degraded] == [str(root)] * len(reasons), degraded
            assert all(reason in doubt["reason"] for reason, doubt in zip(reasons, degraded, strict=True)), degraded
            return True

        eventually(so, 60)

    with running(state_dir, settings_for(root, wait_for_roots=True)) as service, consuming(state_dir) as consumer:
        is_told("does not exist")
        root.write_text("a file")
        mirrored(service, consumer, root)
        is_told()
        root.unlink()
        root.symlink_to(state_dir)
        mirrored(service, consumer, root)
        is_told("links are resolved when the service starts")
        root.unlink()
        mirrored(service, consumer)
        is_told("does not exist")
        root.mkdir()
        (root / "f.json").touch()
        mirrored(service, consumer, root / "f.json")
        is_told()


def test_after_a_sync_the_status_names_no_doubt_that_is_over(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """A root is there again, so the status that is asked for after the sync does not call it missing, however short the time."""
    root = tmp_path / "later"
    with running(state_dir, settings_for(root, wait_for_roots=True)) as service:
        for _ in range(2):
            eventually(lambda: [doubt["state"] for doubt in service.client.status()["degraded"]] == ["missing"], GUARD_S)
            root.mkdir()
            service.client.sync(GUARD_S, patience_s=GUARD_S)
            assert service.client.status()["degraded"] == []
            root.rmdir()


def test_a_configuration_may_name_files(tmp_path: Path) -> None:
    """In TOML, relative to it; `plan` and `doctor` know them too."""
    (tmp_path / "x.txt").write_text("")
    file = tmp_path / "shardwatch.toml"
    file.write_text('roots = ["x.txt", "later"]\nwait_for_roots = true\n')
    import json

    plan = json.loads(run("plan", "--json", "-c", file).stdout)
    assert plan["files"] == 1 and plan["directories"] <= 3
    doctor = json.loads(run("doctor", "--json", "-c", file, "--state-dir", tmp_path / "state", check=False).stdout)
    assert not [finding for finding in doctor["findings"] if "root" in finding["message"]]
