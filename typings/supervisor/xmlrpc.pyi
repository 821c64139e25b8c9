class Faults:
    SHUTDOWN_STATE: int
    BAD_NAME: int
    ALREADY_ADDED: int
    FAILED: int

class RPCError(Exception):
    code: int
    text: str
    def __init__(self, code: int, extra: str | None = None) -> None: ...
