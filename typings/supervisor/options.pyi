from collections.abc import Callable
from configparser import RawConfigParser
from typing import Any

from supervisor.loggers import Logger
from supervisor.process import ProcessGroup, Subprocess

class ProcessConfig:
    name: str
    priority: int
    startsecs: float
    startretries: int
    stopwaitsecs: float
    environment: dict[str, str] | None
    def make_process(self, group: ProcessGroup | None = None) -> Subprocess: ...

class ProcessGroupConfig:
    name: str
    priority: int
    process_configs: list[ProcessConfig]
    def __init__(
        self, options: ServerOptions, name: str, priority: int, process_configs: list[ProcessConfig]
    ) -> None: ...

class UnhosedConfigParser(RawConfigParser):
    expansions: dict[str, str]

class Poller:
    poll: Callable[[float], tuple[list[int], list[int]]]

class _Supervisord:
    environment: dict[str, str] | None

class _Root:
    supervisord: _Supervisord

class ServerOptions:
    here: str | None
    mood: int
    logger: Logger
    poller: Poller
    configroot: _Root
    httpservers: list[tuple[dict[str, Any], Any]]
    environ_expansions: dict[str, str]
    process_group_configs: list[ProcessGroupConfig]
    process_config: Callable[..., None]
    def get_socket_map(self) -> dict[int, Any]: ...
    def processes_from_section(
        self, parser: UnhosedConfigParser, section: str, group_name: str
    ) -> list[ProcessConfig]: ...
