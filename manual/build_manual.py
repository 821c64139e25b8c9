"""`make docs`: builds the documents into a site, and looks at what was built. Exits with 1 if a link leads nowhere."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import manual_links
import manual_pages
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    build_folder = manual_pages.ROOT / "build"
    parser.add_argument("--into", type=Path, default=build_folder, help="for `pages` and `site` (default: %(default)s)")
    into = parser.parse_args().into.resolve()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    manual_pages.stage(into / "pages")
    config = load_config(
        str(Path(__file__).with_name("mkdocs.yml")), docs_dir=str(into / "pages"), site_dir=str(into / "site"), strict=True
    )
    try:
        build(config)
    except MkDocsException as error:
        print(error, file=sys.stderr)
        return 1
    found = list(manual_links.faults(into / "site"))
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    print(f"{len(list((into / 'site').rglob('*.html')))} pages in {into / 'site'}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
