"""Asks a running service one question after another, for commands that print an answer and end."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol


class AskService(Protocol):
    def __call__(self, op: str, *, wait_s: float = 0.0, answer_s: float = 5.0, **fields: object) -> dict[str, Any]: ...


@contextlib.contextmanager
def asking(options: argparse.Namespace, asked_again: frozenset[str] = frozenset()) -> Iterator[AskService]:
    """Gives the function that asks. `asked_again`: codes of errors that are no answers.

    Raises NotRunningError where no service runs, and Ended.
    """
    from ...terminal.ends import Ends
    from .connection import ServiceConnection
    from .place import running_layout

    layout = running_layout(options)
    with Ends() as ends, ServiceConnection(layout, asked_again=asked_again) as connection:
        yield partial(connection.request, ends)
