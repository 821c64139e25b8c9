from typing import Any

class LSBInitExitStatuses:
    SUCCESS: int
    GENERIC: int
    INVALID_ARGS: int

class Controller:
    exitstatus: int
    #: supervisorctl's ClientOptions; `here` is the directory of the configuration file, None without one.
    options: Any
    def upcheck(self) -> bool: ...
    def output(self, message: str) -> None: ...
    def get_server_proxy(self, namespace: str | None = None) -> Any: ...

class ControllerPluginBase:
    name: str
    ctl: Controller
