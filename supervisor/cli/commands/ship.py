"""Publish every change to a stream of NATS JetStream, for workers on other machines.

The stream is a mirror: it holds one message for each path, with its last state. A consumer that begins today first reads the
state of every path, and then goes on with changes. A batch of the service is acknowledged when the stream has confirmed it all.

URL is nats://HOST:PORT or tls://HOST:PORT; several servers of one cluster are separated by commas. The default is NATS_URL in the
environment, else nats://127.0.0.1:4222. Credentials come from NATS_CREDS, which names a file, or from the URL in NATS_URL.

Needs nats-py: pip install 'shardwatch[nats]'. See docs/fleet.md.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from shardwatch.bridge.protocol.names import PREFIX, STREAM

from ..options import add_config_option, add_state_dir_option

if TYPE_CHECKING:
    from shardwatch.bridge.jetstream.access import Access
    from shardwatch.bridge.protocol.generations import ShipOptions
    from shardwatch.shard.contract.state.layout import Layout

    from ...terminal.ends import Ends

#: Defaults.
GROUP: Final = "ship"
PARTITIONS: Final = 16
#: Largest --replicas: that of JetStream.
REPLICAS_MAX: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", metavar="URL", help="the NATS server, without credentials")
    parser.add_argument("--stream", default=STREAM, metavar="S", help=f"name of the stream (default: {STREAM})")
    parser.add_argument("--prefix", default=PREFIX, metavar="P", help=f"what all subjects begin with (default: {PREFIX})")
    parser.add_argument("--source", metavar="NAME", help="what these files are called in the stream (default: the host's name)")
    meaning = f"parts in which consumers can share the source's paths; another number ships all again (default: {PARTITIONS})"
    parser.add_argument("--partitions", type=int, default=PARTITIONS, metavar="N", help=meaning)
    meaning = "servers that keep the stream (default: as it is, and 1 for a new one)"
    parser.add_argument("--replicas", type=int, metavar="N", help=meaning)
    parser.add_argument("--create", action="store_true", help="make the stream if there is none")
    parser.add_argument(
        "--take-over", action="store_true", help="ship the source although another service did, whose state directory is lost"
    )
    parser.add_argument("--group", default=GROUP, metavar="G", help=f"name of the group (default: {GROUP})")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.bridge.jetstream.access import access, demand_nats

    from ...terminal.ends import Ended, Ends
    from ..link.place import running_layout

    wanted = _wanted(options)
    servers = access(options.url, os.environ)
    layout = running_layout(options)
    demand_nats()
    with Ends() as ends:
        import asyncio

        asyncio.run(_ship(layout, servers, wanted, ends))
        raise Ended(ends.signum)


def _wanted(options: argparse.Namespace) -> ShipOptions:
    """What is asked for. Raises UsageError for what can't be."""
    import socket

    from shardwatch.bridge.protocol.generations import ShipOptions, Target
    from shardwatch.bridge.protocol.names import Subjects, as_source, check_token
    from shardwatch.shard.contract.errors import UsageError

    source = as_source(socket.gethostname()) if options.source is None else options.source
    Subjects(options.prefix, source, options.partitions)
    check_token("name of a stream", options.stream)
    if options.replicas is not None and not 1 <= options.replicas <= REPLICAS_MAX:
        raise UsageError(f"--replicas {options.replicas} is out of range", hint=f"give 1 to {REPLICAS_MAX}")
    target = Target(options.stream, options.prefix, source, options.group)
    return ShipOptions(target, options.partitions, options.replicas, options.create, options.take_over)


async def _ship(layout: Layout, servers: Access, wanted: ShipOptions, ends: Ends) -> None:
    """Ships until the command is asked to end."""
    import asyncio
    import contextlib

    from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
    from shardwatch.bridge.ship.notebook import Notebook
    from shardwatch.bridge.ship.shipper import WORKER, Shipper

    from ...terminal.streams import say

    with Notebook(layout, wanted.target) as notebook:

        def service() -> AsyncExtractClient:
            return AsyncExtractClient(layout.state_dir, worker=WORKER)

        shipper = Shipper(service, notebook, servers, wanted, lambda line: say(f"shardwatch: {line}"))
        shipping = asyncio.ensure_future(shipper.run())
        asyncio.get_running_loop().add_reader(ends.wake_fd, shipping.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await shipping
