"""Starts a program of a service: `python3 -P -m shardwatch.shard.contract.process.launch [--of NAME] MODULE [ARGUMENT ...]`.

MODULE has a function `main`, which gets the arguments and returns the exit code. A program is loaded as `loading` says. NAME is
for those who look at the processes of the machine: it says which program of which service this is. supervisord starts every
program in this way, at the start of a service and whenever it starts one again.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from .loading import Loading


def launch(arguments: Sequence[str]) -> int:
    """Runs the program that the arguments name; returns its exit code."""
    while arguments[0] in ("--of", "--nice"):
        option, value, *arguments = arguments
        if option == "--nice":  # a supervisord that began with earlier code leaves this to us, until it is replaced
            os.nice(int(value))
    with Loading():
        program = importlib.import_module(arguments[0])
    return int(program.main(list(arguments[1:])))


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
