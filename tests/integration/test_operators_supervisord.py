"""The service as a program of somebody else's supervisord, by configs/supervisord-include.conf and docs/install.md."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, ROOT, command_of, environment
from running import ANSWER_S, consuming, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service import service

pytestmark = pytest.mark.usefixtures("no_leaks")

_CONF = """
[unix_http_server]
file = {here}/s
[supervisord]
nodaemon = true
logfile = {here}/supervisord.log
pidfile = {here}/pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://{here}/s
[program:theirs]
command = sleep 1000
[include]
files = {here}/*.conf
"""


class Theirs:
    """A supervisord with a program of its operator, and with our file included."""

    def __init__(self, here: Path, tree: Path) -> None:
        self.state_dir = here / "state"
        self.toml = here / "shardwatch.toml"
        self.write(f'roots = ["{tree}"]\n')
        self._conf = here / "main.ini"
        plugin = re.search(r"^```ini\n(\[ctlplugin:.*?)^```", (ROOT / "docs/install.md").read_text(), re.MULTILINE | re.DOTALL)
        assert plugin is not None
        self._conf.write_text(_CONF.format(here=here) + plugin[1].replace("/var/lib/shardwatch", str(self.state_dir)))
        self.fragment = here / "shardwatch.conf"
        text = (ROOT / "configs/supervisord-include.conf").read_text()
        command = " ".join(map(str, command_of()))
        for old, new in (
            ("/opt/shardwatch/bin/shardwatch", command), ("/etc/shardwatch.toml", self.toml), ("/var/log", here),
            ("/var/lib/shardwatch", self.state_dir), ("user = shardwatch\n", ""),
        ):  # fmt: skip
            assert old in text
            text = text.replace(old, str(new))
        self.fragment.write_text(text)
        command_line: list[str | Path] = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", self._conf]
        self.process = subprocess.Popen(command_line, stdout=subprocess.DEVNULL, env=environment())

    def write(self, text: str) -> None:
        self.toml.write_text(text)
        self.toml.chmod(0o600)

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", self._conf, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=GUARD_S, env=environment(), check=False)

    def pid(self) -> int:
        return int(self.ctl("pid", "shardwatch").stdout)

    def ready(self) -> bool:
        try:
            with ExtractClient(self.state_dir, timeout_s=ANSWER_S) as client:
                return bool(client.status()["ready"])
        except ShardwatchError:
            return False

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(GUARD_S)


@pytest.fixture
def theirs(state_dir: Path, tree: Path) -> Iterator[Theirs]:
    it = Theirs(state_dir, tree)
    yield it
    it.end()


def test_under_a_supervisord_of_the_operators_own(theirs: Theirs, tree: Path) -> None:
    """start, stop, restart, signal, tail, reread, update and a kill do what is expected, and no change is lost."""
    eventually(theirs.ready, GUARD_S, what="it is ready")
    states = r"^shardwatch +RUNNING.*\ntheirs +RUNNING"
    eventually(lambda: re.search(states, theirs.ctl("status").stdout), GUARD_S, what="both run")
    others = theirs.ctl("pid", "theirs").stdout
    settings = settings_for(tree)
    with consuming(theirs.state_dir) as consumer:

        def mirrored(settings: object = settings) -> bool:
            assert consumer.error is None, consumer.error
            return consumer.mirror == walk(tree, settings)  # type: ignore[arg-type]

        eventually(mirrored, GUARD_S)
        shards = theirs.ctl("shards")
        assert shards.returncode == 0 and "shards:s0" in shards.stdout and "\nhealthy" in shards.stdout
        assert theirs.ctl("sync").returncode == 0
        assert "filter: keeps" in theirs.ctl("tail", "shardwatch").stdout

        assert "stopped" in theirs.ctl("stop", "shardwatch").stdout
        assert not service.running(Layout(theirs.state_dir))
        (tree / "while-stopped.ast.json").write_text("[1]")
        (tree / "main.ast.json").unlink()
        gone = theirs.ctl("shards")
        assert gone.returncode == 1 and "there is no service in" in gone.stdout and "start it with" in gone.stdout
        assert theirs.ctl("update").returncode == 0
        assert "started" in theirs.ctl("start", "shardwatch").stdout
        eventually(mirrored, GUARD_S, what="what was changed while it was stopped")

        before = theirs.pid()
        (tree / "before.ast.json").write_text("[2]")
        assert "started" in theirs.ctl("restart", "shardwatch").stdout
        (tree / "after.ast.json").write_text("[3]")
        eventually(mirrored, GUARD_S, what="what was changed around a restart")
        assert theirs.pid() != before

        deliver(theirs.pid(), signal.SIGKILL)
        (tree / "killed.ast.json").write_text("[4]")
        eventually(mirrored, GUARD_S, what="what was changed when it was killed")

        eventually(theirs.ready, GUARD_S)
        theirs.write(f'roots = ["{tree}"]\nexclude = ["/ast/"]\n')
        assert theirs.ctl("signal", "HUP", "shardwatch").returncode == 0
        eventually(lambda: os.fsencode(tree / "ast/e.json") not in consumer.mirror, GUARD_S, what="SIGHUP: a reload")

        before = theirs.pid()
        assert "No config updates" in theirs.ctl("reread").stdout
        assert theirs.pid() == before
        theirs.write(f'roots = ["{tree}"]\n')
        assert theirs.ctl("update").returncode == 0
        eventually(mirrored, GUARD_S, what="update: a reload")
        theirs.fragment.write_text(theirs.fragment.read_text().replace("stopwaitsecs = 15", "stopwaitsecs = 16"))
        assert "shardwatch: changed" in theirs.ctl("reread").stdout
        assert "updated process group" in theirs.ctl("update", "shardwatch").stdout
        (tree / "updated.ast.json").write_text("[5]")
        eventually(mirrored, GUARD_S, what="what was changed after an update of the program")
        assert consumer.fresh == 0
    assert theirs.ctl("pid", "theirs").stdout == others
