"""The command line's arguments, help, version, and what becomes of errors: one line and a documented code."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
from pathlib import Path

import pytest
from unmeasured import unmeasured

from shardwatch.shard.contract.errors import InUseError, NotRunningError, ServiceError
from shardwatch.shard.contract.state.options import OPTIONS, ROOTS, STATE_DIR
from shardwatch.supervisor.cli import command_line as cli
from shardwatch.supervisor.cli import options as tree_options
from shardwatch.supervisor.cli.main import main
from shardwatch.supervisor.config.names import flag
from shardwatch.supervisor.terminal.ends import Ended

FORMATS = Path(__file__).parents[4] / "docs" / "formats.md"


def run(*arguments: str) -> int:
    """main as the console script calls it."""
    return main(arguments)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program and its version."""
    assert run("--version") == 0
    assert re.fullmatch(r"shardwatch \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types `--help` finds all commands, how a service is found, and the exit codes."""
    assert run("--help") == 0
    out = capsys.readouterr().out
    for name, line in cli.COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(line[:20])}", out, re.M)
    assert "shardwatch.toml" in out and "SHARDWATCH_STATE_DIR" in out and "exit codes" in out


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_help_of_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself by its module's docstring."""
    assert run(command, "--help") == 0
    module = importlib.import_module(f"shardwatch.supervisor.cli.commands.{command}")
    assert module.__doc__ is not None
    assert module.__doc__.splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize("command", ["watch", "up", "exec", "plan", "doctor", "config"])
def test_tree_options_are_the_same_everywhere(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command about a tree takes all options of the command line, and explains each by its definition."""
    assert run(command, "--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    for option in OPTIONS.values():
        if option.on_command_line and option is not STATE_DIR:
            assert option.text in out
            assert option is ROOTS or flag(option) in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["watch", "--nonsense"],
        ["watch", "--shards", "many"],
        ["watch", "--backend", "magic"],
        ["watch", "--from", "yesterday"],
        ["pull"],
        ["pull", "--group", "g", "--max", "0"],
        ["pull", "--group", "g", "--wait", "-1"],
        ["pull", "--group", "g", "--wait", "nan"],
        ["pull", "--group", "g", "--follow", "--no-ack"],
        ["groups"],
        ["groups", "drop"],
        ["groups", "create", "g", "--from", "yesterday"],
        ["groups", "rewind", "g"],
        *[["groups", "rewind", "g", tick] for tick in ("", "now", "1e3", "9" * 5000, "\u0663")],
        *[["find", "--larger", value] for value in ("", "many", "9" * 5000)],
        *[["find", "--changed-within", value] for value in ("", "yesterday", "9" * 5000)],
        ["sync", "--timeout", "0"],
        ["hold"],
        ["hold", "--for", "5", "--", "true"],
        ["hold", "--for", "0"],
        ["hold", "--for", "nan"],
        ["hold", "--for", "5", "--timeout", "5"],
        ["hold", "--timeout", "-1", "--", "true"],
        *[["pull", "--group", "g", "--max", value] for value in ("-1", "1" + "0" * 23, "9" * 5000, "1e3", "nan", "")],
        *[["pull", "--group", "g", "--wait", value] for value in ("inf", "1e400", "9" * 5000, "")],
        *[["sync", "--timeout", value] for value in ("nan", "inf", "-1", "1e400", "9" * 5000, "")],
        *[["hold", option, value, "true"] for option in ("--for", "--timeout") for value in ("inf", "1e400", "0", "9" * 5000)],
        *[["watch", ".", option, "9" * 5000] for option in ("--shards", "--settle-ms")],
        *[["watch", ".", option, "1" + "0" * 23] for option in ("--shards", "--settle-ms")],
        *[["watch", ".", "-e", value] for value in ("", "py,", "*.py", "a/b", "{py,md}", "!py")],
        *[["watch", ".", option, value] for option in ("--include", "--exclude") for value in ("\udcff", "[", "", "#")],
        *[[command, "--state-dir", ""] for command in ("status", "down", "sync", "audit", "release", "groups")],
        ["watch", ""],
        ["watch", "a\0b"],
        ["config", "-c", ""],
        ["config", "-c", "/dev/null/x"],
        ["\udcff"],
        ["watch", "--\u202e"],
        ["groups", "drop", "x", "\x1b[2J"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40].encode("ascii", "backslashreplace").decode().replace("\0", "0"),
)
def test_wrong_arguments_are_one_line_and_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line with the remedy on standard error, nothing on standard output."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"shardwatch: error: .+( \(.+\)| must be a .+)\n", err)
    assert err.isascii() or err.rstrip("\n").isprintable()
    assert len(err) < 600


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (NotRunningError("no service", hint="start it"), 3, "no service (start it)"),
        (InUseError("in use"), 4, "in use"),
        (ServiceError("two\nlines"), 6, "two lines"),
        (PermissionError(13, "Permission denied", b"/x/\xff"), 1, "/x/\N{REPLACEMENT CHARACTER}: permission denied (give "),
        (ZeroDivisionError("division by zero"), 70, "defect in shardwatch: ZeroDivisionError"),
    ],
)
def test_every_error_becomes_one_line_and_its_code(
    raised: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of ours, of the system, and defects: one line, no traceback, the documented code."""
    monkeypatch.delenv("SHARDWATCH_DEBUG", raising=False)
    _raise_in_down(monkeypatch, raised)
    assert run("down") == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["watch", "--settle-ms", "abc"], "argument --settle-ms: 'abc' is no whole number (see `shardwatch watch --help`)"),
        (["watch", "--settle-ms", "1.5"], "argument --settle-ms: '1.5' is no whole number (see `shardwatch watch --help`)"),
        (["sync", "--timeout", "1s"], "argument --timeout: '1s' is no number (see `shardwatch sync --help`)"),
        (["release", "a", "b"], "unrecognized arguments: a b (see `shardwatch release --help`)"),
        (["--odd"], "unrecognized arguments: --odd (see `shardwatch --help`)"),
    ],
)
def test_what_can_not_be_read_is_said_in_words(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And with the help of the command that it was given to."""
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"shardwatch: error: {said}\n"


def test_defects_show_their_traceback_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """SHARDWATCH_DEBUG lets a defect through as it is."""
    monkeypatch.setenv("SHARDWATCH_DEBUG", "1")
    _raise_in_down(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run("down")


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (Ended(signal.SIGINT), 130), (Ended(signal.SIGTERM), 143), (Ended(None), 0)],
)
def test_interruptions_have_their_codes(raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is told as shells do, a closed standard output is no error."""
    _raise_in_down(monkeypatch, raised)
    assert run("down") == code


def test_an_interruption_before_anything_is_read_has_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the process of the service is started, and what reads the arguments is loaded."""

    def interrupted(arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shardwatch.supervisor.cli.main._early_process", interrupted)
    assert run("watch") == cli.EXIT_INTERRUPTED


def test_a_command_is_loaded_before_it_handles_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it runs, Ctrl-C has its default effect: an exception could be lost in what is loaded. Then it is as it was."""
    handlers: list[object] = []

    def early(arguments: object) -> contextlib.AbstractContextManager[None]:
        handlers.append(signal.getsignal(signal.SIGINT))
        return contextlib.nullcontext()

    def down(options: object) -> int:
        handlers.append(signal.getsignal(signal.SIGINT))
        return 0

    monkeypatch.setattr("shardwatch.supervisor.cli.main._early_process", early)
    monkeypatch.setattr("shardwatch.supervisor.cli.commands.down.run", down)
    with monkeypatch.context() as ignored:
        assert run("down") == 0
        assert run("--nonsense") == 2
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ignored.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)  # as of `nohup`
        run("down")
    assert handlers == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN, signal.SIG_IGN]


def test_an_interruption_while_all_of_it_is_loaded_is_quiet() -> None:
    """The process ends by the signal, which a shell calls 130, and says nothing."""
    program = (
        "import os, signal, sys\n"
        "from shardwatch.supervisor.cli import main\n"
        "assert not {'typing', 'shardwatch.supervisor.terminal.streams'} & sys.modules.keys()\n"
        "main._early_process = lambda arguments: os.kill(os.getpid(), signal.SIGINT)\n"
        "main.main(['watch', '/'])\n"
    )
    done = unmeasured(program, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def _raise_in_down(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from shardwatch.supervisor.cli.commands import down

    def fail(options: object) -> int:
        raise error

    monkeypatch.setattr(down, "run", fail)


def test_overrides_are_only_what_was_given() -> None:
    """Defaults belong to the configuration: an option that was not typed overrides nothing."""
    parser = cli.make_parser("up")
    assert tree_options.overrides_of(parser.parse_args(["up"])) == {}
    typed = "up /a /b --include *.x --include *.y --exclude z --no-default-excludes --directories --shards 3"
    typed += " --backend polling --settle-ms 0 --state-dir /s"
    given = parser.parse_args(typed.split())
    assert tree_options.overrides_of(given) == {
        "roots": ["/a", "/b"],
        "include": ["*.x", "*.y"],
        "exclude": ["z"],
        "default_excludes": False,
        "directories": True,
        "shards": 3,
        "backend": "polling",
        "settle_ms": 0,
        "state_dir": "/s",
    }


@pytest.mark.parametrize("command", ["watch", "up", "exec", "plan", "doctor", "config"])
def test_suffixes_are_short_for_patterns(command: str) -> None:
    """With or without their dot, several in one argument, beside patterns, in the order in which they were typed."""
    given = cli.make_parser(command).parse_args([command, "-e", "py, .md", "--include", "*.x", "-e", "tar.gz"])
    assert tree_options.overrides_of(given) == {"include": ["*.py", "*.md", "*.x", "*.tar.gz"]}


@pytest.mark.parametrize(
    ("arguments", "state_dir"),
    [(["--state-dir", "/s", "list"], "/s"), (["list", "--state-dir", "/s"], "/s"), (["list"], None)],
)
def test_groups_takes_its_state_dir_on_either_side_of_the_verb(arguments: list[str], state_dir: str | None) -> None:
    """Both orders are natural, and neither silently loses the option."""
    assert cli.make_parser("groups").parse_args(["groups", *arguments]).state_dir == state_dir


@pytest.mark.parametrize("arguments", [["--help"], ["-h", "watch"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Also if a command follows: the parsers of the others are left out only where nothing can be asked about them."""
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if not re.search(rf"^ +{name} ", said, re.MULTILINE)] == []


def test_light_commands_import_nothing_heavy() -> None:
    """`--help` and the arguments of `watch` must not pay for pydantic, rich, zmq, XML-RPC or asyncio."""
    code = (
        "import sys; from shardwatch.supervisor.cli import command_line as cli\n"
        "cli.run(['--version'], None); cli.make_parser('watch')\n"
        "print(sorted({'pydantic', 'rich', 'zmq', 'xmlrpc.client', 'asyncio', 'sqlite3', 'watchdog'} & set(sys.modules)))"
    )
    done = unmeasured(code)
    assert done.stdout.splitlines()[-1] == "[]"


def test_exit_codes_are_documented() -> None:
    """Every exit code that the command line can give has its row in docs/formats.md."""
    from shardwatch.shard.contract import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ShardwatchError)]
    codes = {kind.exit_code for kind in kinds}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", FORMATS.read_text(), re.M)}
    assert codes | {0, cli.EXIT_BUG, cli.EXIT_INTERRUPTED} <= documented
