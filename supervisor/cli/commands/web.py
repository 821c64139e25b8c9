"""Serve a web page about the running service, and its metrics, until Ctrl-C.

Without --port it listens on a Unix socket, which only the same user, and root, can reach: run/web.sock in the state directory.
With --port it listens on this machine only. --host ADDRESS opens it to other machines. Then each request must bring a token,
which is in the file that --token-file names, or is made and printed. The page only reads.

/metrics is for Prometheus, and /healthz and /readyz are for whatever watches over services. See docs/web.md. Needs the extra
[web]: pip install 'shardwatch[web]'.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
from pathlib import Path
from typing import Final

from ..options import add_config_option, add_state_dir_option

#: Characters of a token: fewer can be guessed, and more are no token.
TOKEN_CHARS_MIN: Final = 16
TOKEN_CHARS_MAX: Final = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--port", type=int, metavar="N", help="listen on TCP port N of 127.0.0.1; 0: any free port")
    place.add_argument("--socket", metavar="PATH", help="listen on this Unix socket (default: run/web.sock of the service)")
    parser.add_argument("--host", metavar="ADDRESS", help="with --port: listen on this address, for other machines")
    parser.add_argument("--token-file", metavar="FILE", help="a file with the token that each request must bring")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import UsageError

    from ...terminal.streams import say
    from ..link.place import running_layout

    if options.host is not None and options.port is None:
        raise UsageError("--host needs --port", hint="give both")
    if options.port is not None and not 0 <= options.port <= 65_535:
        raise UsageError(f"--port {options.port} is out of range", hint="give 0 to 65535")
    token = None if options.token_file is None else _token_of(Path(options.token_file))
    if options.host is not None and token is None:
        token = secrets.token_urlsafe(24)
    _demand_web()
    layout = running_layout(options)
    from ...web.admission import LOOPBACK
    from ...web.server import bind_port, bind_socket, serve

    if options.port is None:
        path = Path(options.socket).absolute() if options.socket else layout.web_socket
        listening, hosts, where = bind_socket(path), None, f"the Unix socket {path}"
    else:
        listening = bind_port(options.host or "127.0.0.1", options.port)
        hosts = None if options.host is not None else LOOPBACK
        name = "127.0.0.1" if options.host is None else options.host
        address = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
        where = address if token is None or options.token_file is not None else f"{address}?token={token}"
    say(f"shardwatch: the page is at {where}; Ctrl-C ends it")
    try:
        serve(layout, listening, hosts, token)
    finally:
        if options.port is None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    return 0


def _token_of(path: Path) -> str:
    """The token in a file. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    try:
        with path.open("rb") as file:
            token = file.read(TOKEN_CHARS_MAX + 2).decode("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no token can be read from {shown(str(path))}: {error}", hint="give a file of one line") from None
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_CHARS_MAX or not token.isprintable() or " " in token:
        hint = f"give {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX:,} printable characters of ASCII without spaces, in one line"
        raise UsageError(f"{shown(str(path))} contains no token", hint=hint)
    return token


def _demand_web() -> None:
    """Raises UsageError where the extra is not installed."""
    from importlib.util import find_spec

    from shardwatch.shard.contract.errors import UsageError

    for package in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise UsageError(f"`shardwatch web` needs {package}", hint="pip install 'shardwatch[web]'")
