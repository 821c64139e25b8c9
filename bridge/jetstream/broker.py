"""One connection to a NATS server, and what is asked of JetStream over it.

A connection that is lost is not mended: whoever used it makes a new one, and then looks again at the stream, which may be another
one by now.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StreamConfig

from shardwatch.shard.contract.errors import NotRunningError, UsageError

from ..protocol.bodies import MESSAGE_BYTES_MAX, Message
from ..protocol.stream import WANTED, StreamFacts
from .access import AUTHORITY_VARIABLE, CREDENTIALS_VARIABLE, ENCRYPTED, URL_VARIABLE, Access, bare
from .answers import Answers, Asked, NotDone, message_of, sequence_of
from .reader import UNUSED_S, Lost, StreamMessage, StreamReader

T = TypeVar("T")

#: Seconds that a server may take to let us in, and to answer: a machine may stand still for some.
CONNECT_S: Final = 15.0
ANSWER_S: Final = 15.0
#: The same for removing what may be millions of messages.
PURGE_S: Final = 600.0
#: Seconds between signs of life of the connection, and how many may be missing.
_PING_S: Final = 10
_PINGS_MAX: Final = 2
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_STREAM: Final = "Nats-Expected-Stream"
#: Error codes of JetStream's API.
_WRONG_LAST: Final = 10071
_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059
_IN_USE: Final = 10058
_NOT_ENABLED: Final = frozenset({10039, 10076})


class AwayError(NotRunningError):
    """No server answers, or it can't do now what it is asked; later it may."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint=hint, retryable=True)


class _Client(Client):
    """Keeps the promise of a `tls://` URL. nats-py itself goes on without TLS where the server offers none, and sends the
    credentials as they are.
    """

    def _connect_command(self) -> bytes:
        """The first that is sent, with the credentials."""
        assert self._current_server is not None
        uri = self._current_server.uri
        if uri.scheme == ENCRYPTED and not self._server_info.get("tls_required"):
            hint = "configure TLS in the server; or give a nats:// URL, if the network in between can be trusted"
            raise UsageError(f"the NATS server at {bare(uri.geturl())} offers no TLS", hint=hint)
        return bytes(super()._connect_command())


class Broker:
    """An open connection. Made with `connected`; for one event loop.

    Every method but `close` raises AwayError where the connection is lost or JetStream refuses for now, and UsageError where the
    server's permissions forbid it.
    """

    def __init__(self, client: Client, url: str, answers: Answers, complaints: list[str], closed: asyncio.Event) -> None:
        self._client = client
        self._answers = answers
        self._where = bare(url)
        self._complaints = complaints
        self._closed = closed
        self._stream = client.jetstream(timeout=ANSWER_S)
        #: Subjects without which everything else works.
        self._optional: set[str] = set()

    @classmethod
    async def connected(cls, access: Access, name: str = "shardwatch ship") -> Broker:
        """A connection to the first server that lets us in, in random order. `name` is what the server shows of us.

        Raises AwayError where none answers that can be trusted, and UsageError where one refuses the credentials, offers no TLS
        where the URL wants it, or takes only short messages.
        """
        refused: UsageError | AwayError | None = None
        for url in random.sample(access.urls, len(access.urls)):
            try:
                broker = await cls._connected_to(url, access, name)
            except (UsageError, AwayError) as error:
                refused = error
                continue
            except (OSError, nats.errors.Error):
                continue
            broker.check_room()
            return broker
        if refused is not None:
            raise refused
        hint = f"start one, or name another (an argument, or {URL_VARIABLE})"
        raise AwayError(f"no NATS server answers at {access.shown()}", hint)

    @classmethod
    async def _connected_to(cls, url: str, access: Access, name: str) -> Broker:
        complaints: list[str] = []
        closed = asyncio.Event()

        async def complained(error: Exception) -> None:
            complaints.append(str(error))

        async def ended() -> None:
            closed.set()

        options: dict[str, Any] = {"connect_timeout": CONNECT_S, "reconnect_time_wait": 0.1}  # it says that these are int
        if access.credentials is not None:
            options["user_credentials"] = str(access.credentials)
        client = _Client()
        try:
            await client.connect(
                url, name=name, allow_reconnect=False, max_reconnect_attempts=1, ping_interval=_PING_S,
                max_outstanding_pings=_PINGS_MAX,
                error_cb=complained, closed_cb=ended, disconnected_cb=ended, **options,
            )  # fmt: skip
        except UsageError:
            await client.close()
            raise
        except ssl.SSLError as error:
            hint = f"name the file of the authority that signs its certificates in {AUTHORITY_VARIABLE}, or mend the certificate"
            why = getattr(error, "verify_message", "") or error.reason or "no TLS"
            raise AwayError(f"the NATS server at {bare(url)} can't be trusted: {why}", hint) from None
        except nats.errors.Error as error:
            if "authorization" in str(error).lower():
                raise _refused(bare(url)) from None
            raise
        return cls(client, url, await Answers.listening(client), complaints, closed)

    def check_room(self) -> None:
        """Raises UsageError where the longest message would be refused: one path must not hold up all others for ever."""
        most = self._client.max_payload
        if most < MESSAGE_BYTES_MAX:
            raise UsageError(
                f"the NATS server at {self._where} takes messages of {most} bytes at most, and one of ours may have"
                f" {MESSAGE_BYTES_MAX}",
                hint=f"set max_payload to {MESSAGE_BYTES_MAX} or more in the server's configuration",
            )

    @property
    def where(self) -> str:
        """The server, for messages."""
        return self._where

    @property
    def version(self) -> str:
        """Of the server."""
        found = self._client.connected_server_version
        return f"{found.major}.{found.minor}.{found.patch}"

    async def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.close()

    async def stream(self, name: str) -> StreamFacts | None:
        """None if there is none of that name."""
        try:
            info = await self._answered(self._stream.stream_info(name))
        except nats.js.errors.NotFoundError:
            return None
        return StreamFacts(str(info.created), dict(vars(info.config)))

    async def create(self, name: str, subjects: str, replicas: int) -> StreamFacts:
        """Makes a stream as it must be. Raises UsageError if the server refuses these settings."""
        fields = {field: values[0] for field, values in WANTED.items()}
        config = StreamConfig(name=name, subjects=[subjects], num_replicas=replicas, **fields)
        try:
            info = await self._answered(self._stream.add_stream(config))
        except (nats.js.errors.BadRequestError, nats.js.errors.ServerError) as error:
            hint = "give another --stream or --prefix, or fewer --replicas"
            raise UsageError(f"the stream {name} can't be made: {error.description}", hint=hint) from None
        return StreamFacts(str(info.created), dict(vars(info.config)))

    async def last(self, stream: str, subject: str) -> tuple[int, bytes] | None:
        """Sequence and body of the last message of a subject."""
        (found,) = await self.last_of(stream, [subject])
        return found

    async def last_of(self, stream: str, subjects: Sequence[str]) -> list[tuple[int, bytes] | None]:
        """The same for many subjects, in their order."""
        question = f"$JS.API.STREAM.MSG.GET.{stream}"
        asked = [Asked(question, msgspec.json.encode({"last_by_subj": subject})) for subject in subjects]
        answers = await self._answered(self._answers.to(asked))
        return [self._message(message_of(answer), stream) for answer in answers]

    async def put(self, stream: str, messages: Sequence[tuple[Message, int]]) -> list[int | None]:
        """Publishes messages, each if its subject has that last sequence. Their sequences, None where it has another one.

        When an AwayError is raised, some of them may be in the stream.
        """
        asked = [
            Asked(message.subject, message.body, {_EXPECTED: str(expected), _STREAM: stream}) for message, expected in messages
        ]
        return [self._sequence(sequence_of(answer)) for answer in await self._answered(self._answers.to(asked))]

    async def purge(self, stream: str, subjects: str, below: int) -> None:
        """Removes the messages of these subjects whose sequence is lower. Raises UsageError where that is not allowed."""
        if below <= 1:
            return  # there is none, and a server takes this number for no limit, and removes them all
        patient = self._client.jetstream(timeout=PURGE_S)
        await self._answered(patient.purge_stream(stream, subject=subjects, seq=below), PURGE_S)

    async def serve(self, subject: str, answer: Callable[[bytes], Coroutine[Any, Any, bytes]]) -> None:
        """Answers requests, many at a time, until it is cancelled. Where the permissions forbid it, nobody can ask."""
        self._optional.add(subject)
        tasks: set[asyncio.Task[None]] = set()

        async def respond(message: Msg) -> None:
            with contextlib.suppress(nats.errors.Error, OSError):  # whoever asked has given up, or the connection is lost
                await message.respond(await answer(message.data))

        async def asked(message: Msg) -> None:
            task = asyncio.ensure_future(respond(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            await self._client.subscribe(subject, cb=asked)
        except (nats.errors.Error, OSError) as error:
            raise self._away(str(error)) from None
        try:
            await self._closed.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, subject: str, body: bytes, within_s: float) -> bytes | None:
        """What whoever serves the subject answers; None where nobody does."""
        try:
            message = await self._answered(self._client.request(subject, body, timeout=within_s), within_s + 1.0)
        except AwayError as error:
            if isinstance(error.__context__, nats.errors.NoRespondersError):
                return None
            raise
        return message.data

    async def last_sequence(self, stream: str) -> int:
        """The highest sequence that the stream has given so far."""
        info = await self._answered(self._stream.stream_info(stream))
        return int(info.state.last_seq)

    async def make_leases(self, stream: str, subjects: str, replicas: int, max_age_s: float) -> None:
        """Makes the stream of leases, unless it is there: the last message of each subject, for that long."""
        config = StreamConfig(
            name=stream, subjects=[subjects], max_msgs_per_subject=1, max_age=max_age_s, num_replicas=replicas,
            discard=DiscardPolicy.NEW, duplicate_window=min(max_age_s, 120.0),
        )  # fmt: skip
        try:
            await self._answered(self._stream.stream_info(stream))
        except nats.js.errors.NotFoundError:
            try:
                await self._answered(self._stream.add_stream(config))
            except (nats.js.errors.BadRequestError, nats.js.errors.ServerError) as error:
                if error.err_code != _IN_USE:  # another worker was quicker
                    hint = f"make it by hand (docs/fleet.md), or remove what has the subjects {subjects}"
                    raise UsageError(f"the stream {stream} can't be made: {error.description}", hint=hint) from None

    async def reader(self, stream: str, subjects: str, after: int | None) -> StreamReader:
        """Reads what matches `subjects` and comes after a sequence; None: the last message of each subject, and what follows."""
        start = {"deliver_policy": DeliverPolicy.LAST_PER_SUBJECT} if after is None else {
            "deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": after + 1,
        }  # fmt: skip
        config = ConsumerConfig(
            name=secrets.token_hex(11), filter_subject=subjects, ack_policy=AckPolicy.NONE, inactive_threshold=UNUSED_S, **start
        )
        try:
            made = await self._answered(self._stream.add_consumer(stream, config))
        except (nats.js.errors.NotFoundError, nats.js.errors.BadRequestError) as error:
            raise self._away(f"the stream {stream} can't be read: {error.description}") from None
        reader = StreamReader(self._client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{made.name}", int(made.num_pending or 0))
        await reader.listen()
        return reader

    async def take(self, reader: StreamReader, most: int, wait_s: float) -> list[StreamMessage]:
        """See `StreamReader.take`."""
        try:
            return await self._answered(reader.take(most, wait_s), wait_s + ANSWER_S)
        except Lost as lost:
            raise self._away(str(lost)) from None

    def _sequence(self, answer: int | NotDone) -> int | None:
        if isinstance(answer, int):
            return answer
        if answer.err_code == _WRONG_LAST:
            return None
        raise self._declined(answer)

    def _message(self, answer: tuple[int, bytes] | NotDone, stream: str) -> tuple[int, bytes] | None:
        if not isinstance(answer, NotDone):
            return answer
        if answer.err_code == _NO_MESSAGE:
            return None
        raise self._away(f"the stream {stream} is gone") if answer.err_code == _NO_STREAM else self._declined(answer)

    def _declined(self, answer: NotDone) -> AwayError:
        return self._no_jetstream() if answer.err_code in _NOT_ENABLED else self._away(answer.description)

    async def _answered(self, asked: Coroutine[Any, Any, T], within_s: float = ANSWER_S) -> T:
        """The answer. Ends when the connection does, and not later than `within_s`."""
        answer = asyncio.ensure_future(asked)
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({answer, closed}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self._gone("it went away" if closed.done() else f"no answer within {within_s:g} s")
            return answer.result()
        except (nats.js.errors.NotFoundError, nats.js.errors.BadRequestError):
            raise
        except nats.js.errors.ServiceUnavailableError as error:
            if error.err_code in _NOT_ENABLED or error.err_code is None:
                raise self._no_jetstream() from None
            raise self._away(str(error.description)) from None
        except (nats.errors.Error, OSError) as error:
            self._gone(str(error))
        finally:
            for future in (answer, closed):
                future.cancel()
            await asyncio.gather(answer, closed, return_exceptions=True)

    def _gone(self, why: str) -> NoReturn:
        """Raises what a question without an answer means: a server is silent to what it does not permit, and complains beside."""
        complaints = [said for said in self._complaints if not any(subject in said for subject in self._optional)]
        forbidden = [said for said in complaints if "permissions" in said.lower()]
        if forbidden:
            raise UsageError(
                f"the NATS server at {self._where} forbids it: {forbidden[-1]}",
                hint="docs/fleet.md lists the permissions that are needed",
            )
        raise self._away(why)

    def _no_jetstream(self) -> AwayError:
        hint = "start nats-server with JetStream (-js), or enable it for this account"
        return AwayError(f"the NATS server at {self._where} has no JetStream now", hint)

    def _away(self, why: str) -> AwayError:
        return AwayError(f"the NATS server at {self._where} can't be used now: {why}", "nothing: it is tried again")


def _refused(where: str) -> UsageError:
    return UsageError(
        f"the NATS server at {where} refuses the credentials, or wants some",
        hint=f"set {CREDENTIALS_VARIABLE} to a file of credentials, or put user and password into the URL in {URL_VARIABLE}",
    )
