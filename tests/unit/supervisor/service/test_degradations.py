"""Every state that an operator should know of is on one list, is found, and is shown by everything that shows health."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from cli_process import ROOT
from health_cases import CASES, degraded, engine, programs, shipping, verdict

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.commands import status as status_command
from shardwatch.supervisor.cli.ctl import ShardsCtl
from shardwatch.supervisor.service import status_now
from shardwatch.supervisor.service.checkup import Checkup
from shardwatch.supervisor.service.degradations import BY_REASON, DEGRADATIONS
from shardwatch.supervisor.service.status_object import status_object
from shardwatch.supervisor.terminal.tables import finding_line
from shardwatch.supervisor.top import contents
from shardwatch.supervisor.web.metrics import families

#: Reasons of findings, by the case.
FOUND = {name: verdict(seen).findings for name, seen, _, _ in CASES}
#: What only `status_now` can find.
WITHOUT_SERVICE = {"no_service"}


def test_each_is_found() -> None:
    """And nothing is found that is not on the list."""
    found = {finding.reason for findings in FOUND.values() for finding in findings}
    assert found | WITHOUT_SERVICE == set(BY_REASON) and len(BY_REASON) == len(DEGRADATIONS)


def test_each_has_a_remedy() -> None:
    """On the list, and where it is found, also where whoever reports it has none."""
    assert all(state.meaning and state.remedy and "|" not in "".join(state) for state in DEGRADATIONS)
    states = ("unreadable", "missing", "unmounted", "unanswered", "of a later version")
    without = [verdict({"engine": degraded(state, "")}) for state in states]
    without += [verdict({"engine": {"storage": {"message": "m", "remedy": ""}}})]
    without += [verdict({"shipping": {**shipping("m"), "remedy": ""}}), verdict({"page": {"error": "m", "remedy": ""}})]
    for health in [*without, *(verdict(seen) for _, seen, _, _ in CASES)]:
        assert all(finding.remedy for finding in health.troubles)


def rows_of(document: str, after: str, before: str = "\n## ") -> list[list[str]]:
    """The cells of the tables of one section, without their headers."""
    text = (ROOT / document).read_text()
    section = text[text.index(after) + len(after) :]
    lines = section[: section.index(before)].splitlines() if before in section else section.splitlines()
    rows = [re.split(r" \| ", line.strip("| ")) for line in lines if line.startswith("|")]
    return [row for row, line in zip(rows, [*rows[1:], [""]], strict=True) if "---" not in row[0] and "---" not in line[0]]


def test_the_document_has_the_list() -> None:
    """docs/health.md, word for word."""
    listed = rows_of("docs/health.md", "\n## Every reason\n")
    assert listed == [[f"`{state.reason}`", *state[1:]] for state in DEGRADATIONS]


def test_each_kind_of_failure_says_how_it_is_found() -> None:
    """Each row of ARCHITECTURE.md's failure tables names reasons of the list, or that nothing lasts; none is left out."""
    rows = rows_of("ARCHITECTURE.md", "\n## Failures\n")
    assert len(rows) > 100 and {len(row) for row in rows} == {4}
    named: set[str] = set()
    for row in rows:
        reasons = re.findall(r"`(\w+)`", row[2])
        assert row[2] == ", ".join(f"`{reason}`" for reason in reasons) or row[2] == "–", row
        named.update(reasons)
    assert named == set(BY_REASON)


def shown(findings: Any, seen: dict[str, Any]) -> dict[str, Any]:
    """The status as everything that shows it gets it."""
    told = seen.get("engine", {})
    rows = seen.get("programs", programs(**seen))
    known = None if told is None else engine(**{"files": 1, "directories": 1, "roots": ["/r"], "tick": 1, **told})
    if known is not None:
        known["shards"] = [{"anchors": ["/r"], **shard} for shard in known["shards"]]
    found = Checkup(rows, known, [], "because", verdict(seen))
    assert found.health.findings == findings
    return status_object("/s", found)


@pytest.mark.parametrize(("name", "seen"), [case[:2] for case in CASES], ids=[case[0] for case in CASES])
def test_all_show_it(name: str, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`status`, `supervisorctl shards`, `top`, the lines of /readyz, and the metrics: what is wrong, and the remedy."""
    status = shown(FOUND[name], seen)
    told: list[str] = []
    monkeypatch.setattr(status_now, "status_now", lambda layout: status)
    controller = SimpleNamespace(options=SimpleNamespace(plugins=[]), output=told.append, upcheck=lambda: True, exitstatus=0)
    ShardsCtl(controller, Layout("/s")).do_shards("")  # type: ignore[arg-type]
    texts = ["\n".join(told), contents.findings(status), status_command.first_line(status) + contents.findings(status)]
    texts.append("\n".join(map(finding_line, status["findings"])))
    metrics = {family.name: family for family in families({**status, "groups": [], "ship": None, "engine": None})}
    counts = {sample.labels["reason"]: sample for sample in metrics["shardwatch_degraded"].samples}
    for finding in FOUND[name]:
        assert all(finding.message in text and finding.remedy in text for text in texts)
        sample, remedy = counts[finding.reason], BY_REASON[finding.reason].remedy
        assert (sample.value, sample.labels["level"], sample.labels["remedy"]) == (1, finding.level, remedy)
    assert sum(sample.value for sample in counts.values()) == len(FOUND[name]) and set(counts) == set(BY_REASON)
