"""The metrics are what the status says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import ROOT
from prometheus_client.parser import text_string_to_metric_families

from shardwatch.supervisor.service.degradations import DEGRADATIONS
from shardwatch.supervisor.web.metrics import exposition, families

PROGRAM = {"name": "shards:s0", "pid": 7, "up_s": 1.5, "deaths": 2, "hung": 1, "stuck_s": 0.0, "breaker": "trying"}
SHARD = {
    "id": "s0", "directories": 4, "files": 9, "watches": 3, "polled": 1, "pending": 5, "unacked": 2, "silent_s": 0.1, "hints": 70,
    "looks": 60, "unreadable": 2, "filtered": 8, "overflows": 1, "rescans": 1, "resent": 0, "findings": 0,
    "busiest": [{"path": f"/{count}", "per_minute": count} for count in range(20, 8, -1)],
}  # fmt: skip
GROUP = {
    "name": 'a "b"', "backlog": 10, "leased": 3, "retrying": 1, "parked_paths": 2, "waiting_pulls": 0, "cursor": 40,
    "oldest_pending_s": 3.5,
}  # fmt: skip
ENGINE = {
    "ready": True, "files": 9, "directories": 4, "tick": 44, "frames": 5, "duplicates": 1, "gaps": 0, "dropped": 0, "refused": 0,
    "rows_written": 50, "waiting_requests": 1, "refused_requests": 0, "shards": [SHARD, {"id": "s1", "silent_s": None}],
    "degraded": [{"state": "polled", "directories": 3}, {"state": "polled", "directories": None}, {"state": "unreadable"}],
    "holds": [{"spent": False}, {"spent": True}],
    "polling": {
        "tiers": [{"tier": "active", "directories": 0, "bound_s": 0.0}, {"tier": "quiet", "directories": 7, "bound_s": 2.5}],
        "cpu_percent": 1.5, "needed_percent": 0.5,
    },
}  # fmt: skip
SHIP = {"connected": True, "behind": 6, "unconfirmed": 4}
POLLED = {"reason": "polled", "level": "warning"}
FINDINGS = [POLLED, {"reason": "held", "level": "note"}, POLLED]
STATUS: dict[str, Any] = {
    "health": "degraded", "answering": True, "findings": FINDINGS,
    "processes": [PROGRAM], "engine": ENGINE, "groups": [GROUP], "ship": SHIP, "limits": {"watches": 100, "watches_used": 8},
}  # fmt: skip


def values(status: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """Every sample of the exposition: its name and the values of its labels."""
    body, _ = exposition(status, "")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_what_the_status_says() -> None:
    """Numbers, counters with their ending, labels with their values, and none for what is not known."""
    found = values(STATUS)
    assert found["shardwatch_answering",] == 1
    assert [found["shardwatch_health", state] for state in ("healthy", "starting", "degraded", "down")] == [0, 0, 1, 0]
    remedies = {state.reason: state.remedy for state in DEGRADATIONS}
    assert found["shardwatch_degraded", "warning", "polled", remedies["polled"]] == 2
    assert found["shardwatch_degraded", "error", "storage", remedies["storage"]] == 0
    assert [found["shardwatch_findings", level] for level in ("error", "warning", "note")] == [0, 2, 1]
    assert found["shardwatch_program_running", "shards:s0"] == 1
    assert found["shardwatch_program_hangs_total", "shards:s0"] == 1
    assert found["shardwatch_program_breaker_open", "shards:s0"] == 1
    assert found["shardwatch_rows_written_total",] == 50
    assert found["shardwatch_shard_hints_total", "s0"] == 70
    busiest = {name[1]: value for name, value in found.items() if name[0] == "shardwatch_busiest_directory_changes"}
    assert busiest == {str(rank): 21 - rank for rank in range(1, 11)}, "as many series as there are ranks, and no path"
    assert ("shardwatch_shard_hints_total", "s1") not in found
    assert ("shardwatch_shard_silent_seconds", "s1") not in found
    assert found["shardwatch_group_backlog_paths", 'a "b"'] == 10
    assert found["shardwatch_degraded_directories", "polled"] == 4
    assert found["shardwatch_degraded_directories", "unreadable"] == 1
    assert found["shardwatch_shard_unreadable_directories", "s0"] == 2
    assert found["shardwatch_polled_directories", "quiet"] == 7 and found["shardwatch_polled_directories", "active"] == 0
    assert found["shardwatch_polling_bound_seconds", "quiet"] == 2.5
    assert ("shardwatch_polling_bound_seconds", "active") not in found
    assert found["shardwatch_polling_cpu_percent",] == 1.5 and found["shardwatch_polling_needed_cpu_percent",] == 0.5
    assert found["shardwatch_holds",] == 1
    assert found["shardwatch_ship_behind_paths",] == 6
    assert found["shardwatch_watches_limit",] == 100


def test_an_aggregator_that_does_not_answer() -> None:
    """Its numbers are left out, and not zero; the programs are known."""
    status = {**STATUS, "health": "down", "answering": False, "engine": None, "groups": [], "ship": None, "limits": None}
    found = values(status)
    assert found["shardwatch_answering",] == 0
    assert found["shardwatch_health", "down"] == 1
    assert found["shardwatch_program_running", "shards:s0"] == 1
    unknown = ("shardwatch_files", "shardwatch_group", "shardwatch_ship", "shardwatch_watch")
    assert not any(name.startswith(unknown) for name, *_ in found)


def test_databases_that_can_not_be_used() -> None:
    """What they would tell is left out, holds too: nobody knows of any, and not that there is none."""
    engine = {"ready": False, "roots": ["/r"], "storage": {"message": "full", "remedy": "mend it"}, "shards": [], "degraded": []}
    found = values({**STATUS, "engine": engine, "groups": []})
    assert found["shardwatch_answering",] == 1 and found["shardwatch_ready",] == 0
    assert not any(name.startswith(("shardwatch_files", "shardwatch_group", "shardwatch_holds")) for name, *_ in found)


def test_a_stream_that_is_not_known_yet() -> None:
    """Only whether it is connected."""
    found = values({**STATUS, "ship": {"connected": False, "behind": None, "unconfirmed": None}})
    assert found["shardwatch_ship_connected",] == 0
    assert ("shardwatch_ship_behind_paths",) not in found


def test_open_metrics_for_who_asks_for_it() -> None:
    """The format follows the header of the scraper."""
    body, content_type = exposition(STATUS, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert exposition(STATUS, "")[1].startswith("text/plain")


def test_the_page_lists_every_metric() -> None:
    """docs/metrics.md has each with its name as Prometheus has it, and no other."""
    listed = re.findall(r"^\| `(shardwatch_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    there = [f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families(STATUS)]
    assert sorted(listed) == sorted(there)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bshardwatch_\w+", text))


@pytest.mark.parametrize("file", ["prometheus-alerts.yml", "grafana-dashboard.json"])
def test_rules_and_dashboard_use_metrics_that_exist(file: str) -> None:
    """A metric that is renamed would leave an alert that never fires."""
    text = (ROOT / "configs" / file).read_text()
    used = {name for line in text.splitlines() if '"expr"' in line or "expr:" in line for name in names_in(line)}
    there = names_in((ROOT / "docs/metrics.md").read_text())
    assert used
    assert used <= there


def test_the_dashboard_is_one() -> None:
    """Panels do not overlap, and each asks something of the data source that is chosen."""
    dashboard = json.loads((ROOT / "configs/grafana-dashboard.json").read_text())
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"]) > 10
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_rules() -> None:
    """As its own tool says."""
    rules = ROOT / "configs/prometheus-alerts.yml"
    subprocess.run(["promtool", "check", "rules", rules], check=True, capture_output=True)


@pytest.mark.needs("promtool")
def test_a_program_that_dies_again_and_again_raises_alerts(tmp_path: Path) -> None:
    """However long it lives in between: then few deaths come in a minute, and two reasons take turns."""
    labels = 'level="{}", reason="{}", remedy="mend it"'
    told = [
        (f"shardwatch_degraded{{{labels.format('error', 'program_crashes')}}}", "1 1 0 0 " * 30),
        (f"shardwatch_degraded{{{labels.format('warning', 'program_tried')}}}", "0 0 1 1 " * 30),
        ('shardwatch_program_breaker_open{program="aggregator"}', "1x120"),
        ('shardwatch_program_recent_deaths{program="aggregator"}', "1x120"),
        ('shardwatch_program_breaker_open{program="web"}', "0x120"),
    ]
    raised = {"ShardwatchDegraded": 2, "ShardwatchCrashLoop": 1}
    tests = {
        "rule_files": [str(ROOT / "configs/prometheus-alerts.yml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": series, "values": values.strip()} for series, values in told],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                        "eval_time": "20m",
                        "exp_samples": [{"labels": "{}", "value": count}],
                    }
                    for alert, count in raised.items()
                ],
            }
        ],
    }
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps(tests))  # which is YAML, too
    done = subprocess.run(["promtool", "test", "rules", file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
