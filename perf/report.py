"""Makes the table in docs/performance.md, and the plots, from perf/results: `python perf/report.py [--quick]`.

What people wrote in that page, outside the two markers, stays. With --quick the table goes to standard output only.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import svg
from rows import BESIDE, OLD, OURS, PURE, ROWS, All

HERE: Final = Path(__file__).resolve().parent
PAGE: Final = HERE.parent / "docs" / "performance.md"
PLOTS: Final = HERE.parent / "docs" / "performance"
BEGIN: Final = "<!-- table: made by perf/report.py -->"
END: Final = "<!-- end of table -->"
#: The columns of the first table. Others that were measured have one of their own.
SIDES: Final = (OURS, PURE, "watchman")
TITLES: Final = {PURE: f"{OURS}, pure Python"}
#: Stands where a figure was not measured.
NOTHING: Final = "–"

#: What was noted of the rows on one kind of processor.
Results = Mapping[str, dict[str, Any]]


class _Medians(dict[str, Any]):
    """Medians by name for a template; what is missing is shown as such."""

    def __missing__(self, name: str) -> _Missing:
        return _Missing()


class _Missing:
    def __format__(self, spec: str) -> str:
        return NOTHING


def read(directory: Path) -> dict[str, Results]:
    """Rows by key, those that were measured, for each kind of processor."""
    found: dict[str, Results] = {}
    for kind in sorted(path for path in directory.iterdir() if path.is_dir() and path.name != "quick"):
        rows = {key: json.loads(path.read_text()) for key in ROWS if (path := kind / f"{key}.json").exists()}
        if rows:
            found[kind.name] = rows
    return found


def medians(results: Results) -> All:
    """Ours are those with native code; without it where there are no others."""
    found = {}
    for key, held in results.items():
        sides = {side: {n: f["median"] for n, f in page["figures"].items()} for side, page in held["sides"].items()}
        if PURE in sides:
            sides.setdefault(OURS, sides[PURE])
        found[key] = sides
    return found


def shown(key: str, page: Mapping[str, Any]) -> str:
    """One side's figures and notes."""
    figures = _Medians({name: held["median"] for name, held in page["figures"].items()})
    figures["cpu"] = _processor_time(figures)
    figures["shard"] = f" (shard {figures['cpu_shards_s']:.2f})" if "cpu_shards_s" in figures else ""
    text = ROWS[key].show.format_map(figures)
    return text + "".join(f"; **{note}**" for note in page["notes"])


def _processor_time(figures: _Medians) -> str:
    """Of the product, and of its consumer where that is another process."""
    text = f"{figures['cpu_s']:.2f}"
    return f"{text} + {figures['consumer_cpu_s']:.2f} s" if "consumer_cpu_s" in figures else f"{text} s"


def verdict(key: str, figures: All) -> str:
    """Whether our side meets the goal; "" where it can't be told."""
    check = ROWS[key].check
    if check is None or OURS not in figures[key]:
        return ""
    try:
        met = check(figures[key], figures)
    except KeyError:  # an earlier version of the suite did not measure it
        return ""
    return "" if met is None else "yes" if met else "**no**"


def table(kinds: Mapping[str, Results]) -> list[str]:
    """The rows, each with a line for each kind of processor: ours and watchman, the goal, and whether it is met."""
    sides = [side for side in SIDES if side in _measured(kinds)]
    lines = _head(["", "processor", *(TITLES.get(side, side) for side in sides), "goal", "met"])
    figures = {kind: medians(results) for kind, results in kinds.items()}
    for key, row in ROWS.items():
        question, goal = row.question, row.goal
        for kind, cells in _cells(kinds, key, sides):
            lines.append(_line([question, short(kinds[kind]), *cells, goal, verdict(key, figures[kind])]))
            question = goal = ""
    return lines


def other_tools(kinds: Mapping[str, Results]) -> list[str]:
    """The same for those that keep less, in the rows that are measured with them; nothing where none was."""
    sides = sorted(_measured(kinds) - set(SIDES))
    lines = []
    for key, row in ROWS.items():
        question = row.question
        for kind, cells in _cells(kinds, key, sides):
            lines.append(_line([question, short(kinds[kind]), *cells]))
            question = ""
    return [*_head(["", "processor", *sides]), *lines] if lines else []


def _measured(kinds: Mapping[str, Results]) -> set[str]:
    """The sides in rows of the table."""
    return {side for results in kinds.values() for key, held in results.items() if ROWS[key].listed for side in held["sides"]}


def _cells(kinds: Mapping[str, Results], key: str, sides: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Of a row that is listed, for each kind of processor on which it was measured with one of the sides."""
    for kind, results in kinds.items():
        pages = results[key]["sides"] if key in results and ROWS[key].listed else {}
        if any(side in pages for side in sides):
            yield kind, [shown(key, pages[side]) if side in pages else "" for side in sides]


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|---" * len(titles) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def beside(directory: Path) -> list[str]:
    """The rows that were measured beside an older commit, each with a line for each kind of processor, with native code and
    without; no line where there are none."""
    found = [
        (key, side, held["sides"])
        for key in ROWS
        for kind in sorted(directory.iterdir())
        for side, place in BESIDE.items()
        if (path := kind / place / f"{key}.json").exists() and len((held := json.loads(path.read_text()))["sides"]) == 2
    ]
    lines = []
    above = None
    for key, side, sides in found:
        now, then = sides[side], sides[OLD]
        question, above = ("" if key == above else ROWS[key].question), key
        when = f"{TITLES.get(side, side)} at {now['commit']}, {now['measured_at'][:10]}"
        cells = [
            question, _short(now["machine"]), when, shown(key, now), f"{shown(key, then)} ({then['commit']})",
            *_compared(key, now["figures"], then["figures"]),
        ]  # fmt: skip
        lines.append(_line(cells))
    titles = ["", "processor", "measured", "shardwatch", "the older commit", "of what it took", "goal", "met"]
    return [*_head(titles), *lines] if lines else []


def _compared(key: str, now: Mapping[str, Any], then: Mapping[str, Any]) -> tuple[str, str, str]:
    """What today's commit took of what the older one did (the median of the rounds, each against that of the same turn), what it
    may take at most, and whether it keeps to that."""
    compared = ROWS[key].beside
    assert compared is not None
    told, goals, kept = [], [], True
    for word, figure in compared.compared.items():
        pairs = zip(now[figure]["values"], then[figure]["values"], strict=False)
        ratios = [ours / before for ours, before in pairs if before]
        told.append(f"{word} {statistics.median(ratios):.2f} x" if ratios else f"{word} {NOTHING}")
        if figure in compared.goals:
            goals.append(f"{word} <= {compared.goals[figure]:g} x")
            kept = kept and bool(ratios) and statistics.median(ratios) <= compared.goals[figure]
    return ", ".join(told), ", ".join(goals), "" if not goals else "yes" if kept else "**no**"


def name(results: Results) -> str:
    """Of a kind of processor."""
    machine = _pages(results)[0]["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores"


def short(results: Results) -> str:
    """The same in a word or two."""
    return _short(_pages(results)[0]["machine"])


def _short(machine: Mapping[str, Any]) -> str:
    return " ".join(re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", " ", machine["cpu"]).split())


def machine(results: Results) -> str:
    """Where and when the rows of one kind of processor were measured, in one sentence."""
    pages = _pages(results)
    one = pages[0]["machine"]
    ours = [page for held in results.values() for side, page in held["sides"].items() if side in (OURS, PURE)]
    versions = {side: page["version"] for held in results.values() for side, page in held["sides"].items() if page["version"]}
    commits = list(dict.fromkeys(page["commit"] for page in ours))
    days = sorted({page["measured_at"][:10] for page in ours})
    loads = sorted(page["machine"]["load_1min"] for page in ours)
    beside = f", beside {', '.join(f'{side} {version}' for side, version in sorted(versions.items()))}" if versions else ""
    return (
        f"- {name(results)}, {one['memory_gib']} GiB, Linux {one['kernel']}, Python {one['python']}; measured on "
        f"{' and '.join(dict.fromkeys((days[0], days[-1])))} at {', '.join(commits)}{beside}; load at the end of a row "
        f"{loads[0]} to {loads[-1]}."
    )


def _pages(results: Results) -> Sequence[dict[str, Any]]:
    return [page for held in results.values() for page in held["sides"].values()]


def plots(results: Results) -> dict[str, str]:
    """SVG by name: cost against size, and against shards."""
    figures = medians(results)
    sides = sorted({side for held in results.values() for side in held["sides"]}, key=lambda side: (side != OURS, side))
    files: dict[str, str] = {}

    def against_size(figure: str) -> dict[str, list[tuple[float, float]]]:
        keys = [key for key in ("memory_small", "memory", "memory_large") if key in results]
        return {
            side: [
                (results[key]["sides"][side]["settings"]["files"], figures[key][side][figure])
                for key in keys
                if side in results[key]["sides"]
            ]
            for side in sides
        }

    if "memory" in results:
        files["start"] = svg.plot("From command to ready", "files", "seconds", against_size("ready_s"))
        files["memory"] = svg.plot("Memory of all processes (PSS)", "files", "MB", against_size("pss_mb"))
    if OURS in figures.get("shards", {}):
        ours = figures["shards"][OURS]
        files["shards"] = svg.plot(
            "One tree, more shards", "shards", "seconds",
            {
                "start to ready": [(n, ours[f"ready_{n}_s"]) for n in (1, 2, 4, 8)],
                "last of a burst": [(n, max(ours[f"late_{n}_s"], 0.001)) for n in (1, 2, 4, 8)],
            },
        )  # fmt: skip
    return files


def not_listed(kinds: Mapping[str, Results]) -> list[str]:
    """What is in the results only: whether its goal is met."""
    lines = []
    for results in kinds.values():
        figures = medians(results)
        told = {key: verdict(key, figures) for key in results if not ROWS[key].listed and ROWS[key].goal}
        missed = [f"{ROWS[key].question} ({ROWS[key].goal})" for key, met in told.items() if met not in ("yes", "")]
        if told:
            fail = f"all meet their goals but {'; '.join(missed)}" if missed else "all meet their goals"
            lines.append(f"- {name(results)}: {len(told)} further rows are in the results only; {fail}.")
    return lines


def drawn(kinds: Mapping[str, Results]) -> list[str]:
    """Writes the plots; returns the lines that show them."""
    PLOTS.mkdir(exist_ok=True)
    lines = []
    for kind, results in kinds.items():
        for plot, text in plots(results).items():
            (PLOTS / f"{plot}-{kind}.svg").write_text(text)
            lines.append(f"![{plot}: {name(results)}](performance/{plot}-{kind}.svg)")
    return lines


def _wrapped(line: str) -> str:
    """A line of the page: prose is wrapped as everywhere, a table can't be."""
    return fill(line, 100, subsequent_indent="  ", break_on_hyphens=False) if line.startswith("- ") else line


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    results = HERE / "results" / "quick" if quick else HERE / "results"
    kinds = read(results)
    lines = ["Measured were:", "", *map(machine, kinds.values()), "", *table(kinds), "", *not_listed(kinds)]
    if others := other_tools(kinds):
        lines += ["", "Tools that only watch, and keep nothing of the tree, on the same tasks:", "", *others]
    if compared := beside(results):
        lines += ["", "Beside an older commit of shardwatch, in turn:", "", *compared]
    if quick:
        print("\n".join(lines))
        return 0
    lines = [_wrapped(line) for line in lines]
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        print(f"{PAGE} has no place for the table: the lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", *drawn(kinds), "", END + after]))
    print("\n".join(lines))
    print(f"\n{PAGE}: {sum(map(len, kinds.values()))} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
