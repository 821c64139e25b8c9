"""What is answered to which request. docs/web.md lists the addresses."""

from __future__ import annotations

import asyncio
import heapq
import os
from importlib.resources import files
from typing import Any, Final

from msgspec.json import encode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shardwatch.shard.contract.errors import ShardwatchError, UsageError
from shardwatch.shard.contract.state.layout import Layout

from ..search.find import FoundFile, find
from ..terminal.lines import path_fields
from ..terminal.tables import finding_line
from .metrics import exposition
from .observer import Observer

#: Files of one answer to a search.
FOUND_MAX: Final = 200
#: Searches at the same time; further ones wait. Each has a thread, of which some must be left for looks at the service.
SEARCHES_MAX: Final = 2
#: The longest time back that a search may ask for, seconds.
WITHIN_S_MAX: Final = 366 * 86_400.0
_PAGE: Final = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}


def make_app(layout: Layout) -> Starlette:
    """The application for one service. It only reads."""
    return _Answers(Observer(layout)).app


class _Answers:
    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._searches = asyncio.Semaphore(SEARCHES_MAX)
        routes = [
            Route("/api/status", self._status),
            Route("/api/find", self._find),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthy),
            Route("/readyz", self._ready),
            Route("/", _file_of_the_page("index.html")),
            *(Route(f"/{name}", _file_of_the_page(name)) for name in _PAGE if name != "index.html"),
        ]
        self.app = Starlette(routes=routes)

    async def _status(self, request: Request) -> Response:
        return _json(await self._observer.status())

    async def _metrics(self, request: Request) -> Response:
        body, content_type = exposition(await self._observer.status(), request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def _healthy(self, request: Request) -> Response:
        """503 while nothing is handed out: the aggregator does not answer, or there is no service."""
        status = await self._observer.status()
        return _verdict(status, status["health"] != "down")

    async def _ready(self, request: Request) -> Response:
        """503 until everything has been looked at once, and whenever the aggregator does not answer."""
        status = await self._observer.status()
        return _verdict(status, status["health"] != "down" and bool(status["engine"]["ready"]))

    async def _find(self, request: Request) -> Response:
        """The files that match `glob` and were modified within `within` seconds, the latest change first."""
        glob = request.query_params.get("glob") or "*"
        try:
            within_s = float(request.query_params.get("within") or 3600.0)
            if not 0 < within_s <= WITHIN_S_MAX:
                raise ValueError
        except ValueError:
            return _json({"error": f"`within` is seconds, above 0 and at most {WITHIN_S_MAX:g}"}, 400)
        try:
            async with self._searches:
                found = await asyncio.to_thread(_latest, self._observer.layout, glob, within_s)
        except UsageError as error:
            return _json({"error": str(error)}, 400)
        except (OSError, ShardwatchError) as error:
            return _json({"error": str(error)}, 503)
        return _json({"files": found[:FOUND_MAX], "more": len(found) > FOUND_MAX})


def _latest(layout: Layout, glob: str, within_s: float) -> list[dict[str, Any]]:
    """One more than FOUND_MAX at most. Blocks. Raises what `find` raises."""
    latest = heapq.nlargest(FOUND_MAX + 1, find(layout.state_dir, glob, changed_within_s=within_s), key=lambda file: file.tick)
    return [_object(file) for file in latest]


def _object(file: FoundFile) -> dict[str, Any]:
    times = {"mtime": file.mtime_ns / 10**9, "observed_at": file.observed_at, "tick": file.tick}
    return {**path_fields(os.fsencode(file.path)), "size": file.size, **times}


def _file_of_the_page(name: str) -> Any:
    body = (files(__package__) / "page" / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(body, media_type=_PAGE[name])

    return answer


def _verdict(status: dict[str, Any], good: bool) -> Response:
    lines = [status["health"], *map(finding_line, status["findings"])]
    return PlainTextResponse("".join(f"{line}\n" for line in lines), 200 if good else 503)


def _json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
