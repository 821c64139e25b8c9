"""The short form of perf/: its machinery on small trees, asserting counts and ratios, never times.

So the suites cannot rot between two runs of `make perf`, and what must hold at any speed (nothing lost, nothing invented,
nothing heard of what is excluded, batches worth their while) is tested with the very code that measures it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "perf"))

import machine  # noqa: E402 - found by the path that was just set
import older  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import svg  # noqa: E402
import trees  # noqa: E402
from book import Book  # noqa: E402
from latency import latencies, percentile  # noqa: E402
from many_files import grown  # noqa: E402
from peers import PEERS, asked_for  # noqa: E402
from repository import git  # noqa: E402
from rows import BESIDE, OLD, OURS, PURE, ROWS, SETS, chosen  # noqa: E402
from sides import NATIVE, Service, Watch, launch, watching  # noqa: E402
from waiting import eventually  # noqa: E402
from writers import Writers  # noqa: E402

from shardwatch.shard.compiled import choice  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def writers() -> Iterator[Writers]:
    """A compiled writer, or the Python one."""
    made = Writers()
    yield made
    made.close()


@pytest.fixture
def grove(tmp_path: Path) -> trees.Tree:
    """1,000 files in 100 directories."""
    return trees.make(tmp_path / "grove", 1_000)


def test_generated_files_are_all_handed_out(tmp_path: Path) -> None:
    """By the program that measures ten million of them, here with few: to one group as they come, while another one waits. Then
    all change, one by one, which leaves none in its page, and together, which makes pages again. One file gets a second name
    after that."""
    run = grown(tmp_path / "home", 20_000)
    assert (run["handed"], run["behind"], run["forgotten"]) == (70_001, 20_000, 10_000)
    assert (run["left"], run["folded"], run["linked"]) == (20_000, 20_000, 1)
    assert run["disk_bytes"] / run["files"] < 200
    assert set(run["longest"]) >= {"list", "commit", "pull", "ack", "groups", "single", "fold", "checkpoint", "collect"}


def test_a_burst_arrives_whole_and_a_storm_merges(grove: trees.Tree, writers: Writers) -> None:
    """Every file rewritten at full speed comes; 20,000 rewrites of one file come as a few events, one after the last write."""
    with Service(grove.root) as product:
        hands = product.hands()
        written = writers.run(grove.paths)
        got = hands.wait(grove.files, quiet_s=0.3)
        assert (got.distinct, got.fatal) == (grove.files, "")
        assert got.events <= 2 * grove.files
        assert written.end >= written.begin
        hands.reset()
        written = writers.run(grove.paths[:1], 20_000)
        product.client.sync(60)
        path = os.fsdecode(grove.paths[0])
        eventually(lambda: hands.report()["last"].get(path, 0.0) > written.end, 60, what="an event after the last write")
        assert 1 <= hands.wait(1).events <= 200


def test_others_work_is_not_heard(tmp_path: Path, writers: Writers) -> None:
    """Reading every file, and writing in an excluded directory, raise no event; it has no watch at all."""
    source = trees.make(tmp_path / "root" / "src", 200)
    noise = trees.make(tmp_path / "root" / "node_modules", 200)
    with Service(tmp_path / "root") as product:
        assert product.ready["directories"] == source.directories + 2  # the root and src
        hands = product.hands()
        writers.run(source.paths, kind="read")
        writers.run(noise.paths, 2_000)
        product.client.sync()
        assert hands.wait(1, timeout_s=0.3).events == 0
        writers.run(source.paths[:1])
        assert hands.wait(1).distinct == 1


def test_batches_cost_less_than_single_events(grove: trees.Tree, writers: Writers) -> None:
    """The same 300 events, each batch acknowledged, go at least 40 % faster in batches of 100 than one by one.

    The best of some rounds counts for both: the machine may have something else to do in any of them.
    """
    with Service(grove.root, consumer=False) as product:
        client = product.client
        client.pull("short", from_="now")
        tick = int(client.hello()["tick"])
        writers.run(grove.paths[:300])
        client.sync()

        def rate(most: int) -> float:
            client.seek("short", tick)
            begin, sizes = time.perf_counter(), []
            for batch in client.batches("short", max=most, follow=False):
                sizes.append(len(batch))
                batch.ack()
            assert sum(sizes) == 300
            assert max(sizes) <= most
            return 300 / (time.perf_counter() - begin)

        batched = single = 0.0

        def faster() -> bool:
            nonlocal batched, single
            batched, single = max(batched, rate(100)), max(single, rate(1))
            assert batched >= 1.4 * single, (batched, single)
            return True

        eventually(faster, 60)


def test_a_second_watch_hears_just_what_changed(grove: trees.Tree, writers: Writers, state_dir: Path) -> None:
    """`watch --json` as the suites launch it: ready names every file, and resuming brings the 20 that changed and no other."""
    with Watch(grove.root, "--state-dir", state_dir) as watch:
        assert watch.ready["files"] == grove.files
        assert watch.ready_s > 0
        assert {"watch", "supervisord", "aggregator", "shards"} <= watch.usage().cpu_by_name.keys()
    changed = grove.paths[::50]
    writers.run(changed)
    with Watch(grove.root, "--state-dir", state_dir) as watch:

        def event() -> dict[str, Any]:
            """The next line that is an event: on a busy machine a status line may stand before it."""
            line: dict[str, Any] = json.loads(watch.lines.next())
            return event() if line["type"] == "status" else line

        came = [event()["path"] for _ in changed]
        assert sorted(came) == sorted(map(os.fsdecode, changed))
        writers.run(grove.paths[1:2])
        assert event()["path"] == os.fsdecode(grove.paths[1]), "another line came before it"


def test_an_idle_service_wakes_up_seldom(grove: trees.Tree) -> None:
    """All processes of a `watch` together, by the kernel's count: four times a second. Before the pulses were read together, and
    nothing was said that is known, it was eight times. A machine with other work makes some rounds worse, and none better.
    """
    with Watch(grove.root) as watch:

        def calm() -> bool:
            begin, before = time.monotonic(), watch.usage()
            if not watch.lines.silent(8.0):
                watch.lines.next()  # a status line: the machine stalled
                return False
            seconds = time.monotonic() - begin
            woken = watch.usage().since(before).wakeups / seconds
            assert woken <= 6.0, f"{woken:.1f} wake-ups a second"
            return True

        eventually(calm, 120)


def test_latency_of_a_rewrite_is_counted_from_the_write(grove: trees.Tree) -> None:
    """A hand-over counts for the writes before its look, not for those after it; a write that nothing follows is missed."""
    offset = time.time() - time.monotonic()
    tree = trees.Tree(grove.root, 1, 2, grove.paths[:2])
    a, b = map(os.fsdecode, tree.paths)
    stamps = [1.0, 1.5, 2.0, 2.5]  # a, b, a, b
    log = [(a, 1.4, 1.2 + offset), (b, 2.9, 2.6 + offset)]
    found, missed = latencies(tree, stamps, log)
    assert missed == 1
    assert sorted(round(seconds, 3) for seconds in found) == [0.4, 0.4, 1.4]


def test_the_writers_agree(grove: trees.Tree, writers: Writers) -> None:
    """The C writer and its Python stand-in leave the same bytes, and stamp each operation in order."""
    contents = []
    for kind in (writers._command, [sys.executable, "-I", str(ROOT / "perf" / "writers.py")]):
        writers._command = kind
        with writers.begin(grove.paths[:3], 7, rate=1_000, stamps=True) as running:
            written = running.wait()
        assert list(written.stamps) == sorted(written.stamps)
        assert len(written.stamps) == 7
        contents.append([Path(os.fsdecode(path)).read_bytes() for path in grove.paths[:3]])
    assert contents[0] == contents[1] != []


class FakeBenchmark:
    """What a Book asks of pytest-benchmark."""

    group = ""

    def __init__(self) -> None:
        self.extra_info: dict[str, object] = {}

    def pedantic(self, target: object, rounds: int) -> None:
        for _ in range(rounds):
            target()  # type: ignore[operator]


def test_figures_become_a_table(tmp_path: Path) -> None:
    """What a suite notes ends in the table, a line for each kind of processor: elapsed and processor time of each side, the goal,
    and what a peer lost. Without native code ours is another side."""
    for kind in ("a", "b"):
        for side, losses, late_s in (("shardwatch", [0, 0, 0], [0.3, 0.4, 0.2]), ("watchman", [0, 3, 1], [0.7] * 3)):
            book = Book(FakeBenchmark(), "burst", side, directory=tmp_path / kind)
            book.settings(files=10, tree=tmp_path)
            for missing in losses:
                book.lost(missing, 10, said=0)
            found = [{"late_s": late, "missed": 0, "cpu_s": 1.5, "consumer_cpu_s": 0.25} for late in late_s]
            if side == "shardwatch":
                found = [figures | {"cpu_shards_s": 0.5} for figures in found]
            rounds = iter(found if kind == "a" else [{"late_s": late, "missed": 0} for late in late_s])
            book.rounds(lambda: next(rounds), 3, headline="late_s")  # noqa: B023 - called before the loop goes on
    held = json.loads((tmp_path / "a" / "burst.json").read_text())["sides"]
    assert held["watchman"]["figures"]["late_s"]["values"] == [0.7] * 3
    ours = held["shardwatch" if NATIVE else "shardwatch-pure"]
    assert ours["settings"]["files"] == 10
    assert ours["settings"]["native_code"] == choice.STATE
    assert ours["figures"]["late_s"]["values"] == [0.3, 0.4, 0.2]
    kinds = report.read(tmp_path)
    head, _, one, two = report.table(kinds)
    assert head.split(" | ")[2:4] == ["shardwatch" if NATIVE else "shardwatch, pure Python", "watchman"]
    assert f"| {report.short(kinds['a'])} |" in one
    assert report.other_tools(kinds) == []
    assert "| 0.30 s; 1.50 + 0.25 s (shard 0.50) |" in one
    assert "| 0.70 s; 1.50 + 0.25 s; **LOST 3 of 10, without a word (2 of 3 rounds)** |" in one
    assert one.endswith("| yes |")
    assert two.startswith("|  | ")
    assert "| 0.30 s; – s |" in two
    assert all("load at the end of a row" in report.machine(results) for results in kinds.values())


def test_native_code_is_preferred_for_the_verdict() -> None:
    """What a machine can do counts; without native code, what it does then."""

    def page(late_s: float) -> dict[str, Any]:
        figures = {"late_s": late_s, "missed": 0, "cpu_s": 1}
        return {"figures": {name: {"median": value} for name, value in figures.items()}, "notes": []}

    pure = {"burst": {"sides": {"shardwatch-pure": page(0.9), "watchman": page(0.4)}}}
    both = {"burst": {"sides": {"shardwatch-pure": page(0.9), "shardwatch": page(0.3), "watchman": page(0.4)}}}
    alone = {"burst": {"sides": {"shardwatch": page(0.3)}}}
    assert [report.verdict("burst", report.medians(held)) for held in (pure, both, alone)] == ["**no**", "yes", ""]


def test_an_older_commit_is_shown_beside_todays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it took is kept with what today's commit took in the same turns, apart from the other rows; the ratio is the median of
    the turns. A new run begins anew: it is not compared with what another one left."""
    monkeypatch.setattr(older, "COMMIT", "HEAD")
    monkeypatch.setattr(older, "resolve", lambda commit: "0123456789ab")
    place = tmp_path / "a" / BESIDE[OURS if NATIVE else PURE]

    def measured(side: str, *turns: dict[str, float]) -> None:
        book = Book(FakeBenchmark(), "start", side, directory=place)
        for figures in turns:
            book.another_turn(FakeBenchmark()).rounds(lambda: figures, 5, headline="ready_s")  # noqa: B023 - called at once

    assert report.beside(tmp_path) == []
    measured(OURS, {"ready_s": 1.0, "cpu_s": 1.0}, {"ready_s": 2.0, "cpu_s": 3.0}, {"ready_s": 1.0, "cpu_s": 0.9})
    measured(OLD, {"ready_s": 2.0, "cpu_s": 2.0}, {"ready_s": 2.0, "cpu_s": 3.0}, {"ready_s": 4.0, "cpu_s": 1.8})
    assert len(json.loads((place / "start.json").read_text())["sides"][OLD]["figures"]["cpu_s"]["values"]) == 3
    assert report.read(tmp_path) == {}
    _, _, line = report.beside(tmp_path)
    assert "| 2.00 s; 2.00 s (0123456789ab) | elapsed 0.50 x, processor 0.50 x | processor <= 0.6 x | yes |" in line
    measured(OURS, {"ready_s": 0.0, "cpu_s": 2.0})
    assert report.beside(tmp_path) == []
    measured(OLD, {"ready_s": 0.0, "cpu_s": 2.0})
    assert report.beside(tmp_path)[2].endswith("| elapsed –, processor 1.00 x | processor <= 0.6 x | **no** |")


def test_an_older_commit_is_one_of_this_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be had, and what can't be installed, is said with its reason."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", older.resolve("HEAD"))
    for name in ("no-such-commit", "HEAD~1", "--all", ""):
        with pytest.raises(older.NoCommitError, match="no such commit"):
            older.resolve(name)
    monkeypatch.setattr(older, "COMMIT", "HEAD")
    with pytest.raises(older.NoCommitError, match="it has no constraints"):
        older.installed.__wrapped__()
    with pytest.raises(older.NoCommitError, match="can't be installed: `false` failed"):
        older._run("0123456789ab", ["false"], tmp_path)


def test_rows_are_measured_in_turn_with_an_older_commit(tmp_path: Path) -> None:
    """Row by row, today's commit and the older one one after the other, as often as the row says; and no peer meanwhile."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    shutil.copytree(ROOT / "perf", tmp_path / "perf", ignore=shutil.ignore_patterns("results", "__pycache__"))
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")

    def collected(rows: str, code: int, **variables: str) -> list[str]:
        command = [sys.executable, "-P", "-m", "pytest", "perf", "-p", "no:xdist", "--collect-only", "-q", f"--rows={rows}"]
        environ = {**os.environ, "OLD": "HEAD", "QUICK": "", "PEERS": "", **variables}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return (done.stdout + done.stderr).splitlines()

    lines = [line.rpartition("::")[2] for line in collected("start,burst", 0) if "::" in line]
    turns = [f"test_start[{turn}-{side}]" for turn in range(5) for side in (OURS, OLD)]
    assert lines == turns + [f"test_burst[{turn}-{side}-directory]" for turn in range(3) for side in (OURS, OLD)]
    assert any("ship: none that is measured beside an older commit" in line for line in collected("ship", 4))
    assert any("give one of them" in line for line in collected("start", 4, PEERS="watchman"))


def test_an_older_service_is_measured_as_todays(grove: trees.Tree, writers: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the older commit is today's. Its programs are found by the mark, and its consumer is told by itself."""
    monkeypatch.setattr(older, "installed", lambda: older.Installation("0123456789ab", Path(sys.executable).parent))
    with launch(OLD, grove.root, settle_ms=20) as service:
        writers.run(grove.paths)
        assert service.hands().wait(grove.files).distinct == grove.files
        used = service.usage()
        assert {"supervisord", "aggregator", "shards"} <= used.cpu_by_name.keys()
        assert used.consumer_s
    with watching(OLD, grove.root) as watch:
        assert (watch.name, isinstance(watch, Watch)) == (OLD, True)
        assert "watch" in watch.usage().cpu_by_name
    with pytest.raises(subprocess.CalledProcessError):
        launch(OLD, grove.root / "nothing")


def test_rows_and_peers_are_chosen_by_name() -> None:
    """`make perf ROWS=… PEERS=…`; a name that is none is an error, not a run of nothing."""
    assert chosen("") == set(ROWS)
    assert chosen("start,cost") == set(SETS["cost"])
    assert chosen("memory,start") == {"memory", "start"}
    assert (asked_for(""), asked_for("0"), asked_for("1")) == (set(), set(), set(PEERS))
    assert asked_for("watchman,watchdog") == {"watchman", "watchdog"}
    for function in (chosen, asked_for):
        with pytest.raises(ValueError, match="nobody"):
            function("nobody")


def test_a_kind_of_processor_names_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model and the cores, and nothing that a path could stumble over."""
    for cpu, name in (("AMD EPYC", "amd-epyc"), ("Intel(R) Xeon(R) CPU @ 2.60GHz", "intel-xeon"), ("../x y/é", "x-y")):
        monkeypatch.setattr(machine, "describe", lambda cpu=cpu: {"cpu": cpu, "cores": 2})
        assert machine.kind() == f"{name}-2-cores"


def test_processes_that_ended_are_part_of_the_price() -> None:
    """Their time is their parent's once it has waited for them: a planner that runs for a moment, a shard that was killed."""
    work = "import time\nwhile time.process_time() < 0.2: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        used = processes.usage([parent.pid])
        beside = processes.usage([], parent.pid)
        parent.communicate()
    assert used.cpu_s >= 0.15
    assert used.consumer_s is None
    assert beside.cpu_s == 0
    assert beside.consumer_s is not None
    assert beside.consumer_s >= 0.15


def test_random_order_is_of_the_same_files(grove: trees.Tree) -> None:
    """And the same each time."""
    other = trees.shuffled(grove)
    assert other.paths != grove.paths
    assert sorted(other.paths) == sorted(grove.paths)
    assert other == trees.shuffled(grove)


def test_every_row_can_be_shown() -> None:
    """Each row's template and check take the figures that it names, so that a long run does not fail at its end."""
    names = {key: re.findall(r"\{(\w+)", row.show) for key, row in ROWS.items()}
    more = ["cpu_s", "cpu_percent", "missed", "stale", "events", "wrong", "overflows"]
    figures = {key: {"shardwatch": dict.fromkeys([*found, *more], 1.0)} for key, found in names.items()}
    for key, row in ROWS.items():
        assert "cpu" in "".join(names[key]), "each row tells the processor time"
        for noted in ([], [*names[key], *more]):
            shown = report.shown(key, {"figures": {name: {"median": 1.0} for name in noted}, "notes": []})
            assert "{" not in shown
            assert (report.NOTHING in shown) == (noted == [])
        if row.check is not None:
            assert row.check(figures[key], figures) in (True, False, None)


def test_plots_are_well_formed() -> None:
    """A plot parses as XML, and names its lines, also those with characters that XML reserves."""
    text = svg.plot("a < b", "files", "s", {"x & y": [(10, 1), (1000, 20)], "none": []})
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter() if element.text]
    assert "x & y" in words
    assert "none" not in words
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
