"""The consumers of docs/fleet.md, as tests use them: their rule is applied, their program does not run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLE = Path(__file__).parents[1] / "examples/fleet/mirror.py"
#: Of the layout `batches`.
BATCHES_EXAMPLE = EXAMPLE.with_name("batches.py")


def fleet_example(example: Path = EXAMPLE) -> ModuleType:
    """The module, with a mirror of its own. It prints nothing."""
    spec = importlib.util.spec_from_file_location(f"fleet_{example.stem}", example)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.print = lambda *words, **how: None  # type: ignore[attr-defined]
    return module
