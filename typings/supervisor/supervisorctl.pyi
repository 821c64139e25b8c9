from typing import Any

class LSBInitExitStatuses:
    SUCCESS: int
    GENERIC: int

class Controller:
    exitstatus: int
    def upcheck(self) -> bool: ...
    def output(self, message: str) -> None: ...
    def get_server_proxy(self, namespace: str | None = None) -> Any: ...

class ControllerPluginBase:
    name: str
    ctl: Controller
