"""One connection to a NATS server: how it is made, what its end means, and what is asked over it and answered.

A connection that is lost is not mended: whoever used it makes a new one, and then looks again at the stream, which may be another
one by now.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from shardwatch.shard.contract.errors import NotRunningError, UsageError

from ..protocol.bodies import MESSAGE_BYTES_MAX
from .access import (
    AUTHORITY_VARIABLE,
    CERTIFICATE_VARIABLE,
    CREDENTIALS_VARIABLE,
    ENCRYPTED,
    KEY_VARIABLE,
    URL_VARIABLE,
    Access,
    bare,
)

T = TypeVar("T")

#: Seconds that a server may take to let us in, and to answer: a machine may stand still for some.
CONNECT_S: Final = 15.0
ANSWER_S: Final = 15.0
#: Seconds that it may take to take what was sent last, when the connection is closed.
_CLOSE_S: Final = 3.0
#: Seconds between signs of life of the connection, and how many may be missing.
_PING_S: Final = 10
_PINGS_MAX: Final = 2
#: Error codes of JetStream's API which say that there is none.
NOT_ENABLED: Final = frozenset({10039, 10076})
#: Those of what a server will not do later either: to keep a stream on several servers where it is alone.
_NEVER: Final = frozenset({10074})


#: What is asked for in order to read a stream, and of it what has a consumer removed.
READING_API: Final = "$JS.API.CONSUMER."
REMOVING_API: Final = f"{READING_API}DELETE."


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

    @property
    def is_asked_for_certificate(self) -> bool:
        """Whether the server lets in nobody without one, as far as it has said anything."""
        return bool(self._server_info.get("tls_verify"))


class _Forbidden:
    """What the permissions forbid: a server does not answer such a question, and complains beside."""

    def __init__(self) -> None:
        #: Subjects without which everything else works.
        self.optional: set[str] = set()
        #: The last complaint, "" if there was none.
        self.said = ""
        self.came = asyncio.Event()

    async def complained(self, error: Exception) -> None:
        """The server, or nats-py, of anything."""
        said = str(error)
        if "permissions" in said.lower() and not any(subject.lower() in said.lower() for subject in self.optional):
            self.said = said
            self.came.set()


class ServerConnection:
    """An open connection. Made with `opened`; for one event loop.

    Every method but `close` raises AwayError where the connection is lost or the server refuses for now, and UsageError where its
    permissions forbid it.
    """

    def __init__(self, client: Client, url: str, forbidden: _Forbidden, closed: asyncio.Event) -> None:
        self.client = client
        self._where = bare(url)
        self._forbidden = forbidden
        self._closed = closed

    @classmethod
    async def opened(cls, access: Access, name: str) -> Self:
        """A connection to the first server that lets us in, in random order. `name` is what the server shows of us.

        Raises AwayError where none answers that can be trusted, and UsageError where one refuses the credentials, offers no TLS
        where the URL wants it, or takes only short messages.
        """
        refused: UsageError | AwayError | None = None
        for url in random.sample(access.urls, len(access.urls)):
            try:
                return await cls._opened_to(url, access, name)
            except (UsageError, AwayError) as error:
                refused = error
                continue
            except (OSError, nats.errors.Error):
                continue
        if refused is not None:
            raise refused
        hint = f"start one, or give the URL of another (where none is given, that in {URL_VARIABLE} counts)"
        raise AwayError(f"no NATS server answers at {access.shown()}", hint)

    @classmethod
    async def _opened_to(cls, url: str, access: Access, name: str) -> Self:
        forbidden = _Forbidden()
        closed = asyncio.Event()

        async def ended() -> None:
            closed.set()

        options: dict[str, Any] = {"connect_timeout": CONNECT_S, "reconnect_time_wait": 0.1}  # it says that these are int
        if access.credentials is not None:
            options["user_credentials"] = str(access.credentials)
        if access.certificate is not None:
            options["tls"] = _with_certificate(access.certificate, access.key)
        client = _Client()
        try:
            await client.connect(
                url, name=name, allow_reconnect=False, max_reconnect_attempts=1, ping_interval=_PING_S,
                max_outstanding_pings=_PINGS_MAX,
                error_cb=forbidden.complained, closed_cb=ended, disconnected_cb=ended, **options,
            )  # fmt: skip
        except UsageError:
            await client.close()
            raise
        except (OSError, nats.errors.Error) as error:
            if client.is_asked_for_certificate and access.certificate is None:
                hint = f"name the file of a certificate in {CERTIFICATE_VARIABLE}, and that of its key in {KEY_VARIABLE}"
                raise UsageError(f"the NATS server at {bare(url)} wants a certificate of its clients", hint=hint) from None
            if isinstance(error, ssl.SSLError) or (isinstance(error, ConnectionResetError) and client.is_asked_for_certificate):
                raise _not_trusted(bare(url), error, client.is_asked_for_certificate) from None
            if "authorization" in str(error).lower():
                raise _refused(bare(url)) from None
            raise
        connection = cls(client, url, forbidden, closed)
        try:
            connection._check_room()
        except UsageError:
            await client.close()
            raise
        return connection

    def _check_room(self) -> None:
        """Raises UsageError where the longest message would be refused: one path must not hold up all others for ever."""
        most = self.client.max_payload
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
        found = self.client.connected_server_version
        return f"{found.major}.{found.minor}.{found.patch}"

    async def close(self) -> None:
        """Idempotent. A server that hangs is waited for `_CLOSE_S` seconds: what it has not taken by then is dropped."""
        try:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self.client.close()  # sends what is pending, for as long as that takes
        finally:
            _abort(self.client)

    def do_without(self, subject: str) -> None:
        """If the permissions forbid these subjects, everything else works: only who asks for them gets no answer."""
        self._forbidden.optional.add(subject)

    async def serve(self, subject: str, answer: Callable[[bytes], Coroutine[Any, Any, bytes]]) -> None:
        """Answers requests, many at a time, until it is cancelled. Where the permissions forbid it, nobody can ask."""
        self.do_without(subject)
        tasks: set[asyncio.Task[None]] = set()

        async def respond(message: Msg) -> None:
            with contextlib.suppress(nats.errors.Error, OSError):  # whoever asked has given up, or the connection is lost
                await message.respond(await answer(message.data))

        async def asked(message: Msg) -> None:
            task = asyncio.ensure_future(respond(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            await self.client.subscribe(subject, cb=asked)
        except (nats.errors.Error, OSError) as error:
            raise self.away(str(error)) from None
        try:
            await self._closed.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, subject: str, body: bytes, within_s: float) -> bytes | None:
        """What whoever serves the subject answers; None where nobody does."""
        try:
            message = await self.answered(self.client.request(subject, body, timeout=within_s), within_s + 1.0)
        except AwayError as error:
            if isinstance(error.__context__, nats.errors.NoRespondersError):
                return None
            raise
        return message.data

    async def answered(self, asked: Coroutine[Any, Any, T], within_s: float = ANSWER_S) -> T:
        """The answer. Ends when the connection does, and not later than `within_s`."""
        answer = asyncio.ensure_future(asked)
        closed = asyncio.ensure_future(self._closed.wait())
        forbidden = asyncio.ensure_future(self._forbidden.came.wait())
        try:
            await asyncio.wait({answer, closed, forbidden}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self._gone("it went away" if closed.done() else f"no answer within {within_s:g} s")
            return answer.result()
        except (nats.js.errors.NotFoundError, nats.js.errors.BadRequestError):
            raise
        except nats.js.errors.ServiceUnavailableError as error:
            if error.err_code in NOT_ENABLED or error.err_code is None:
                raise self.no_jetstream() from None
            raise self.away(str(error.description)) from None
        except nats.js.errors.ServerError as error:
            if error.err_code in _NEVER:
                raise
            raise self.away(str(error.description)) from None
        except (nats.errors.Error, OSError) as error:
            self._gone(str(error))
        finally:
            for future in (answer, closed, forbidden):
                future.cancel()
            await asyncio.gather(answer, closed, forbidden, return_exceptions=True)

    def _gone(self, why: str) -> NoReturn:
        """Raises what a question without an answer means: a server is silent to what it does not permit, and complains beside."""
        if self._forbidden.said:
            raise UsageError(
                f"the NATS server at {self._where} forbids it: {self._forbidden.said}",
                hint="docs/fleet.md lists the permissions that are needed",
            )
        raise self.away(why)

    def no_jetstream(self) -> AwayError:
        hint = "start nats-server with JetStream (-js), or enable it for this account"
        return AwayError(f"the NATS server at {self._where} has no JetStream now", hint)

    def away(self, why: str, hint: str = "nothing: it is tried again") -> AwayError:
        return AwayError(f"the NATS server at {self._where} can't be used now: {why}", hint)


def _abort(client: Client) -> None:
    """Ends the connection, if it has not ended. nats-py has nothing for it."""
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def _not_trusted(where: str, error: ssl.SSLError | ConnectionResetError, has_shown_ours: bool) -> AwayError:
    """Who does not trust whom. A server that does not trust us ends the connection, with a reason or without."""
    reason = (error.reason or "no TLS") if isinstance(error, ssl.SSLError) else "it ended the connection"
    if has_shown_ours and not isinstance(error, ssl.SSLCertVerificationError):
        hint = f"name one in {CERTIFICATE_VARIABLE} that is valid, and signed by an authority that the server trusts"
        return AwayError(f"the NATS server at {where} refuses our certificate: {reason}", hint)
    hint = f"name the file of the authority that signs its certificates in {AUTHORITY_VARIABLE}, or mend the certificate"
    return AwayError(f"the NATS server at {where} can't be trusted: {getattr(error, 'verify_message', '') or reason}", hint)


def _with_certificate(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Shows a certificate to servers that ask for one, and trusts the same authorities as always.

    Raises UsageError for files that are none.
    """
    context = ssl.create_default_context()
    try:
        context.load_cert_chain(certificate, key, password="")  # otherwise OpenSSL asks on the terminal for one
    except (OSError, ValueError):  # SSLError is an OSError
        files = f"{certificate}" if key is None else f"{certificate} and {key}"
        hint = f"name a certificate ({CERTIFICATE_VARIABLE}) and its key ({KEY_VARIABLE}) in PEM; the key must have no password"
        raise UsageError(f"{CERTIFICATE_VARIABLE}: {files} can't be used as a certificate with its key", hint=hint) from None
    return context


def _refused(where: str) -> UsageError:
    return UsageError(
        f"the NATS server at {where} refuses the credentials, or wants some",
        hint=f"set {CREDENTIALS_VARIABLE} to a file of credentials, or put user and password into the URL in {URL_VARIABLE}",
    )
