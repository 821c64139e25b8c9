"""Pull, print, acknowledge: the loop that `pull` and `watch` share."""

from __future__ import annotations

import os
from typing import Any

from shardwatch.aggregator.client.requests import once

from ...terminal.ends import Ends
from ...terminal.lines import Printer, exact_path
from ...terminal.own_output import OwnOutput
from ...terminal.streams import say
from ..link.connection import ServiceConnection, checked
from ..link.in_flight import Reply, hands_out

#: How long a pull waits in the service before it is asked anew, seconds. If nothing comes, its answer says that batches are held
#: back, so this must not be long.
PULL_WAIT_S = 20.0
#: Largest batch asked for where the user gives no maximum.
BATCH_MAX = 1000


class Puller:
    """One group's pulls on a connection. A batch is acknowledged after its last byte is written, never before."""

    def __init__(
        self,
        connection: ServiceConnection,
        printer: Printer,
        ends: Ends,
        *,
        group: str,
        start: str | None,
        worker: str | None = None,
    ) -> None:
        self._connection = connection
        self._printer = printer
        self._own = OwnOutput()
        self._ends = ends
        self.group = group
        self._start = start
        self._warned = False
        #: It was said that batches are held back; once, until one comes.
        self._hold_reported = False
        #: Leases are held in this name, so that they can be given back together.
        self._worker = f"{group[:100]}:{os.getpid()}" if worker is None else worker
        #: Number of the pull that waits for its answer, if one does.
        self.asked: int | None = None
        #: Whether the service acknowledges a batch with the next pull, and the batch of which nobody has told that it has.
        self._acks_with_pull = False
        self._owed: str | None = None

    def ask(self, maximum: int, wait_s: float, *, peek: bool = False, goes_on: bool = False) -> int:
        """Sends a pull; its answer goes to `print`, or to `go_on` if it `goes_on`."""
        fields: dict[str, Any] = {
            "group": self.group,
            "max": maximum,
            "wait_ms": int(wait_s * 1000),
            "worker": self._worker,
        }
        fields |= {"peek": True} if peek else {"once": once()}
        if self._start is not None:
            fields["from"] = self._start
        if goes_on:
            fields["ack"] = self._owed
        self.asked = self._connection.ask("pull", wait_s=wait_s, **fields)
        return self.asked

    def print(self, reply: Reply, *, peek: bool = False) -> dict[str, Any] | None:
        """Prints and acknowledges the answer of a pull; returns its batch, or None where nothing was pending.

        Raises Ended before the acknowledgement when standard output is closed, and the service's error.
        """
        batch = self._printed(checked(reply))
        if batch is not None and not peek:
            self._acknowledge(batch["id"])
        return batch

    def go_on(self, reply: Reply, maximum: int) -> None:
        """Prints the answer of the last pull, and asks for the next batch. The same request acknowledges the printed one, if the
        service knows such requests.

        Raises as `print` does, but for a group that was dropped while the pull waited: the next one makes it anew.
        """
        if reply.get("error") == "unknown_group":
            self._start, self._owed = "fresh", None
            self.ask(maximum, PULL_WAIT_S, goes_on=True)
            return
        reply = checked(reply)
        if "acked" in reply:
            self._owed = None
        self._acks_with_pull = "acked" in reply
        batch = self._printed(reply)
        if self._owed is not None:  # an earlier version of the service came back
            self._acknowledge(self._owed)
            self._owed = None
        if batch is not None and self._acks_with_pull:
            self._owed = batch["id"]
        elif batch is not None:
            self._acknowledge(batch["id"])
        self.ask(maximum, PULL_WAIT_S, goes_on=True)

    def _acknowledge(self, batch: str) -> None:
        self._connection.ask("ack", group=self.group, batch=batch)

    def _printed(self, reply: Reply) -> dict[str, Any] | None:
        """Prints the batch of a reply, if there is one, and returns it."""
        self._warn(created=bool(reply.get("created")))
        # The group was there once. If a later pull has to make it, it was lost: with the state directory, or by `groups drop`.
        self._start = "fresh"
        batch: dict[str, Any] | None = reply.get("batch")
        if batch is None:
            if reply.get("why") == "held" and not self._hold_reported:
                self._hold_reported = True
                say("shardwatch: batches are held back (`shardwatch status` says by whom)")
            return None
        self._hold_reported = False
        events = self._of_others(batch["events"])
        self._printer.write([*events, {"type": "settled"}] if batch.get("settled") else events)
        return batch

    def _of_others(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Events, without those of the file that is printed to."""
        if not self._own:
            return events
        own = self._own.among([exact_path(event) for event in events if event["type"] == "event"])
        return [event for event in events if event["type"] != "event" or exact_path(event) not in own] if own else events

    def _warn(self, *, created: bool) -> None:
        if self._start is not None and not created and not self._warned:
            say(
                f"shardwatch: group {self.group} exists: --from {self._start} is ignored, it goes on where it stands "
                f"(`shardwatch groups drop {self.group}` to begin anew)"
            )
        self._warned = True

    def release(self) -> None:
        """Acknowledges what was printed, and gives back what else was handed out: it is pending again at once, not when its lease
        ends."""
        if self._owed is not None:
            self._acknowledge(self._owed)
        if self.asked is not None:
            self._connection.ask("release", group=self.group, worker=self._worker)

    def take(self, maximum: int, wait_s: float, *, peek: bool = False) -> dict[str, Any] | None:
        """One batch, or None where nothing came within `wait_s`. Returns when the acknowledgement is confirmed.

        Raises NotRunningError when the service does not answer, and Ended.
        """
        number = self.ask(maximum, wait_s, peek=peek)
        batch = self.print(self._connection.answer(self._ends, number, wait_s), peek=peek)
        if batch is not None and not peek:
            self._connection.finish(5.0)
        return batch

    def drain(self, limit: int | None, wait_s: float) -> None:
        """All that is pending, at most `limit` events; waits up to `wait_s` for the first. While a batch is printed, the next one
        is pulled ahead. Returns when everything is acknowledged.

        Raises NotRunningError when the service does not answer, and Ended.
        """
        left = limit
        number = self.ask(_most(left), wait_s)
        reply = self._connection.answer(self._ends, number, wait_s)
        while True:
            batch = checked(reply).get("batch") or {"events": [], "more": False}
            left = None if left is None else left - len(batch["events"])
            goes_on = batch["more"] and left != 0
            if goes_on:
                number = self._connection.ask("pull", group=self.group, max=_most(left), worker=self._worker, ahead=True)
            self.print(reply)
            if not goes_on:
                break
            reply = self._begun(number) or self._connection.answer(self._ends, self.ask(_most(left), 0.0))
        self._connection.finish(5.0)

    def _begun(self, number: int) -> Reply | None:
        """The answer to a pull ahead, if it has a batch that is ours still: it is from now on."""
        reply = self._connection.answer(self._ends, number)
        if not hands_out(reply):
            return None
        number = self._connection.ask("extend", group=self.group, batch=reply["batch"]["id"])
        return reply if self._connection.answer(self._ends, number).get("ok") else None

    def follow(self, maximum: int) -> None:
        """For ever. A service that goes away is waited for; ends by Ended, or by an error the service answers with."""
        self.ask(maximum, PULL_WAIT_S, goes_on=True)
        while True:
            for number, reply in self._connection.wait(self._ends, PULL_WAIT_S):
                if number == self.asked:
                    self.go_on(reply, maximum)
                elif hands_out(reply):  # an answer that came twice
                    self.print(reply)


def _most(left: int | None) -> int:
    """Events to be asked for at a time, if so many are wanted still; None: all."""
    return BATCH_MAX if left is None else min(left, BATCH_MAX)
