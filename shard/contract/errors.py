"""The tree of all errors. Every error says which operation failed, and what the user can do about it."""

from __future__ import annotations


class ShardwatchError(Exception):
    """Root of all errors that a caller may meet.

    Args:
        message: one line, without the remedy.
        hint: the remedy, one line, or "" where there is none.
        retryable: whether the same call may succeed later without any change by the user.
    """

    #: Exit code of a command that ends with this error (documented in docs/operations.md).
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(ShardwatchError):
    """Wrong input, such as a root that is not a directory, a bad pattern, or a bad configuration value."""

    exit_code = 2


class NotRunningError(ShardwatchError):
    """No service answers in the state directory."""

    exit_code = 3


class InUseError(ShardwatchError):
    """Another running process holds something that this one needs, such as a state directory or a shard's lock."""

    exit_code = 4


class ServiceTimeoutError(ShardwatchError):
    """The service did not answer, or did not become ready, in time."""

    exit_code = 5


class ServiceError(ShardwatchError):
    """The service answered with an error, or ended by itself."""

    exit_code = 6


class WireError(ShardwatchError):
    """A frame that cannot be decoded, is too large, or has another protocol version. It is counted and dropped."""
