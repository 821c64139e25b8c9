"""The rules of ARCHITECTURE.md that import-linter can't say, and whether what it names is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from unmeasured import unmeasured

ROOT = Path(__file__).parents[2]
FOLDERS = ("shard", "aggregator", "bridge", "supervisor")


#: What may lie at the top of a house beside its rooms: the programs that a service consists of.
PROGRAMS = {
    "shard": {"main.py"},
    "aggregator": {"main.py"},
    "bridge": set(),
    "supervisor": {"run.py", "coordinator.py"},
}


def _imports(path: Path) -> set[str]:
    """What is imported from another house, or from PyPI: by absolute names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _rooms(folder: str) -> list[Path]:
    """Every folder of a house that holds modules, the house itself left out."""
    return sorted({path.parent for path in _modules(folder)} - {ROOT / folder})


def test_no_folder_is_a_regular_package() -> None:
    """`supervisor/__init__.py` would hide PyPI's supervisor from whoever stands in the repository's root."""
    assert [str(p) for f in FOLDERS for p in (ROOT / f).glob("__init__.py")] == []


def test_a_house_is_made_of_rooms() -> None:
    """At its top there are the programs of a service, whose names are in the configuration of running ones, and no other file."""
    assert {f: {p.name for p in (ROOT / f).glob("*") if p.is_file()} for f in FOLDERS} == PROGRAMS


@pytest.mark.parametrize("room", [room for f in FOLDERS for room in _rooms(f)], ids=lambda room: str(room.relative_to(ROOT)))
def test_a_room_says_what_is_in_it(room: Path) -> None:
    """Its docstring has an item for each file and room in it, and no other; it does nothing else, so that it costs little."""
    tree = ast.parse((room / "__init__.py").read_bytes())
    said = ast.get_docstring(tree) or ""
    there = {path.stem for path in room.glob("*.py")} - {"__init__"} | {path.parent.name for path in room.glob("*/__init__.py")}
    assert sorted(re.findall(r"^- `(\w+)`: ", said, re.MULTILINE)) == sorted(there)
    assert len(tree.body) == 1


def test_no_two_classes_share_a_name() -> None:
    """A name means one thing in the whole product, so that whoever reads or searches for it finds that one."""
    places: dict[str, list[str]] = {}
    for path in [path for folder in FOLDERS for path in _modules(folder)]:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_of_shard_the_aggregator_knows_the_contract_and_native_code_only() -> None:
    """A change inside a shard can't break the aggregator."""
    known = ("shardwatch.shard.contract", "shardwatch.shard.compiled")
    broken = [
        (str(path.relative_to(ROOT)), name)
        for path in _modules("aggregator")
        for name in _imports(path)
        if name.startswith("shardwatch.shard.") and not name.startswith(known)
    ]
    assert broken == []


def test_imports_are_absolute_across_houses_only() -> None:
    """Every line that crosses a border shows it, and no other line does. The face is imported by nobody of ours."""
    broken = [
        (str(path.relative_to(ROOT)), name)
        for house in FOLDERS
        for path in _modules(house)
        for name in _imports(path)
        if name == "shardwatch" or name == f"shardwatch.{house}" or name.startswith(f"shardwatch.{house}.")
    ]
    assert broken == []


def test_unit_tests_lie_where_what_they_test_lies() -> None:
    """Every folder below tests/unit is one of the product's."""
    folders = {path.parent.relative_to(ROOT / "tests/unit") for path in (ROOT / "tests/unit").rglob("test_*.py")}
    assert [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []


#: Modules that take milliseconds, and that no program of a service needs to start: `inspect` comes with `dataclasses` and with
#: `typing_extensions`, `shutil` and `gettext` with `argparse`, OpenSSL with `hashlib`.
_SLOW = {
    "argparse", "asyncio", "dataclasses", "gettext", "inspect", "pydantic", "rich", "secrets", "typing_extensions", "watchdog",
}  # fmt: skip
_IGNORE_FILES = "shardwatch.shard.disk.ignore_files"
#: The same for each program; and what reads ignore files, which most services do without.
_NOT_LOADED = {
    "shardwatch.shard.main": {_IGNORE_FILES, "hashlib", "pickle", "shardwatch.aggregator", "shutil", "sqlite3", "zmq"},
    "shardwatch.aggregator.main": {"json", "random", "shardwatch.supervisor", "shutil", "xmlrpc", "zmq"},
    "shardwatch.supervisor.planning.tree_look": {_IGNORE_FILES},
    "shardwatch.supervisor.coordinator": {"hashlib", "logging", "shardwatch.supervisor.planning.planning", "sqlite3", "zmq"},
}


@pytest.mark.parametrize("program", sorted(_NOT_LOADED))
def test_a_program_loads_nothing_heavy(program: str) -> None:
    """Every start of a program, and every process of it, pays for what its main module loads."""
    code = (
        "import sys; before = set(sys.modules)\n"  # what .pth files of the environment have loaded
        "from shardwatch.shard.contract.process import launch\n"
        f"with launch.Loading(): import {program}\n"
        "print(*set(sys.modules) - before)"
    )
    loaded = set(unmeasured(code).stdout.split())
    assert program in loaded
    assert loaded & (_SLOW | _NOT_LOADED[program]) == set()


def test_every_module_can_be_imported_by_itself() -> None:
    """In either order; and so coverage hears of modules that no test uses."""
    paths = [path.relative_to(ROOT) for folder in FOLDERS for path in _modules(folder)]
    names = [str(path.parent if path.name == "__init__.py" else path.with_suffix("")).replace("/", ".") for path in paths]
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(f'shardwatch.{name}')"
    for order in (names, names[::-1]):
        child = subprocess.run([sys.executable, "-P", "-c", code, *order], capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr


def test_every_path_that_the_architecture_names_exists() -> None:
    """A code map that lies is worse than none."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:shard|aggregator|bridge|supervisor)/[\w/.-]*)`", text))
    named -= {f"{folder}/__init__.py" for folder in FOLDERS}  # named because they must not be there
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
