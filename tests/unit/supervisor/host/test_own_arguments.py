"""An argument of a process that was not known when it began is shown to others afterwards."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path

import pytest
from unmeasured import unmeasured

from shardwatch.supervisor.host.own_arguments import UNKNOWN, replace_unknown
from shardwatch.supervisor.service.state_dir import path_bytes_max

_PROGRAM = """
import sys
from ast import literal_eval
from pathlib import Path
from shardwatch.supervisor.host.own_arguments import replace_unknown
replace_unknown(sys.argv[1].encode())
print(Path("/proc/self/cmdline").read_bytes().decode().rstrip("\\0").split("\\0")[4:])
"""


@pytest.mark.parametrize("argument", ["/var/lib/shardwatch", "/ä b", "x" * len(UNKNOWN)])
def test_what_is_known_later_is_shown(argument: str) -> None:
    assert literal_eval(unmeasured(_PROGRAM, argument, "--state-dir", UNKNOWN).stdout) == [argument, "--state-dir", argument]


def test_a_longer_one_is_cut() -> None:
    """What follows, the environment of the process, stays what it is."""
    longer = UNKNOWN.replace(".", "y") + "z"
    assert literal_eval(unmeasured(_PROGRAM, longer, UNKNOWN).stdout) == [longer, longer[:-1]]


def test_without_one_nothing_is_changed() -> None:
    assert literal_eval(unmeasured(_PROGRAM, "/state").stdout) == ["/state"]
    before = Path("/proc/self/cmdline").read_bytes()
    replace_unknown(b"/state")
    assert Path("/proc/self/cmdline").read_bytes() == before


def test_every_state_directory_fits() -> None:
    assert path_bytes_max() <= len(UNKNOWN)
