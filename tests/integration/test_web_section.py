"""`[web]` in a configuration: supervisord runs `web` beside the other programs of a service."""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cli_process import run
from session import deliver
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

GUARD_S = 60.0
TOKEN = "0123456789abcdef"


def status(state_dir: Path) -> dict[str, Any]:
    return dict(json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout))


def pids(state_dir: Path) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in status(state_dir)["processes"]}


def ready(address: str) -> int:
    """What the page says of the service, as a status of HTTP."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=GUARD_S)
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_web_is_a_program_of_the_service(state_dir: Path, tmp_path: Path) -> None:
    """It waits for a file of a token, and `status` says what helps, and then where the page is. If it is killed, it is there
    again. A reload that changes its section changes nothing else.
    """
    (tmp_path / "watched").mkdir()
    file = tmp_path / "shardwatch.toml"
    file.write_text('roots = ["watched"]\n[web]\nport = 0\ntoken_file = "token"\n')

    def served(state_dir: Path) -> str:
        return str((status(state_dir)["web"] or {}).get("address", ""))

    try:
        said = run("up", "--detach", "--state-dir", state_dir, cwd=tmp_path).stderr
        assert "[web]: no token can be read" in said
        found = eventually(lambda: found if (found := status(state_dir))["health"] == "degraded" else None, GUARD_S)
        (trouble,) = [one for one in found["findings"] if one["level"] == "warning"]
        assert "the web page is not served: no token" in trouble["message"] and trouble["remedy"] == found["web"]["remedy"]
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        address = eventually(lambda: served(state_dir), GUARD_S)
        assert ready(address) == 200
        before = pids(state_dir)
        for name, title in (("web", "web"), ("shards:s0", "s0")):  # as `ps` shows them; at a first start s0 begins without a plan
            assert f"{state_dir}:{title}" in Path(f"/proc/{before[name]}/cmdline").read_text().split("\0")
        deliver(before["shards:s0"], signal.SIGKILL)
        eventually(lambda: pids(state_dir).get("shards:s0") not in (None, 0, before["shards:s0"]), GUARD_S)
        before = pids(state_dir)
        assert f"{state_dir}:s0-watched" in Path(f"/proc/{before['shards:s0']}/cmdline").read_text().split("\0")
        deliver(before["web"], signal.SIGKILL)
        address = eventually(lambda: served(state_dir), GUARD_S)
        assert ready(address) == 200

        file.write_text('roots = ["watched"]\n[web]\nsocket = "page"\n')
        run("reload", "-c", file, "--state-dir", state_dir)
        eventually(lambda: "page" in served(state_dir), GUARD_S)
        assert (tmp_path / "page").is_socket()
        assert f"the web page is at the Unix socket {tmp_path}/page" in run("status", "--state-dir", state_dir).stdout
        file.write_text('roots = ["watched"]\n')
        run("reload", "-c", file, "--state-dir", state_dir)
        found = status(state_dir)
        assert found["web"] is None and not (tmp_path / "page").exists()
        assert {row["name"]: row["pid"] for row in found["processes"]} == {k: v for k, v in before.items() if k != "web"}
    finally:
        run("down", "--state-dir", state_dir, check=False)
