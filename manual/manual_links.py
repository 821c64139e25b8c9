"""Does every link of a built site lead somewhere, and does it load nothing from another host?"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself when it shows a page, by the attribute that names it.
_LOADED = {"src", "srcset", "poster", "data"}


class _Page(HTMLParser):
    """The names of places in a page, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        #: (address, whether a browser fetches it by itself)
        self.addresses: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in _LOADED and value:
                self.addresses.append((value, True))
            elif name == "href" and value:
                self.addresses.append((value, tag == "link"))


def faults(site: Path) -> Iterator[str]:
    """One line for each address that leads nowhere, and for each that is fetched from another host."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses begin at the root of the host that serves the site
            continue
        for address, loaded in page.addresses:
            if fault := _fault(site, path, address, loaded, pages):
                yield f"{path.relative_to(site)}: {fault}: {address}"
    for path in sorted(site.rglob("*.css")):
        text = path.read_text()
        if "url(http" in text or "url(//" in text or "@import" in text:
            yield f"{path.relative_to(site)}: loads from elsewhere"


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


def _fault(site: Path, path: Path, address: str, loaded: bool, pages: dict[Path, _Page]) -> str:
    parts = urlsplit(address)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "another host is asked" if loaded else ""
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_relative_to(site.resolve()) or not target.exists():
        return "leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "there is no such place"
    return ""
