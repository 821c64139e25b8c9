"""The names of all files in a state directory. Nothing here accesses the disk."""

from __future__ import annotations

from pathlib import Path


class Layout:
    """The files of one service, all below its state directory (mode 0700)."""

    def __init__(self, state_dir: Path | str) -> None:
        self.state_dir = Path(state_dir)
        at = self.state_dir
        self.supervisord_conf = at / "supervisord.conf"
        #: Effective settings, written by the launcher, read by every process (contract.settings).
        self.settings = at / "settings.json"
        #: Commands that supervisord runs for what changes, if there are any (contract.triggers).
        self.triggers = at / "exec.json"
        #: What the service ships, if it ships (contract.ship_section).
        self.ship_section = at / "ship-section.json"
        #: Where the service has its web page served, if it does (contract.web_section).
        self.web_section = at / "web-section.json"
        #: What the settings come from, so that they can be read again (contract.sources).
        self.sources = at / "sources.json"
        #: What is to be taken over while the service runs, until it is (supervisor.reload).
        self.reload = at / "reload.json"
        #: The plan that will be in force then.
        self.next_plan = at / "plan-next.json"
        #: Which shard owns what, written by the coordinator (contract.planfile).
        self.plan = at / "plan.json"
        self.index_db = at / "index.db"
        #: Groups outlive the index: a file of their own.
        self.groups_db = at / "groups.db"
        self.locks = at / "locks"
        self.service_lock = self.locks / "service.lock"
        self.run = at / "run"
        #: Aggregator PULL: shards PUSH their frames here.
        self.facts_socket = self.run / "facts.sock"
        #: Aggregator PUB: acks and requests to the shards, topic = shard id.
        self.acks_socket = self.run / "acks.sock"
        #: Aggregator ROUTER: extract workers and every command talk to this one.
        self.extract_socket = self.run / "extract.sock"
        self.supervisor_socket = self.run / "supervisor.sock"
        #: `shardwatch web`, where no other place is asked for.
        self.web_socket = self.run / "web.sock"
        #: What the program `web` is doing, for `status` (supervisor.service.web_page).
        self.web_report = self.run / "web.json"
        #: Datagrams of every program to supervisord's plugin: "my main loop turns".
        self.pulse_socket = self.run / "pulse.sock"
        self.supervisord_pid = self.run / "supervisord.pid"
        #: Levels of logs that were asked for while the service runs (contract.process.log_choice).
        self.log_levels = self.run / "log-levels.json"
        #: Key of the plan on disk while it still fits the settings (`supervisor.service` writes it, the plugin reads it).
        self.plan_key = self.run / "plan.key"
        #: What became of the last thing that was to be taken over (supervisor.reload).
        self.reload_outcome = self.run / "reload.json"
        #: Held by the command that has something taken over.
        self.reload_lock = self.run / "reload.lock"
        #: What `shardwatch ship` is doing, for `status` (bridge.ship.report).
        self.ship_report = self.run / "ship.json"
        self.logs = at / "logs"

    def lock(self, name: str) -> Path:
        """Lock file of a singleton: `aggregator`, `coordinator` or `shard-ID`."""
        return self.locks / f"{name}.lock"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @staticmethod
    def endpoint(socket: Path) -> str:
        """ZeroMQ endpoint of a socket file."""
        return f"ipc://{socket}"

    def sockets(self) -> list[Path]:
        """All socket files: the longest of them must fit IPC_PATH_BYTES_MAX."""
        return [self.facts_socket, self.acks_socket, self.extract_socket, self.supervisor_socket, self.pulse_socket]
