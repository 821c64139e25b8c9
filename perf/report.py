"""Makes the table in docs/performance.md, and the plots, from perf/results/*.json: `python perf/report.py [--quick]`.

What people wrote in that page, outside the two markers, stays. With --quick the table goes to standard output only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import svg
from rows import OURS, ROWS, All

HERE: Final = Path(__file__).resolve().parent
PAGE: Final = HERE.parent / "docs" / "performance.md"
PLOTS: Final = HERE.parent / "docs" / "performance"
BEGIN: Final = "<!-- table: made by perf/report.py -->"
END: Final = "<!-- end of table -->"

Results = Mapping[str, dict[str, Any]]


class Figure:
    """A median with its range; formats as both where the format ends in `!`."""

    def __init__(self, held: Mapping[str, Any], *, spread: bool) -> None:
        self._held = held
        self._spread = spread and len(held["values"]) > 1

    def __format__(self, spec: str) -> str:
        text = format(self._held["median"], spec)
        if not self._spread:
            return text
        return f"{text} ({format(self._held['min'], spec)}–{format(self._held['max'], spec)})"


def read(directory: Path) -> Results:
    """Rows by key, those that were measured."""
    found = {}
    for key in ROWS:
        path = directory / f"{key}.json"
        if path.exists():
            found[key] = json.loads(path.read_text())
    return found


def medians(results: Results) -> All:
    return {
        key: {side: {n: f["median"] for n, f in page["figures"].items()} for side, page in held["sides"].items()}
        for key, held in results.items()
    }


def shown(key: str, page: Mapping[str, Any]) -> str:
    """One side's figures, the first with its range, and its notes."""
    template = ROWS[key].show
    first = re.search(r"\{(\w+)", template)
    head = first.group(1) if first else ""
    figures = {name: Figure(held, spread=name == head) for name, held in page["figures"].items()}
    text = template.format_map(figures)
    return text + "".join(f"; **{note}**" for note in page["notes"])


def verdict(key: str, figures: All) -> str:
    check = ROWS[key].check
    if check is None or OURS not in figures[key]:
        return ""
    met = check(figures[key], figures)
    return "not told" if met is None else "yes" if met else "**no**"


def table(results: Results) -> list[str]:
    figures = medians(results)
    lines = ["| question | side | figures | goal | met |", "|---|---|---|---|---|"]
    for key, held in results.items():
        row = ROWS[key]
        for side, page in sorted(held["sides"].items(), key=lambda item: (item[0] != OURS, item[0])):
            ours = side == OURS
            name = side if ours else f"{side} {page['version']}".strip()
            question, goal, met = (row.question, row.goal, verdict(key, figures)) if ours else ("", "", "")
            lines.append(f"| {question} | {name} | {shown(key, page)} | {goal} | {met} |")
    return lines


def settings(results: Results) -> list[str]:
    """What each row of ours was measured with, and where."""
    lines = ["| row | settings | commit | measured | load |", "|---|---|---|---|---|"]
    for key, held in results.items():
        page = held["sides"].get(OURS)
        if page is not None:
            facts = ", ".join(f"{name} {value}" for name, value in page["settings"].items())
            load = page["machine"]["load_1min"]
            lines.append(f"| {ROWS[key].question} | {facts} | {page['commit']} | {page['measured_at']} | {load} |")
    return lines


def machine(results: Results) -> str:
    pages = [page for held in results.values() for page in held["sides"].values()]
    if not pages:
        return "Nothing was measured yet."
    one = pages[0]["machine"]
    return (
        f"Machine: {one['cpu']}, {one['cores']} cores, {one['memory_gib']} GiB, Linux {one['kernel']}, Python {one['python']}. "
        "Medians; in brackets the smallest and the largest of the rounds."
    )


def plots(results: Results) -> dict[str, str]:
    """SVG by file name: cost against size, and against shards."""
    figures = medians(results)
    sides = sorted({side for held in results.values() for side in held["sides"]}, key=lambda side: (side != OURS, side))
    files: dict[str, str] = {}

    def against_size(figure: str) -> dict[str, list[tuple[float, float]]]:
        keys = [key for key in ("memory_small", "memory", "memory_large") if key in results]
        return {
            side: [
                (results[key]["sides"][side]["settings"]["files"], figures[key][side][figure])
                for key in keys
                if side in figures[key]
            ]
            for side in sides
        }

    if "memory" in results:
        files["start.svg"] = svg.plot("From command to ready", "files", "seconds", against_size("ready_s"))
        files["memory.svg"] = svg.plot("Memory of all processes (PSS)", "files", "MB", against_size("pss_mb"))
    if OURS in figures.get("shards", {}):
        ours = figures["shards"][OURS]
        files["shards.svg"] = svg.plot(
            "One tree, more shards", "shards", "seconds",
            {
                "start to ready": [(n, ours[f"ready_{n}_s"]) for n in (1, 2, 4, 8)],
                "last of a burst": [(n, max(ours[f"late_{n}_s"], 0.001)) for n in (1, 2, 4, 8)],
            },
        )  # fmt: skip
    return files


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    results = read(HERE / "results" / "quick" if quick else HERE / "results")
    lines = [machine(results), "", *table(results), "", "### Settings of each row", "", *settings(results)]
    if quick:
        print("\n".join(lines))
        return 0
    drawn = plots(results)
    PLOTS.mkdir(exist_ok=True)
    for name, text in drawn.items():
        (PLOTS / name).write_text(text)
    pictures = [f"![{name.removesuffix('.svg')}](performance/{name})" for name in drawn]
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        print(f"{PAGE} has no place for the table: the lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    PAGE.write_text("\n".join([before + BEGIN, "", *lines, "", *pictures, "", END + after]))
    print(f"{PAGE}: {len(results)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
