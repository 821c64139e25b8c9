"""`completion`: the scripts at work in the shells that they are for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import GUARD_S, run

from shardwatch.supervisor.cli.command_line import COMMANDS

#: Asks bash for what would follow the words given: what it does itself when Tab is pressed.
_BASH = """
source ./script
complete=$(complete -p shardwatch); function=${complete##*-F }; function=${function%% *}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"$function" shardwatch "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
#: Presses Tab in a terminal of its own.
_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; fpath=($PWD \\$fpath); autoload -U compinit; compinit -u -D; print -r -- rea''dy"
zpty -r -m shell seen '*ready*'
zpty -n -w shell "$1"$'\\t'
zpty -r -m shell seen "*$2*"
zpty -d shell
print -r -- "$seen"
"""


def out(command: list[str], directory: Path, **environ: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, "HOME": str(directory), **environ}, capture_output=True, text=True,
        timeout=GUARD_S, check=True,
    )  # fmt: skip
    return done.stdout


def by_bash(words: list[str], directory: Path) -> set[str]:
    return set(out(["bash", "--norc", "-c", _BASH, "bash", *words], directory).split())


def by_fish(words: list[str], directory: Path) -> set[str]:
    command = f"source ./script; complete -C '{' '.join(words)}'"
    return {line.split("\t")[0].rstrip("/") for line in out(["fish", "--no-config", "-c", command], directory).splitlines()}


@pytest.mark.parametrize(("shell", "ask"), [("bash", by_bash), ("fish", by_fish)])
def test_the_shell_completes(tmp_path: Path, shell: str, ask: Callable[[list[str], Path], set[str]]) -> None:
    """Commands and theirs, options, what may follow an option, and paths."""
    (tmp_path / "script").write_text(run("completion", shell).stdout)
    (tmp_path / "srcs").mkdir()
    assert ask(["shardwatch", ""], tmp_path) >= set(COMMANDS)
    assert ask(["shardwatch", "stat"], tmp_path) == {"status"}
    assert ask(["shardwatch", "groups", "re"], tmp_path) == {"reset", "rewind"}
    assert ask(["shardwatch", "up", "--det"], tmp_path) == {"--detach"}
    assert ask(["shardwatch", "up", "--backend", "po"], tmp_path) == {"polling"}
    assert ask(["shardwatch", "plan", "sr"], tmp_path) == {"srcs"}
    assert ask(["shardwatch", "status", "--state-dir", "s"], tmp_path) == {"srcs"}


def test_zsh_completes(tmp_path: Path) -> None:
    """With the file in a directory of $fpath, as zsh has its functions."""
    (tmp_path / "_shardwatch").write_text(run("completion", "zsh").stdout)
    for typed, seen in (("shardwatch stat", "status"), ("shardwatch groups rew", "rewind"), ("shardwatch up --det", "--detach")):
        assert seen in out(["zsh", "-f", "-c", _ZSH, "zsh", typed, seen], tmp_path, TERM="dumb")


def test_no_other_shell() -> None:
    """A shell that can't be helped is named, with those that can."""
    refused = run("completion", "tcsh", check=False)
    assert refused.returncode == 2 and "'bash', 'zsh', 'fish'" in refused.stderr
