"""Publish every change to a stream of NATS JetStream, for workers on other machines.

With the layout `paths` the stream is a mirror: it holds one message for each path, with its last state. A consumer that begins
today first reads the state of every path, and then goes on with changes. With `batches` it is a log, whose messages have many
events each, and which is kept for a while. A batch of the service is acknowledged when the stream has confirmed it all.

URL is nats://HOST:PORT or tls://HOST:PORT; several servers of one cluster are separated by commas. The default is NATS_URL in the
environment, else nats://127.0.0.1:4222. Credentials come from NATS_CREDS, which names a file, or from the URL in NATS_URL.
NATS_CERT and NATS_KEY name the files of a certificate and its key, for servers that demand one.

A section [ship] of the configuration does this as long as the service runs: `shardwatch status` shows it.

Needs nats-py: pip install 'shardwatch[nats]'. See docs/fleet.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING, Final

from shardwatch.bridge.protocol.layouts import KEEP_S, StreamLayout
from shardwatch.bridge.protocol.names import PREFIX, STREAM

from ...host.log_line import log_line
from ..options import SectionParser, add_config_option, add_state_dir_option, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
    from shardwatch.bridge.jetstream.access import Access
    from shardwatch.bridge.protocol.generations import ShipOptions
    from shardwatch.shard.contract.errors import ShardwatchError
    from shardwatch.shard.contract.process.life import Pulse
    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.ship_section import ShipSection


#: Defaults.
GROUP: Final = "ship"
PARTITIONS: Final = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", metavar="URL", help="the NATS server, without credentials")
    parser.add_argument("--stream", default=STREAM, metavar="S", help=f"name of the stream (default: {STREAM})")
    parser.add_argument("--prefix", default=PREFIX, metavar="P", help=f"what all subjects begin with (default: {PREFIX})")
    parser.add_argument("--source", metavar="NAME", help="what these files are called in the stream (default: the host's name)")
    meaning = f"parts in which consumers can share the source's paths; another number ships all again (default: {PARTITIONS})"
    parser.add_argument("--partitions", type=whole, default=PARTITIONS, metavar="N", help=meaning)
    layouts = [str(layout) for layout in StreamLayout]
    meaning = f"a message for each path, or a log of batches (default: {StreamLayout.PATHS})"
    parser.add_argument("--layout", choices=layouts, default=str(StreamLayout.PATHS), help=meaning)
    meaning = f"seconds for which a deletion, or a message of a log that is made, stays in the stream (default: {KEEP_S})"
    parser.add_argument("--keep-s", type=whole, metavar="S", help=meaning)
    meaning = "bytes that the log of a stream that is made has at most (default: no limit)"
    parser.add_argument("--keep-bytes", type=whole, metavar="N", help=meaning)
    meaning = "servers that keep the stream (default: as it is, and 1 for a new one)"
    parser.add_argument("--replicas", type=whole, metavar="N", help=meaning)
    parser.add_argument("--create", action="store_true", help="make the stream if there is none")
    parser.add_argument(
        "--take-over", action="store_true", help="ship the source although another service did, whose state directory is lost"
    )
    parser.add_argument("--group", default=GROUP, metavar="G", help=f"name of the group (default: {GROUP})")
    add_config_option(parser)
    add_state_dir_option(parser)
    parser.add_argument("--section", action="store_true", help=argparse.SUPPRESS)  # supervisord gives it: see `_run_section`


def run(options: argparse.Namespace) -> int:
    return _run_section(options) if options.section else _run(options)


def _run(options: argparse.Namespace) -> int:
    from shardwatch.bridge.jetstream.access import access, demand_nats

    from ..link.place import running_layout

    wanted = _wanted(options)
    servers = access(options.url, os.environ)
    layout = running_layout(options)
    demand_nats()
    return _until_ended(lambda: _ship(layout, servers, wanted))


def section_options(section: ShipSection) -> argparse.Namespace:
    """The section `[ship]` of a configuration as arguments of this command, checked. Raises UsageError."""
    from shardwatch.bridge.jetstream.access import access
    from shardwatch.shard.contract.errors import UsageError

    parser = SectionParser("[ship]", "ship")
    add_arguments(parser)
    options = parser.parse_args(section.arguments)
    try:
        _wanted(options)
        access(options.url, {})
    except UsageError as error:
        raise UsageError(f"[ship]: {error.message}", hint=error.hint) from None
    return options


def unshippable(section: ShipSection) -> list[str]:
    """What is to be said of a section with which nothing can be shipped for now, a line each. Raises UsageError for one that is
    wrong, and where nats-py is not installed."""
    from shardwatch.bridge.jetstream.access import demand_nats
    from shardwatch.shard.contract.errors import UsageError

    options = section_options(section)
    demand_nats()
    try:
        _servers(section, options)
    except UsageError as error:
        return [f"[ship]: {error}; everything else runs, and its changes wait until they can be shipped"]
    return []


def _servers(section: ShipSection, options: argparse.Namespace) -> Access:
    """Which servers are asked, with the credentials that are there by now. Raises UsageError."""
    from shardwatch.bridge.jetstream.access import CERTIFICATE_VARIABLE, CREDENTIALS_VARIABLE, KEY_VARIABLE, access
    from shardwatch.shard.contract.errors import UsageError

    from ...host.scouting import unanswered

    environ = dict(os.environ)
    if section.certificate is not None:
        environ.pop(KEY_VARIABLE, None)  # of another one
    named = {
        CREDENTIALS_VARIABLE: section.credentials, CERTIFICATE_VARIABLE: section.certificate, KEY_VARIABLE: section.key,
    }  # fmt: skip
    environ.update({variable: os.fsdecode(file) for variable, file in named.items() if file is not None})
    for file in (*named.values(), section.authority):
        silent = unanswered(file) if file is not None else ""
        if file is not None and silent:
            raise UsageError(f"the file {os.fsdecode(file)} lies on {silent}", hint="check that mount")
        if file is not None and not os.access(file, os.R_OK):
            raise UsageError(f"the file {os.fsdecode(file)} is not there, or this user may not read it", hint="check the section")
    return access(options.url, environ)


def _run_section(options: argparse.Namespace) -> int:
    """A program of the service in `--state-dir`, which supervisord has started: the rest of its arguments is in
    ship-section.json. It ends with supervisord. Raises UsageError."""
    from shardwatch.bridge.jetstream.access import AUTHORITY_VARIABLE, demand_nats
    from shardwatch.shard.contract.process.life import Pulse
    from shardwatch.shard.contract.state.section_file import read_section
    from shardwatch.shard.contract.state.ship_section import ShipSection

    from ..link.supervised import begin_supervised, demanded

    layout = begin_supervised(options, "ship")
    section = demanded(read_section(layout.ship_section, ShipSection), "ship")
    given = section_options(section)
    demand_nats()
    if section.authority is not None:
        os.environ[AUTHORITY_VARIABLE] = os.fsdecode(section.authority)  # OpenSSL looks there
    with contextlib.closing(Pulse(layout.pulse_socket)) as pulse:
        return _until_ended(lambda: _ship_section(layout, section, given, pulse))


def _until_ended(ship: Callable[[], Coroutine[None, None, None]]) -> int:
    """Ships until this process is asked to end."""
    from ...terminal.ends import Ended, Ends

    async def shipping(wake_fd: int) -> None:
        task = asyncio.ensure_future(ship())
        asyncio.get_running_loop().add_reader(wake_fd, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with Ends() as ends:
        import asyncio
        import logging

        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of the end of each connection of nats-py with TLS
        asyncio.run(shipping(ends.wake_fd))
        raise Ended(ends.signum)


def _wanted(options: argparse.Namespace) -> ShipOptions:
    """What is asked for. Raises UsageError for what can't be."""
    import socket

    from shardwatch.bridge.protocol.generations import ShipOptions, Target
    from shardwatch.bridge.protocol.layouts import StreamWish, checked_wish
    from shardwatch.bridge.protocol.names import Subjects, as_source, check_token

    source = as_source(socket.gethostname()) if options.source is None else options.source
    Subjects(options.prefix, source, options.partitions)
    check_token("name of a stream", options.stream)
    target = Target(options.stream, options.prefix, source, options.group)
    wish = checked_wish(StreamWish(StreamLayout(options.layout), options.replicas, options.keep_s, options.keep_bytes))
    return ShipOptions(target, options.partitions, wish, options.create, options.take_over)


async def _ship(layout: Layout, servers: Access, wanted: ShipOptions) -> None:
    """By hand: what is wrong at the beginning ends it."""
    from shardwatch.bridge.ship.notebook import Notebook
    from shardwatch.bridge.ship.report import Reporter
    from shardwatch.bridge.ship.shipper import Shipper

    with Notebook(layout, wanted.target) as notebook:
        reporter = Reporter(layout, wanted.target)
        await Shipper(_service(layout), notebook, reporter, servers, wanted, _tell).run()


async def _ship_section(layout: Layout, section: ShipSection, options: argparse.Namespace, pulse: Pulse) -> None:
    """As a program of the service: what is wrong is reported, and tried again, and supervisord is given signs of life."""
    import asyncio

    from shardwatch.bridge.ship.notebook import Notebook
    from shardwatch.bridge.ship.patience import ship_patiently
    from shardwatch.bridge.ship.report import Reporter
    from shardwatch.bridge.ship.shipper import Shipper

    wanted = _wanted(options)
    opened: list[tuple[Notebook, Reporter]] = []
    with contextlib.ExitStack() as stack:

        async def ship() -> None:
            if not opened:  # it waits for one that was started by hand
                opened.append((stack.enter_context(Notebook(layout, wanted.target)), Reporter(layout, wanted.target)))
            notebook, reporter = opened[0]
            await Shipper(_service(layout), notebook, reporter, _servers(section, options), wanted, log_line).run()

        def failed(error: ShardwatchError) -> None:
            for _, reporter in opened:
                reporter.failed(error)

        beating = asyncio.ensure_future(_beat(pulse))
        try:
            await ship_patiently(ship, failed, log_line)
        finally:
            beating.cancel()


async def _beat(pulse: Pulse) -> None:
    """Signs of life, at the beats that all programs share: they come from the loop that ships, so they end when it hangs."""
    import asyncio
    import time

    from shardwatch.shard.contract.limits import BEAT_S, next_beat

    while True:
        pulse.beat()
        now = time.monotonic()
        await asyncio.sleep(next_beat(now, BEAT_S) - now)


def _service(layout: Layout) -> Callable[[], AsyncExtractClient]:
    from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
    from shardwatch.bridge.ship.shipper import WORKER

    return lambda: AsyncExtractClient(layout.state_dir, worker=WORKER)


def _tell(line: str) -> None:
    from ...terminal.streams import say

    say(f"shardwatch: {line}")
