"""A consumer that applies every batch ends equal to a walk, whatever real programs do to the tree."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import GUARD_S, run
from repository import git
from running import Running, consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.planfile import Owners, Plan, read_plan

#: Three languages, each with a layout and a pattern of its own.
INCLUDE = ("*.ast.json", "**/ast/*.json", "*.estree")


def save(path: Path, content: object = 0) -> None:
    """An atomic save, as editors do it: write, fsync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as f:
        f.write(json.dumps(content))
        f.flush()
        os.fsync(f.fileno())
    temporary.rename(path)


def fill(root: Path, modules: int = 8, files: int = 4) -> None:
    """python/mN/pkg/*.ast.json, java/mN/ast/*.json, js/mN/src/*.estree, and noise beside them."""
    for m in range(modules):
        for directory, ending in ((f"python/m{m}/pkg", ".ast.json"), (f"java/m{m}/ast", ".json"), (f"js/m{m}/src", ".estree")):
            (root / directory).mkdir(parents=True, exist_ok=True)
            for n in range(files):
                (root / directory / f"unit{n}{ending}").write_text(json.dumps({"unit": n}))
            (root / directory / "source.txt").write_text("noise")


def checkout_back_and_forth(root: Path, outside: Path) -> None:
    """git checkout between two distant revisions of a repository made for it."""
    repository = root / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    fill(repository, 5)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "one")
    git(repository, "tag", "one")
    shutil.rmtree(repository / "java")
    shutil.move(repository / "python" / "m0", repository / "python" / "renamed")
    for path in (repository / "js").rglob("*.estree"):
        path.write_text("changed")
    fill(repository / "more", 6)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "two")
    git(repository, "tag", "two")
    for revision in ("one", "two", "one", "two", "one"):
        git(repository, "checkout", "-q", revision)


def unpack_and_copy(root: Path, outside: Path) -> None:
    """tar x, cp -r, rm -rf."""
    fill(outside / "packed", 6)
    with tarfile.open(outside / "packed.tar", "w") as tar:
        tar.add(outside / "packed", "unpacked")
    subprocess.run(["tar", "xf", outside / "packed.tar"], cwd=root, check=True)
    subprocess.run(["cp", "-r", root / "unpacked", root / "copied"], check=True)
    subprocess.run(["rm", "-rf", root / "unpacked", root / "python" / "m1"], check=True)


def deep_at_once(root: Path, outside: Path) -> None:
    """makedirs 23 deep, with a file at once, several times."""
    for n in range(5):
        deep = root.joinpath(f"deep{n}", *[f"level{i}" for i in range(22)])
        deep.mkdir(parents=True)
        (deep / "leaf.ast.json").write_text("leaf")
    shutil.rmtree(root / "deep4" / "level0" / "level1")


def atomic_saves(root: Path, outside: Path) -> None:
    """Write, fsync, rename over; many times over the same file, and in-place writes beside it."""
    for n in range(60):
        save(root / "python" / "m2" / "pkg" / "unit0.ast.json", n)
        (root / "python" / "m2" / "pkg" / "unit1.ast.json").write_text("x" * n)


def rename_and_write(root: Path, outside: Path) -> None:
    """Directories renamed, with writes into the new place at once; swapped; renamed twice."""
    js = root / "js"
    (js / "m0").rename(js / "moved")
    (js / "moved" / "src" / "unit0.estree").write_text("at once")
    (js / "moved" / "src" / "born.estree").write_text("at once")
    (js / "moved").rename(js / "moved-again")
    (js / "moved-again" / "new").mkdir()
    (js / "moved-again" / "new" / "n.estree").write_text("n")
    (js / "m1").rename(js / "swap")
    (js / "m2").rename(js / "m1")
    (js / "swap").rename(js / "m2")
    (js / "m2" / "src" / "unit1.estree").write_text("after the swap")


def out_and_back(root: Path, outside: Path) -> None:
    """Trees moved out of the root, changed there, and moved back in under other names."""
    (root / "java" / "m3").rename(outside / "java-m3")
    (outside / "java-m3" / "ast" / "unit0.json").write_text("changed outside")
    (outside / "java-m3" / "ast" / "extra.json").write_text("made outside")
    (root / "python" / "m3").rename(outside / "python-m3")
    (outside / "java-m3").rename(root / "java" / "back")
    (root / "java" / "back" / "ast" / "unit1.json").write_text("changed inside")


def ancestors(root: Path, outside: Path) -> None:
    """Ancestors of other shards' subtrees renamed, and made again with other content."""
    (root / "python").rename(root / "python-old")
    fill(outside / "again", 3)
    (outside / "again" / "python").rename(root / "python")
    (root / "java").rename(outside / "java-old")
    (root / "java" / "m0" / "ast").mkdir(parents=True)
    (root / "java" / "m0" / "ast" / "new.json").write_text("new")
    (root / "python-old" / "m5" / "pkg" / "late.ast.json").write_text("late")


def strange_names(root: Path, outside: Path) -> None:
    """Names with newline, quote, %, leading dash, invalid UTF-8, blanks; as files and as directories."""
    names = [b"new\nline", b"it's \"quoted\"", b"100%s %(here)s", b"-rf", b"bad\xff\xfe", b" blanks ;x", "ünïcödé".encode()]
    base = os.fsencode(root / "strange")
    os.mkdir(base)
    for name in names:
        os.mkdir(os.path.join(base, name))
        for path in (os.path.join(base, name, name + b".ast.json"), os.path.join(base, name + b".estree")):
            with open(path, "wb") as f:  # noqa: PTH123 - exact bytes
                f.write(name)
    os.rename(os.path.join(base, names[4]), os.path.join(base, b"other\xfd"))


STEPS: tuple[Callable[[Path, Path], None], ...] = (
    checkout_back_and_forth, unpack_and_copy, deep_at_once, atomic_saves, rename_and_write, out_and_back, ancestors,
    strange_names,
)  # fmt: skip


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    fill(root)
    return root, outside


def play(service: Running, roots: tuple[Path, Path], between: Callable[[int], None]) -> None:
    root, outside = roots
    with consuming(service.layout.state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        for n, step in enumerate(STEPS):
            between(n)
            step(root, outside)
            service.assert_mirrored(consumer, root)
        assert consumer.fresh == 0
        assert {kind for kind, _ in consumer.events} >= {"created", "modified", "deleted"}


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_mirror(state_dir: Path, roots: tuple[Path, Path], shards: int, no_leaks: None) -> None:
    """git, tar, cp, rm, atomic saves, renames, moves, recreated ancestors, strange names: the mirror stays equal."""
    settings = settings_for(roots[0], include=INCLUDE, shards=shards, settle_ms=20)
    with running(state_dir, settings) as service:
        assert service.ready["shards"] == shards
        play(service, roots, lambda n: None)


def test_mirror_by_native(state_dir: Path, roots: tuple[Path, Path], no_leaks: None) -> None:
    """The same by watchdog's observer, which loses events: each sync looks at everything again. A shard is killed between."""
    settings = settings_for(roots[0], include=INCLUDE, shards=2, settle_ms=20, backend="native")
    with running(state_dir, settings) as service:
        assert service.ready["backend"].startswith("native:")
        play(service, roots, lambda n: void(service.kill(f"s{n % 2}")) if n % 3 == 2 else None)


@pytest.mark.root
@pytest.mark.parametrize("shards", [1, 3])
def test_mirror_by_fanotify(state_dir: Path, roots: tuple[Path, Path], shards: int, no_leaks: None) -> None:
    """The same with marks on the whole filesystem, where the state directory and `outside` lie too; a shard is killed between."""
    settings = settings_for(roots[0], include=INCLUDE, shards=shards, settle_ms=20, backend="fanotify")
    with running(state_dir, settings) as service:
        assert service.ready["backend"] == "fanotify"
        play(service, roots, lambda n: void(service.kill(f"s{n % shards}")) if n % 3 == 2 else None)


@pytest.mark.parametrize("shards", [1, 3])
def test_mirror_while_shards_are_killed(state_dir: Path, roots: tuple[Path, Path], shards: int, no_leaks: None) -> None:
    """One shard after the other is killed with -9 while the tree changes: nothing changes in the outcome."""
    settings = settings_for(roots[0], include=INCLUDE, shards=shards, settle_ms=20)
    with running(state_dir, settings) as service:
        play(service, roots, lambda n: void(service.kill(f"s{n % shards}")))


def test_mirror_while_the_aggregator_is_killed(state_dir: Path, roots: tuple[Path, Path], no_leaks: None) -> None:
    """The aggregator is killed with -9 before every step: shards send again, groups go on where they were."""
    settings = settings_for(roots[0], include=INCLUDE, shards=2, settle_ms=20)
    with running(state_dir, settings) as service:
        play(service, roots, lambda n: void(service.kill("aggregator")))


def grow(root: Path, name: str, directories: int) -> list[Path]:
    """A subtree of so many directories, with two files each."""
    files = []
    for n in range(directories):
        directory = root / name / f"d{n % 30}" / f"e{n}"
        directory.mkdir(parents=True)
        for m in range(2):
            path = directory / f"{m}.ast.json"
            path.write_text(str(n))
            files.append(path)
    return files


def plan_of(service: Running) -> Plan:
    plan = read_plan(service.layout.plan)
    assert plan is not None
    return plan


def lives_of(service: Running) -> dict[str, tuple[int, int, int]]:
    """Process, epoch and number of rescans of each shard: each has looked at what it had at first only once if they stay."""
    rows = service.client.status()["shards"]
    return {row["id"]: (row["pid"], row["epoch"], row["rescans"]) for row in rows}


def assert_even(service: Running) -> None:
    """Each shard watches about as many directories as any other."""

    def even() -> bool:
        counts = [row.get("directories", 0) for row in service.client.status()["shards"]]
        assert len(counts) == 3 and max(counts) < 1.6 * sum(counts) / len(counts), counts
        return True

    eventually(even, GUARD_S)


def test_mirror_while_the_tree_grows(
    state_dir: Path, tmp_path: Path, request: pytest.FixtureRequest, no_leaks: None
) -> None:
    """From nearly nothing: the service notices it by itself, and later it is told to. Whatever happens to the tree meanwhile.
    With --long, from 1,000 directories to 50,000."""
    begin, middle, end = (1_000, 24_000, 25_000) if request.config.getoption("--long") else (0, 1_500, 1_800)
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    fill(root, 4, 1)
    files = grow(root, "begun", begin)
    settings = settings_for(root, include=("*.ast.json", "**/ast/*.json", "*.estree"), shards=3, settle_ms=20, rebalance_s=1.0)
    with running(state_dir, settings) as service, consuming(service.layout.state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        first, lives = plan_of(service), lives_of(service)
        files += grow(root, "grown", middle)
        rename_and_write(root, outside)
        eventually(lambda: plan_of(service).generation != first.generation, GUARD_S, what="subtrees have moved")
        atomic_saves(root, outside)
        service.assert_mirrored(consumer, root)
        assert_even(service)
        log = service.layout.log("coordinator").read_text()
        assert "subtrees move to other shards" in log and " gives to " in log
        assert lives_of(service) == lives, "both sides have gone on"

        # It would not do so again for a minute. By hand it can be done at once.
        second = plan_of(service)
        files += grow(root, "more", end)
        service.client.sync(GUARD_S)
        arguments = ("rebalance", "--state-dir", service.layout.state_dir)
        told = json.loads(run(*arguments, "--dry-run", "--json").stdout)
        assert told["moves"] and plan_of(service) == second
        out_and_back(root, outside)
        assert " gives to " in run(*arguments).stdout
        third = plan_of(service)
        assert third.generation != second.generation and third.key == second.key
        service.assert_mirrored(consumer, root)
        assert_even(service)
        assert run(*arguments).stdout == "no subtree is to be moved to another shard\n"
        assert plan_of(service) == third

        assert lives_of(service) == lives, "both sides have gone on"
        told_of = Counter(consumer.events)
        assert all(told_of["created", os.fsencode(path)] == 1 for path in files), "nothing is told twice because it moved"
        assert consumer.fresh == 0


def test_mirror_while_a_shard_is_hot(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """All files that change are one shard's: half of them go to the other, though both have as many files. Nothing is missed or
    told twice, and then nothing moves any more."""
    root = tmp_path / "root"
    for n in range(400):
        (root / f"t{n % 10}" / f"d{n}").mkdir(parents=True)
        for name in "abcde":
            (root / f"t{n % 10}" / f"d{n}" / f"{name}.ast.json").write_text("0")
    settings = settings_for(root, include=("*.ast.json",), shards=2, settle_ms=20, rebalance_s=0.5)
    with running(state_dir, settings) as service, consuming(service.layout.state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        first, lives = plan_of(service), lives_of(service)
        owners = Owners(first.anchors)

        def owned(path: Path, by: Owners) -> str:
            owner = by.of(os.fsencode(os.path.realpath(path.parent)))
            assert owner is not None
            return owner.shard

        hot = [path for path in sorted(root.rglob("*.ast.json")) if owned(path, owners) == "s0"]
        rounds = itertools.count()

        def moved() -> bool:
            size = next(rounds) % 50
            for path in hot:  # each is quiet for long enough to be looked at before its turn comes again
                path.write_text("x" * size)
            return plan_of(service).generation != first.generation

        eventually(moved, GUARD_S, every_s=0.0, what="subtrees have moved")
        log = service.layout.log("coordinator").read_text()
        assert re.search(r"shard s0 has [\d,]+ of [\d,]+ changes a second: subtrees move", log), log
        now = Owners(plan_of(service).anchors)
        assert 0.25 < sum(owned(path, now) == "s0" for path in hot) / len(hot) < 0.75
        service.assert_mirrored(consumer, root)
        assert lives_of(service) == lives
        assert Counter(consumer.events)["created", os.fsencode(os.path.realpath(hot[0]))] == 1 and consumer.fresh == 0


def void(_: object) -> None:
    """For a callback whose answer does not matter."""
