"""The documents as a site (`make docs`): is every page in it, is what is made of code whole, and are faults found?"""

from __future__ import annotations

import re
from pathlib import Path

import command_line_page
import manual_pages
import pytest
from manual_links import faults

from shardwatch.supervisor.cli.command_line import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages that the site is built from."""
    made = tmp_path_factory.mktemp("pages")
    manual_pages.stage(made)
    return made


def test_the_contents_name_each_page_once(staged: Path) -> None:
    """A page that nobody finds would be a page less."""
    nav = (ROOT / "manual/mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = re.findall(r"- (\S+\.md)$", nav, re.MULTILINE)
    assert sorted(named) == sorted(str(page.relative_to(staged)) for page in staged.rglob("*.md"))


def test_every_command_has_its_arguments_on_the_page() -> None:
    """Also the commands of commands, and none of the text is left out as if it were markup."""
    page = command_line_page.page()
    assert set(COMMANDS) <= set(re.findall(r"^## shardwatch (\S+)$", page, re.MULTILINE))
    assert "\n### shardwatch groups rewind\n" in page
    assert re.search(r"^\| `--settle-ms N` \| debounce time .* \(default: 50\) \|$", page, re.MULTILINE)
    assert "%(default)s" not in page and "==SUPPRESS==" not in page
    rows = [row for row in page.splitlines() if row.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)


def test_a_link_to_a_folder_leads_to_its_page(staged: Path) -> None:
    """Which shows the files, as far as they are short."""
    assert "](configs/index.md)" in (staged / "README.md").read_text()
    page = (staged / "configs/index.md").read_text()
    for path in (ROOT / "configs").iterdir():
        assert f"\n## {path.name}\n" in page
    assert (ROOT / "configs/monorepo.toml").read_text().strip() in page


def test_faults_of_a_site_are_found(tmp_path: Path) -> None:
    """A link to a page or place that is not there, and whatever a browser would fetch from another host."""
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1>')
    good = '<a href="b.html#here"></a><a href="https://a.example/">a host that is asked only on a click</a><img src="data:,">'
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "a.css").write_text("a { background: url(a.png) }")
    assert list(faults(tmp_path)) == []
    (tmp_path / "a.html").write_text(
        '<a href="c.html"></a><a href="b.html#there"></a><a href="../x"></a><a href="#nowhere"></a>'
        '<script src="https://a.example/a.js"></script><link href="//a.example/a.css"><img srcset="http://a.example/a.png">'
    )
    (tmp_path / "a.css").write_text("a { background: url(https://a.example/a.png) }")
    found = list(faults(tmp_path))
    assert found == [
        "a.html: leads nowhere: c.html",
        "a.html: there is no such place: b.html#there",
        "a.html: leads nowhere: ../x",
        "a.html: there is no such place: #nowhere",
        "a.html: another host is asked: https://a.example/a.js",
        "a.html: another host is asked: //a.example/a.css",
        "a.html: another host is asked: http://a.example/a.png",
        "a.css: loads from elsewhere",
    ]
