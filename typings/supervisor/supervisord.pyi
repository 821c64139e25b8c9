from supervisor.options import ProcessGroupConfig, ServerOptions
from supervisor.process import ProcessGroup

class Supervisor:
    options: ServerOptions
    process_groups: dict[str, ProcessGroup]
    def add_process_group(self, config: ProcessGroupConfig) -> bool: ...

def main(args: list[str] | None = None, test: bool = False) -> None: ...
