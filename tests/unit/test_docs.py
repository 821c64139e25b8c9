"""Do the documents point at what exists, and is the code that they show code?"""

from __future__ import annotations

import ast
import builtins
import os
import re
from pathlib import Path

import pytest

import shardwatch
from shardwatch.shard.contract import errors
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.limits import IPC_PATH_BYTES_MAX
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.config import profile
from shardwatch.supervisor.service.state_dir import TEMPORARY_SUFFIX_BYTES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")] if "draft" not in p.name
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """To a file that exists, and in it to a heading that exists; never to another host."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        if anchor:
            assert anchor in _anchors(path.read_text()), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_test_that_is_named_exists(document: Path) -> None:
    """A table of what is shown by which test is worth as much as its names."""
    there = {"EngineMachine", "GroupsMachine", "ShipMachine"}
    for path in (ROOT / "tests").rglob("*.py"):
        there.update(re.findall(r"^\s*(?:async )?def (\w+)", path.read_text(), re.MULTILINE))
    named = re.findall(r"`(test_\w+|(?:Engine|Groups|Ship)Machine\.\w+)", document.read_text())
    assert not {part for name in named for part in name.split(".")} - there


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_python_example_is_python_and_imports_what_is_public(document: Path) -> None:
    """An example that can't be copied is worse than none."""
    for example in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module == "shardwatch":
                assert {alias.name for alias in node.names} <= set(shardwatch.__all__)


def test_every_public_name_is_in_the_api_document_and_nothing_else_is_said_to_be_public() -> None:
    """What docs/api.md calls an error or an object of `shardwatch` can be imported from there, and the reverse."""
    text = (ROOT / "docs/api.md").read_text()
    public = set(shardwatch.__all__)
    assert not {name for name in public if name != "__version__" and not re.search(rf"\b{name}\b", text)}
    assert set(re.findall(r"\b[A-Z]\w+Error\b", text)) - {"CancelledError", *dir(builtins)} <= public
    table = text[text.index("## Errors") :].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {name for name in public if name.endswith("Error")}


def test_every_error_that_a_caller_may_meet_is_public() -> None:
    """All classes of the tree, save those that stay between our own processes."""
    classes = {c.__name__ for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ShardwatchError)}
    assert classes - {"WireError"} <= set(shardwatch.__all__)


def test_every_message_that_troubleshooting_explains_is_one() -> None:
    """What is quoted in the table of troubles is said by the code, letter for letter (…, n and m stand for what varies)."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    quoted = re.findall(r'^\| "([^"|]+)"', text, re.MULTILINE)
    assert len(quoted) >= 6
    folders = ("shard", "aggregator", "bridge", "supervisor")
    code = " ".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    said = re.sub(r'"\s*f?"', "", code)  # a text that goes on in the next line
    for message in quoted:
        for part in re.split(r"…|\b[nm]\b", message):
            assert part.strip() in said, message


def test_the_default_patterns_are_those_that_are_documented() -> None:
    """All of them, and no other."""
    rows = (ROOT / "docs/configuration.md").read_text().partition("## The default profile")[2].splitlines()
    named = re.findall(r"`([^`]+)`", " ".join(row for row in rows if row.startswith("|")))
    assert set(named) == set(profile.EXCLUDE)


@pytest.mark.parametrize("document", ["state.md", "configuration.md"])
def test_the_longest_path_of_a_state_directory_is_the_one_that_is_documented(document: str) -> None:
    """What fits is less than a socket's address, and is said as what it is."""
    names = [os.fspath(path.relative_to("/")) for path in Layout("/").sockets()]
    supervisors = os.fspath(Layout("/").supervisor_socket.relative_to("/"))
    room = min(IPC_PATH_BYTES_MAX - max(map(len, names)), IPC_PATH_BYTES_MAX - len(supervisors) - TEMPORARY_SUFFIX_BYTES) - 1
    (said,) = re.findall(r"path\s+may\s+have\s+(\d+)\s+bytes\s+at\s+most", (ROOT / "docs" / document).read_text())
    assert int(said) == room
