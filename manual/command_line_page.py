"""The page of the command line, made from the parsers that read it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from textwrap import dedent

from shardwatch.supervisor.cli.command_line import COMMANDS, make_parser

_INTRODUCTION = """\
# Command line

Every command with its arguments, as `shardwatch COMMAND --help` prints them: this page is made from
the code. [Formats](formats.md) describes what the commands print with `--json`, and their exit
codes; [configuration](configuration.md) describes the options of the service.

"""


def page() -> str:
    """The page, in Markdown: a heading for each command, and for each command of a command."""
    parts = [_INTRODUCTION]
    for parser in parsers():
        parts += _command(parser)
    return "\n".join(parts)


def parsers() -> Iterator[argparse.ArgumentParser]:
    """The parser of each command, and after it those of its own commands. Its `prog` is what a user types."""
    for name in COMMANDS:
        parser = _below(make_parser(name))[name]
        yield parser
        yield from _below(parser).values()


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By their names; an alias is left out."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                if below not in found.values():
                    found[name] = below
    return found


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"{'#' * parser.prog.count(' ')}# {parser.prog}\n"
    usage = parser.format_usage().removeprefix("usage: ")
    yield f"```text\n{dedent(usage).strip()}\n```\n"
    if parser.description:
        yield f"{_plain(parser.description)}\n"
    rows = list(_rows(parser))
    if rows:
        yield "| argument | meaning |\n|---|---|"
        yield from rows
        yield ""
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```\n"


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        invocation = formatter._format_action_invocation(action)
        text = formatter._expand_help(action) if action.help else ""
        yield f"| `{_cell(invocation)}` | {_plain(_cell(text))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(text: str) -> str:
    """A text for people in which nothing but backquotes means anything to Markdown."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):
        for special in "*_<[":
            parts[number] = parts[number].replace(special, f"\\{special}")
    return "`".join(parts)
