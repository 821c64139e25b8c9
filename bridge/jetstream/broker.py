"""What is asked of JetStream over one connection."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, DiscardPolicy, StreamConfig, StreamInfo

from shardwatch.shard.contract.errors import UsageError

from ..protocol.bodies import BODY_BYTES_MAX, MESSAGE_BYTES_MAX, Message
from ..protocol.layouts import StreamWish
from ..protocol.stream import CONSUMERS_MAX, StreamFacts, settings
from .access import Access
from .answers import Answers, Asked, NotDone, message_of, refusal_of, sequence_of
from .reader import UNUSED_S, Lost, StreamMessage, StreamReader
from .server_connection import ANSWER_S, NOT_ENABLED, REMOVING_API, AwayError, ServerConnection
from .unused_consumers import Consumer, UnusedConsumers

T = TypeVar("T")

#: Seconds after which a question is asked again that may be asked twice.
_AGAIN_S: Final = 3.0
#: Seconds that a server may take to remove what may be millions of messages.
PURGE_S: Final = 600.0
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_STREAM: Final = "Nats-Expected-Stream"
_NAME: Final = "Nats-Msg-Id"
#: Error codes of JetStream's API.
_WRONG_LAST: Final = 10071
_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059
_IN_USE: Final = 10058
_TOO_MANY_CONSUMERS: Final = 10026
#: What a server says of a mirror that is full. It stays so until somebody mends it.
_FULL: Final = "maximum bytes exceeded"
_MORE_ROOM: Final = "raise the stream's max_bytes (`nats stream edit`): changes wait until it has room, and are shipped then"


class Broker:
    """Streams, over an open connection. Made with `connected`; for one event loop.

    Every method but `close` raises AwayError where the connection is lost or JetStream refuses for now, and UsageError where the
    server's permissions forbid it.
    """

    def __init__(self, connection: ServerConnection, answers: Answers, unused: UnusedConsumers) -> None:
        #: For what needs no JetStream.
        self.connection = connection
        self._client = connection.client
        self._answers = answers
        self._unused = unused
        self._stream = self._client.jetstream(timeout=ANSWER_S)
        self._asking_again = self._client.jetstream(timeout=_AGAIN_S)

    @classmethod
    async def connected(
        cls, access: Access, name: str = "shardwatch ship", unused: UnusedConsumers | None = None
    ) -> Broker:
        """See `ServerConnection.opened`.

        Args:
            unused: what earlier connections of the same program left behind, which is removed now. None: nothing is kept.
        """
        connection = await ServerConnection.opened(access, name)
        connection.do_without(REMOVING_API)
        try:
            answers = await connection.answered(Answers.listening(connection.client))
        except BaseException:
            await connection.close()
            raise
        broker = cls(connection, answers, UnusedConsumers() if unused is None else unused)
        for consumer in broker._unused.taken():
            await broker._remove_consumer(consumer)
        return broker

    @property
    def where(self) -> str:
        """The server, for messages."""
        return self.connection.where

    @property
    def body_bytes_max(self) -> int:
        """Of a message, beside its headers."""
        return int(self._client.max_payload) - (MESSAGE_BYTES_MAX - BODY_BYTES_MAX)

    @property
    def version(self) -> str:
        """Of the server."""
        return self.connection.version

    async def close(self) -> None:
        """Idempotent."""
        await self.connection.close()

    async def stream(self, name: str) -> StreamFacts | None:
        """None if there is none of that name."""
        try:
            info = await self.connection.answered(_until_answered(lambda: self._asking_again.stream_info(name)))
        except nats.js.errors.NotFoundError:
            return None
        return StreamFacts(str(info.created), dict(vars(info.config)))

    async def create(self, name: str, subjects: str, wish: StreamWish) -> StreamFacts:
        """Makes a stream as it must be. Raises UsageError if the server refuses these settings."""
        config = StreamConfig(name=name, subjects=[subjects], **settings(wish))
        try:
            info = await self.connection.answered(self._made(config))
        except (nats.js.errors.BadRequestError, nats.js.errors.ServerError) as error:
            hint = "give another --stream or --prefix, or fewer --replicas, or have the server join a cluster for more than one"
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
        answers = await self.connection.answered(self._answers.to(asked))
        return [self._message(message_of(answer), stream) for answer in answers]

    async def put(self, stream: str, messages: Sequence[tuple[Message, int]]) -> list[int | None]:
        """Publishes messages, each if its subject has that last sequence. Their sequences, None where it has another one.

        When an AwayError is raised, some of them may be in the stream.
        """
        asked = [
            Asked(message.subject, message.body, {_EXPECTED: str(expected), _STREAM: stream} | _named(message))
            for message, expected in messages
        ]
        return [self._sequence(sequence_of(answer)) for answer in await self.connection.answered(self._answers.to(asked))]

    async def purge(self, stream: str, subjects: str, below: int) -> None:
        """Removes the messages of these subjects whose sequence is lower. Raises UsageError where that is not allowed."""
        if below <= 1:
            return  # there is none, and a server takes this number for no limit, and removes them all
        patient = self._client.jetstream(timeout=PURGE_S)
        await self._of(stream, patient.purge_stream(stream, subject=subjects, seq=below), PURGE_S)

    async def remove(self, stream: str, messages: Sequence[tuple[str, int]]) -> None:
        """Removes messages, each by its subject and its sequence (2 or more), unless there is a later one of that subject. Raises
        UsageError where that is not allowed.
        """
        question = f"$JS.API.STREAM.PURGE.{stream}"
        asked = [Asked(question, msgspec.json.encode({"filter": subject, "seq": n + 1})) for subject, n in messages]
        for answer in await self.connection.answered(self._answers.to(asked)):
            refused = refusal_of(answer)
            if refused is not None:
                raise self._declined(refused)

    async def bounds(self, stream: str) -> tuple[int, int]:
        """The lowest sequence that the stream still has, and the highest that it has given so far."""
        info = await self._of(stream, self._stream.stream_info(stream))
        return int(info.state.first_seq), int(info.state.last_seq)

    async def make_leases(self, stream: str, subjects: str, replicas: int, max_age_s: float) -> None:
        """Makes the stream of leases, unless it is there: the last message of each subject, for that long."""
        config = StreamConfig(
            name=stream, subjects=[subjects], max_msgs_per_subject=1, max_age=max_age_s, num_replicas=replicas,
            discard=DiscardPolicy.NEW, duplicate_window=min(max_age_s, 120.0), max_consumers=CONSUMERS_MAX,
        )  # fmt: skip
        try:
            await self.connection.answered(self._stream.stream_info(stream))
        except nats.js.errors.NotFoundError:
            try:
                await self.connection.answered(self._made(config))
            except (nats.js.errors.BadRequestError, nats.js.errors.ServerError) as error:
                if error.err_code != _IN_USE:  # another worker was quicker
                    hint = f"make it by hand (docs/fleet.md), or remove what has the subjects {subjects}"
                    raise UsageError(f"the stream {stream} can't be made: {error.description}", hint=hint) from None

    @contextlib.asynccontextmanager
    async def reading(self, stream: str, subjects: str, after: int | None) -> AsyncIterator[StreamReader]:
        """Reads what matches `subjects` and comes after a sequence; None: the last message of each subject, and what follows.

        The server keeps a consumer as long as the reader is in use. Where the permissions forbid to remove it, it goes by itself
        UNUSED_S seconds later.
        """
        start = {"deliver_policy": DeliverPolicy.LAST_PER_SUBJECT} if after is None else {
            "deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": after + 1,
        }  # fmt: skip
        consumer = Consumer(stream, secrets.token_hex(11))
        config = ConsumerConfig(
            name=consumer.name, filter_subject=subjects, ack_policy=AckPolicy.NONE, inactive_threshold=UNUSED_S, **start
        )
        try:
            made = await self._consumer(stream, config)
            reader = StreamReader(self._client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{made.name}", int(made.num_pending or 0))
            await self.connection.answered(reader.listen())
            try:
                yield reader
            finally:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await reader.stop()
        finally:  # also where no answer came: the server may have made it all the same
            await self._remove_consumer(consumer)

    async def _consumer(self, stream: str, config: ConsumerConfig) -> ConsumerInfo:
        try:
            return await self.connection.answered(_until_answered(lambda: self._asking_again.add_consumer(stream, config)))
        except (nats.js.errors.NotFoundError, nats.js.errors.BadRequestError) as error:
            away = self.connection.away
            why = f"the stream {stream} can't be read: {error.description}"
            raise (away(why, _too_many(stream)) if error.err_code == _TOO_MANY_CONSUMERS else away(why)) from None

    async def _remove_consumer(self, consumer: Consumer) -> None:
        """Nobody waits for the answer: where the permissions forbid it, there is none."""
        try:
            await self._client.publish(f"{REMOVING_API}{consumer.stream}.{consumer.name}", reply=self._client.new_inbox())
        except (nats.errors.Error, OSError):
            self._unused.left(consumer)

    async def take(self, reader: StreamReader, most: int, wait_s: float) -> list[StreamMessage]:
        """See `StreamReader.take`."""
        try:
            return await self.connection.answered(reader.take(most, wait_s), wait_s + ANSWER_S)
        except Lost as lost:
            raise self.connection.away(str(lost)) from None

    async def _made(self, config: StreamConfig) -> StreamInfo:
        """A stream; with the default number of consumers, where the account may not have as many as we want."""
        try:
            return await self._stream.add_stream(config)
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _TOO_MANY_CONSUMERS:
                raise
            return await self._stream.add_stream(config, max_consumers=-1)

    async def _of(self, stream: str, asked: Coroutine[Any, Any, T], within_s: float = ANSWER_S) -> T:
        """What is answered about a stream that was there."""
        try:
            return await self.connection.answered(asked, within_s)
        except nats.js.errors.NotFoundError:
            raise self._gone(stream) from None

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
        raise self._gone(stream) if answer.err_code == _NO_STREAM else self._declined(answer)

    def _gone(self, stream: str) -> AwayError:
        return self.connection.away(f"the stream {stream} is gone")

    def _declined(self, answer: NotDone) -> AwayError:
        if answer.err_code in NOT_ENABLED:
            return self.connection.no_jetstream()
        is_full = _FULL in answer.description
        return self.connection.away(answer.description, _MORE_ROOM) if is_full else self.connection.away(answer.description)


def _too_many(stream: str) -> str:
    return (
        f"raise the stream's limit: `nats stream edit {stream} --max-consumers={CONSUMERS_MAX}` (or default_max_consumers in the"
        f" server's configuration, or that of the account). A consumer that nobody uses goes after {UNUSED_S:g} s"
    )


def _named(message: Message) -> dict[str, str]:
    return {_NAME: message.name} if message.name else {}


async def _until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Asks again and again: while the servers of a cluster elect the one that answers, nobody does. Ends when it is cancelled."""
    while True:
        with contextlib.suppress(nats.errors.TimeoutError):
            return await ask()
