"""What the site is built from: the documents where they are in the repository, and the pages that are made of code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import command_line_page

ROOT = Path(__file__).parents[1]
#: Files of the repository that are pages, or that pages lead to.
PUBLISHED = ("*.md", "LICENSE", "docs", "configs", "examples", "supervisor/schema")
#: Folders that pages lead to as a whole, each with the words that begin its page.
FOLDERS = {
    "configs": "# Templates\n\nConfigurations to begin with, alerts for Prometheus, and a dashboard for Grafana.\n",
}
_FENCES = {".toml": "toml", ".yml": "yaml", ".json": "json"}
#: A longer file of a folder is a link.
_SHOWN_LINES_MAX = 200


def stage(into: Path) -> None:
    """Fills a folder, which is made anew. Links between pages hold in it as they hold in the repository."""
    shutil.rmtree(into, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PUBLISHED],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})
    for name in names:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(_to_pages((ROOT / name).read_text(), Path(name).parent))
        else:
            shutil.copyfile(ROOT / name, target)
    (into / "docs/command-line.md").write_text(command_line_page.page())
    for folder, introduction in FOLDERS.items():
        shown = [_shown(name) for name in names if Path(name).parent == Path(folder)]
        (into / folder / "index.md").write_text(introduction + "".join(shown))


def _to_pages(text: str, folder: Path) -> str:
    """A link to a folder leads to its page."""

    def lead(link: re.Match[str]) -> str:
        target = os.path.normpath(folder / link[1])
        return f"]({link[1].rstrip('/')}/index.md)" if target in FOLDERS else link[0]

    return re.sub(r"\]\(([^)#\s]+)\)", lead, text)


def _shown(name: str) -> str:
    path = ROOT / name
    text = path.read_text()
    heading = f"\n## {path.name}\n\n[The file]({path.name})\n"
    if text.count("\n") > _SHOWN_LINES_MAX:
        return heading
    return f"{heading}\n```{_FENCES.get(path.suffix, 'text')}\n{text.rstrip()}\n```\n"
