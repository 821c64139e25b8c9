from supervisor.options import ProcessConfig, ProcessGroupConfig

class Subprocess:
    config: ProcessConfig
    group: ProcessGroup | None
    state: int
    pid: int
    laststart: float
    delay: float
    backoff: int
    spawnerr: str | None
    exitstatus: int | None
    def change_state(self, new_state: int, expected: bool = True) -> None: ...
    def stop(self) -> str | None: ...

class ProcessGroup:
    config: ProcessGroupConfig
    processes: dict[str, Subprocess]
