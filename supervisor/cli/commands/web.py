"""Serve a web page about the running service, and its metrics, until Ctrl-C.

Without --port it listens on a Unix socket, which only the same user, and root, can reach: run/web.sock in the state directory.
With --port it listens on this machine only. --host ADDRESS opens it to other machines. Then each request must bring a token,
which is in the file that --token-file names, or is made and printed. The page only reads.

A section [web] of the configuration does this as long as the service runs: `shardwatch status` says where the page is.

/metrics is for Prometheus, and /healthz and /readyz are for whatever watches over services. See docs/web.md. Needs the extra
[web]: pip install 'shardwatch[web]'.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shardwatch.shard.contract.limits import BEAT_S, next_beat

from ...host.log_line import log_line
from ..options import SectionParser, add_config_option, add_state_dir_option, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.web_section import WebSection

#: Seconds until something is tried again that somebody has to mend.
AGAIN_S: Final = 5.0

#: Characters of a token: fewer can be guessed, and more are no token.
TOKEN_CHARS_MIN: Final = 16
TOKEN_CHARS_MAX: Final = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--port", type=whole, metavar="N", help="listen on TCP port N of 127.0.0.1; 0: any free port")
    place.add_argument("--socket", metavar="PATH", help="listen on this Unix socket (default: run/web.sock of the service)")
    parser.add_argument("--host", metavar="ADDRESS", help="with --port: listen on this address, for other machines")
    parser.add_argument("--token-file", metavar="FILE", help="a file with the token that each request must bring")
    add_config_option(parser)
    add_state_dir_option(parser)
    parser.add_argument("--section", action="store_true", help=argparse.SUPPRESS)  # supervisord gives it: see `_run_section`


def run(options: argparse.Namespace) -> int:
    return _run_section(options) if options.section else _run(options)


def _run(options: argparse.Namespace) -> int:
    from ...terminal.streams import say
    from ..link.place import running_layout

    _check_place(options)
    token = None if options.token_file is None else _token_of(Path(options.token_file))
    made = secrets.token_urlsafe(24) if options.host is not None and token is None else None
    demand_web()
    layout = running_layout(options)
    if options.port is None and options.socket is None:
        _check_own(layout)

    def tell(address: str) -> None:
        say(f"shardwatch: the page is at {address if made is None else f'{address}?token={made}'}; Ctrl-C ends it")

    _serve(options, layout, token or made, tell)
    return 0


def section_options(section: WebSection) -> argparse.Namespace:
    """The section `[web]` of a configuration as arguments of this command, checked. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError

    parser = SectionParser("[web]", "web")
    add_arguments(parser)
    named = {"--socket": section.socket, "--token-file": section.token_file}
    files = [f"{option}={os.fsdecode(file)}" for option, file in named.items() if file is not None]
    options = parser.parse_args([*section.arguments, *files])
    try:
        _check_place(options)
    except UsageError as error:
        raise UsageError(f"[web]: {error.message.replace('--', '')}", hint=error.hint) from None
    if options.host is not None and section.token_file is None:
        hint = "name a file with token_file; `head -c 24 /dev/urandom | base64 > FILE` makes one"
        raise UsageError("[web]: host needs token_file", hint=hint)
    return options


def unservable(section: WebSection) -> list[str]:
    """What is to be said of a section with which no page can be served for now, a line each. Raises UsageError for one that is
    wrong."""
    from shardwatch.shard.contract.errors import UsageError

    options = section_options(section)
    try:
        demand_web()
        _section_token(options)
    except UsageError as error:
        return [f"[web]: {error}; everything else runs, and the page is served when that is mended"]
    return []


def demand_web() -> None:
    """Raises UsageError where the extra is not installed."""
    import importlib
    from importlib.util import find_spec

    from shardwatch.shard.contract.errors import UsageError

    importlib.invalidate_caches()  # it may be installed while we wait
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise UsageError(f"the web page needs {package}", hint="pip install 'shardwatch[web]'")


def _check_place(options: argparse.Namespace) -> None:
    """Raises UsageError for what is no place to listen on."""
    from shardwatch.shard.contract.errors import UsageError

    if options.host is not None and options.port is None:
        raise UsageError("--host needs --port", hint="give both")
    if options.host == "":
        raise UsageError("--host is empty", hint="give an address of this machine, or leave it out")
    if options.port is not None and not 0 <= options.port <= 65_535:
        raise UsageError(f"--port {options.port} is out of range", hint="give 0 to 65535")


def _check_own(layout: Layout) -> None:
    """Raises UsageError where the socket would lie in the state directory of another user, to which root writes nothing."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.state.directory import StateDirectory

    try:
        StateDirectory(layout.state_dir).close()
    except UsageError as error:
        raise UsageError(error.message, hint="name a socket with --socket, or give --port") from None


def _serve(
    options: argparse.Namespace,
    layout: Layout,
    token: str | None,
    tell: Callable[[str], object],
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Listens, tells where, and answers until a signal. Raises UsageError and InUseError where it can't listen."""
    from ...web.admission import LOOPBACK
    from ...web.server import bind_port, bind_socket, serve

    if options.port is None:
        path = Path(options.socket).absolute() if options.socket else layout.web_socket
        listening, hosts, where = bind_socket(path), None, f"the Unix socket {path}"
    else:
        listening = bind_port(options.host or "127.0.0.1", options.port)
        hosts = None if options.host is not None else LOOPBACK
        name = "127.0.0.1" if options.host is None else options.host
        where = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
    tell(where)
    try:
        serve(layout, listening, hosts, token, beat)
    finally:
        if options.port is None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _run_section(options: argparse.Namespace) -> int:
    """A program of the service in `--state-dir`, which supervisord has started: the rest of its arguments is in
    web-section.json. It ends with supervisord. Raises UsageError."""
    from shardwatch.shard.contract.process.life import Pulse
    from shardwatch.shard.contract.state.section_file import read_section
    from shardwatch.shard.contract.state.web_section import WebSection

    from ..link.supervised import begin_supervised, demanded

    layout = begin_supervised(options, "web")
    section = demanded(read_section(layout.web_section, WebSection), "web")
    given = section_options(section)
    with contextlib.closing(Pulse(layout.pulse_socket)) as pulse:
        _serve_patiently(given, layout, pulse.beat)
    return 0


def _serve_patiently(options: argparse.Namespace, layout: Layout, beat: Callable[[], None]) -> None:
    """Serves until a signal. Nobody is there who would start it with other arguments, so what is wrong is reported, and tried
    again."""
    from shardwatch.shard.contract.errors import InUseError, UsageError

    from ...service.web_page import WebReporter

    reporter = WebReporter(layout)

    def report(line: str, **fields: str) -> None:
        if reporter.tell(**fields):
            log_line(line, "warning" if "error" in fields else "info")

    def beat_and_write() -> None:
        beat()
        reporter.write()

    while True:
        try:
            demand_web()
            token = _section_token(options)
            _serve(options, layout, token, lambda address: report(f"the page is at {address}", address=address), beat_and_write)
        except (UsageError, InUseError) as error:
            report(f"the page is not served: {error}", error=error.message, remedy=error.hint)
        else:
            return
        until = time.monotonic() + AGAIN_S
        while (now := time.monotonic()) < until:
            beat_and_write()
            time.sleep(min(until, next_beat(now, BEAT_S)) - now)


def _section_token(options: argparse.Namespace) -> str | None:
    """The token of a section, with the file as it is by now. Raises UsageError, also where its filesystem does not answer."""
    from shardwatch.shard.contract.errors import UsageError

    from ...host.scouting import unanswered

    if options.token_file is None:
        return None
    if silent := unanswered(os.fsencode(options.token_file)):
        raise UsageError(f"the file {options.token_file} lies on {silent}", hint="check that mount")
    return _token_of(Path(options.token_file))


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
