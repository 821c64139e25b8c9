"""Wheels of what is installed here, so that a test can install it elsewhere without a network."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed_by(requirement: str) -> Iterator[str]:
    """Names of all packages that a requirement leads to, itself left out; extras of theirs that are asked for count."""
    seen: set[tuple[str, str]] = set()
    open_ = [Requirement(requirement)]
    while open_:
        wanted = open_.pop()
        for extra in ("", *sorted(wanted.extras)):
            if (canonicalize_name(wanted.name), extra) in seen:
                continue
            seen.add((canonicalize_name(wanted.name), extra))
            for text in distribution(wanted.name).requires or []:
                below = Requirement(text)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    open_.append(below)
    yield from sorted({name for name, _ in seen} - {canonicalize_name(Requirement(requirement).name)})


def pack(name: str, into: Path) -> Path:
    """Puts an installed package back into a wheel. Commands that pip has written are left out: it writes them anew."""
    found = distribution(name)
    files = [file for file in found.files or [] if not file.is_absolute() and ".." not in file.parts and file.suffix != ".pyc"]
    made = into / f"{found.name.replace('-', '_')}-{found.version}-{_tag(found)}.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as wheel:
        for file in files:
            if file.name not in ("INSTALLER", "REQUESTED", "direct_url.json"):
                wheel.write(str(found.locate_file(file)), str(file))
    return made


def _tag(found: Distribution) -> str:
    """That of the wheel that it was installed from: of each of its three parts all values."""
    lines = (found.read_text("WHEEL") or "").splitlines()
    parts = zip(*(line.removeprefix("Tag: ").split("-") for line in lines if line.startswith("Tag: ")), strict=True)
    return "-".join(".".join(dict.fromkeys(part)) for part in parts)
