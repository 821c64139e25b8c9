"""Print a script that has a shell complete the commands of shardwatch, their options and the paths behind them.

bash:  shardwatch completion bash > ~/.local/share/bash-completion/completions/shardwatch
zsh:   shardwatch completion zsh > DIR/_shardwatch     (DIR is one of $fpath, and compinit runs after it was set)
fish:  shardwatch completion fish > ~/.config/fish/completions/shardwatch.fish

A shell reads it when it starts the next time. Print it anew after an upgrade of shardwatch. In bash, `eval "$(shardwatch
completion bash)"` is enough for the shell that runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

#: Shells that can be helped.
SHELLS: Final = ("bash", "zsh", "fish")
#: What stands for a path in `--help`, and whether it is a directory.
_PATHS: Final = {"PATH": False, "FILE": False, "DIR": True}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")


def run(options: argparse.Namespace) -> int:
    from ...terminal.render import write_text

    write_text(script(options.parser_of_all(), options.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a parser that has the arguments of all commands, whose actions learn here which of them are paths."""
    import shtab

    for action in _actions(parser):
        directory = _PATHS.get(str(action.metavar))
        if directory is not None:
            action.complete = shtab.DIRECTORY if directory else shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell).rstrip("\n") + "\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of a parser and of all its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
