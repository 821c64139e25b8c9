"""What both clients are made of: the service that is asked, the worker's name, and the conversation between them."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.state.layout import Layout

from ..protocol.bounds import NAME_CHARS_MAX, WAIT_MS_MAX
from . import requests
from .absence import Absence
from .conversation import REPLY_S, Conversation, Flow
from .early import Early
from .following import WAIT_S_MAX, Following
from .owed import Acknowledged, OwedAck
from .requests import SECONDS_MAX, Request


class ClientBase:
    """The service that is asked, and who asks it."""

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        """Args:
            state_dir: the state directory, or an endpoint (`ipc://…`).
            worker: name shown in `groups`; by default made of host, process and client.
            timeout_s: seconds that an answer may take, beyond the wait that a request asks for.

        Raises UsageError.
        """
        self.endpoint = _endpoint(state_dir)
        self._given_worker = arguments.text("worker", worker, NAME_CHARS_MAX) if worker != "" else ""
        self._host = socket.gethostname()
        self._mark = f"{random.getrandbits(24):06x}"
        self._conversation = Conversation(self.endpoint, REPLY_S, Absence(self.endpoint))
        #: The loops over batches that were begun and not left.
        self._loops: set[Following] = set()
        self.timeout_s = timeout_s

    @property
    def worker(self) -> str:
        """The name that leases are held in. Where none was given, a child made with fork has one of its own."""
        return self._given_worker or f"{self._host}-{os.getpid()}-{self._mark}"

    @property
    def timeout_s(self) -> float:
        """Seconds that an answer may take, beyond the wait that a request asks for."""
        return self._conversation.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self._conversation.allow(arguments.seconds("timeout_s", seconds, 0.001, SECONDS_MAX))

    def _following(
        self,
        group: str,
        *,
        max: int | None,
        wait_s: float | None,
        follow: bool,
        from_: str | None,
        lease_s: float | None,
        patience_s: float | None,
        ahead: int,
    ) -> Following:
        """The loop of `batches`; see ExtractClient. Raises UsageError."""
        ahead = arguments.whole("ahead", ahead, 0, 1)
        wait_s = arguments.seconds("wait_s", 0.0 if wait_s is None else wait_s, 0.0, SECONDS_MAX)
        wait_s = WAIT_S_MAX if follow else min(wait_s, WAIT_MS_MAX / 1000)

        def pull(from_: str | None, ack: Acknowledged, once: int) -> Request:
            return requests.pull(
                group, self.worker, max=max, wait_s=wait_s, from_=from_, peek=False, lease_s=lease_s, once=once, ack=ack
            )

        def pull_ahead(once: int) -> Request:
            return requests.pull(
                group, self.worker, max=max, wait_s=0.0, from_=None, peek=False, lease_s=lease_s, once=once, ahead=True
            )

        def begin(batch: str) -> Request:
            return requests.extend(group, batch, lease_s)

        def end(batch: str) -> Request:
            return requests.ack(group, batch, begin=True, lease_s=lease_s)

        process = os.getpid()

        def is_ours() -> bool:
            return os.getpid() == process

        patient_s = requests.patience(patience_s)
        patient_s = patient_s if follow else 0.0
        owed = OwedAck(group, patient_s, is_ours)
        early = Early(self._conversation, pull_ahead, begin, end, patient_s, owed) if ahead else None
        loop = Following(
            self._conversation, pull, from_, owed, follow=follow, patience_s=patient_s, early=early, is_ours=is_ours
        )  # fmt: skip
        self._loops.add(loop)
        return loop

    def _endings(self) -> list[Callable[[float], Flow[None]]]:
        """What is to be done for its loops if the process ends now, in so many seconds."""
        return [loop.end_with_process for loop in list(self._loops)]


def _endpoint(state_dir: Path | str) -> str:
    if isinstance(state_dir, str) and state_dir.startswith("ipc://"):
        return "ipc://" + str(arguments.path("the endpoint's path", state_dir.removeprefix("ipc://")))
    where = arguments.path("state_dir", state_dir)
    return Layout.endpoint(Layout(where.absolute()).extract_socket)
