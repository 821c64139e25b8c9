"""The rules of ARCHITECTURE.md that import-linter can't say, and whether what it names is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from unmeasured import unmeasured

ROOT = Path(__file__).parents[2]
FOLDERS = ("shard", "aggregator", "supervisor")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_no_folder_is_a_regular_package() -> None:
    """`supervisor/__init__.py` would hide PyPI's supervisor from whoever stands in the repository's root."""
    assert [str(p) for f in FOLDERS for p in (ROOT / f).glob("__init__.py")] == []


def test_of_shard_the_aggregator_knows_the_contract_only() -> None:
    """A change inside a shard can't break the aggregator."""
    broken = [
        (str(path.relative_to(ROOT)), name)
        for path in _modules("aggregator")
        for name in _imports(path)
        if name.startswith("shardwatch.shard.") and not name.startswith("shardwatch.shard.contract")
    ]
    assert broken == []


def test_the_contract_needs_nothing_of_ours() -> None:
    """shard.contract is below everything."""
    broken = [
        (str(path.relative_to(ROOT)), name)
        for path in _modules("shard/contract")
        for name in _imports(path)
        if name.startswith("shardwatch.") and not name.startswith("shardwatch.shard.contract")
    ]
    assert broken == []


def test_a_shard_loads_nothing_heavy() -> None:
    """Every shard process pays for what its main module loads."""
    code = "import sys, shardwatch.shard.main; print(*sys.modules, sep='\\n')"
    child = unmeasured(code)
    loaded = set(child.stdout.split())
    assert loaded & {"sqlite3", "pydantic", "rich", "watchdog", "asyncio", "shardwatch.aggregator.client"} == set()


def test_every_module_can_be_imported_by_itself() -> None:
    """In either order; and so coverage hears of modules that no test uses."""
    names = [str(p.relative_to(ROOT).with_suffix("")).replace("/", ".") for f in FOLDERS for p in _modules(f)]
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(f'shardwatch.{name}')"
    for order in (names, names[::-1]):
        child = subprocess.run([sys.executable, "-P", "-c", code, *order], capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr


def test_every_path_that_the_architecture_names_exists() -> None:
    """A code map that lies is worse than none."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:shard|aggregator|supervisor)/[\w/.-]*)`", text))
    named -= {f"{folder}/__init__.py" for folder in FOLDERS}  # named because they must not be there
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_modules_stay_small() -> None:
    """One noun a file, none over 500 lines (the house style)."""
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for f in FOLDERS for p in _modules(f)}
    assert {name: count for name, count in lines.items() if count > 500} == {}
