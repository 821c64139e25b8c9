"""Every block of code in the documents: it is run by a test, or there is a reason why it is not.

What follows in this file runs those that no other test runs, as they stand: what a reader has to put in (STATE_DIR, PID, URL)
is put in. Services are few, so a test goes through the blocks of several pages.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_process import ROOT, check_command, checked, put
from command_line_page import parsers
from documents import Shell, blocks, sessions, snippets
from jetstream import NatsServer
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])]
SNIPPETS = [snippet for document in DOCUMENTS for snippet in snippets(document)]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs/tutorial.md"

QUEUE = 'EventQueue(path, *, queue_size=1_000_000, lease_s=60.0, durability="process", priorities=None)'
#: (document, heading) -> the test that runs what is below the heading, or compares it with a file that is run.
RUN_BY = {
    ("README.md", "A few lines of use"): "test_the_lines_of_the_readme",
    ("README.md", "An extract stage"): "test_the_readme_shows_what_it_answers",
    ("docs/api.md", 'ExtractClient(state_dir, *, worker="", timeout_s=10.0)'): "test_the_lines_of_the_readme",
    (
        "docs/api.md",
        "find(state_dir, *patterns, changed_within_s=None, larger=None)",
    ): "test_the_example_of_the_manual_finds_what_is_large_and_new",
    ("docs/api.md", "explain(state_dir, path)"): "test_the_example_of_the_manual_says_why_a_path_is_not_watched",
    ("docs/api.md", "RealtimeFileWatcher(config)"): "test_the_examples_of_the_manual_work",
    ("docs/api.md", QUEUE): "test_a_queue_of_events",
    ("docs/changing.md", "Changing a running service"): "test_a_service_with_a_configuration",
    ("docs/configuration.md", "Configuration"): "test_a_file_to_start_from",
    ("docs/exec.md", "In the foreground"): "test_runs_in_the_foreground",
    ("docs/exec.md", "A durable worker"): "test_supervisors_own_tools",
    ("docs/exec.md", "A command that runs with the service"): "test_a_service_with_a_configuration",
    ("docs/fleet.md", "Beyond one machine"): "test_a_service_with_a_configuration",
    ("docs/fleet.md", "As a program of the service"): "test_a_service_with_a_configuration",
    ("docs/fleet.md", "What a consumer does"): "test_the_example_of_the_docs_is_the_file_that_runs",
    ("docs/fleet.md", "Batches"): "test_either_layout_has_a_stream_of_its_own",
    ("docs/fleet.md", "Workers in Python"): "test_the_example_of_the_docs_survives_the_death_of_workers",
    ("docs/install.md", "For a machine"): "test_pip_installs_a_clone_for_a_user_and_for_a_machine",
    ("docs/install.md", "A supervisord of your own"): "test_under_a_supervisord_of_the_operators_own",
    ("docs/install.md", "systemd"): "test_the_unit_restarts_what_failed_and_nothing_else",
    ("docs/maintenance.md", "Before maintenance"): "test_the_lines_of_the_readme",
    ("docs/metrics.md", "Scraping"): "test_the_lines_of_the_readme",
    ("docs/no-event.md", "An event did not come"): "test_the_lines_of_the_readme",
    ("docs/operations.md", "Completion in the shell"): "test_completion_is_written_where_a_shell_reads_it",
    ("docs/operations.md", "Logs"): "test_supervisors_own_tools",
    ("docs/operations.md", "supervisord's own tools"): "test_supervisors_own_tools",
    ("docs/protocol.md", "A small worker"): "test_the_examples_are_those_of_the_docs",
    ("docs/recipes.md", "Recipes"): "test_what_has_changed_since_yesterday",
    ("docs/recipes.md", "A linter on each saved file"): "test_a_linter_on_each_saved_file",
    ("docs/recipes.md", "Rebuild when sources change, but not when output does"): "test_output_does_not_rebuild",
    ("docs/recipes.md", "A table that equals the tree, over restarts"): "test_a_table_equals_the_tree",
    ("docs/recipes.md", "Hand-over to a program in another language"): "test_hand_over_to_another_language",
    ("docs/recipes.md", "Only Python and Markdown"): "test_only_python_and_markdown",
    ("docs/recipes.md", "What has changed since yesterday"): "test_what_has_changed_since_yesterday",
    ("docs/recipes.md", "Restart a server"): "test_restart_a_server",
    ("docs/web.md", "Running it with the service"): "test_a_service_with_a_configuration",
    ("examples/extract/README.md", "Running it"): "test_the_readme_shows_what_it_answers",
}

#: (document, heading, number of the block) -> why nobody runs it. Each is a kind that no test can run here.
_PICTURE = "a picture"
_SAID = "what is said in a case that is not at hand"
_MACHINE = "it changes the machine, or needs another one"
_REGISTRY = "it needs a registry: docker has images from one, and pipx a newer pip"
NOT_RUN = {
    ("docs/install.md", "For one user", 1): _REGISTRY,
    ("docs/install.md", "Containers", 1): _REGISTRY,
    ("README.md", "How it works", 1): _PICTURE,
    ("ARCHITECTURE.md", "Data flow", 1): _PICTURE,
    ("ARCHITECTURE.md", "Rows at rest lie in pages", 1): _PICTURE,
    ("README.md", "What is watched", 1): _SAID,
    ("docs/changing.md", "When a tree grows", 1): _SAID,
    ("docs/operations.md", "supervisord's own tools", 2): _SAID,
    ("docs/operations.md", "Limits", 1): _MACHINE,
    ("docs/web.md", "Where it listens", 1): _MACHINE,
}
#: Blocks that .ci/fresh runs as the first commands on a clean machine.
FRESH = {("README.md", "shardwatch", 1)}
#: Blocks beside one that is not run.
RUN_ALONE = {("docs/install.md", "For one user", 2): "test_pip_installs_a_clone_for_a_user_and_for_a_machine"}
#: Languages whose blocks are checked as what they are, wherever they stand, and the test that does it.
CHECKED = {
    "toml": "test_what_a_file_shows_is_a_configuration",
    "json": "test_an_example_of_output_is_valid",
    "yaml": "test_what_prometheus_is_given_is_valid",
    "ini": "test_a_unit_runs_a_command_of_ours",
}


def test_each_block_is_run_or_there_is_a_reason() -> None:
    """A block that is not run is listed by itself, and there are few. Every test that is named exists."""
    tests = " ".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in {*RUN_BY.values(), *RUN_ALONE.values(), *CHECKED.values()}:
        assert f"def {name}(" in tests, name
    known = {(snippet.document, snippet.heading) for snippet in SNIPPETS}
    assert set(RUN_BY) <= known
    left = []
    for snippet in SNIPPETS:
        place = (snippet.document, snippet.heading, snippet.number)
        run = place[:2] in RUN_BY or snippet.document == "docs/tutorial.md" or place in FRESH or place in RUN_ALONE
        if not (run or snippet.language in CHECKED or place in NOT_RUN):
            left.append(place)
    assert left == []
    assert len(NOT_RUN) <= 10
    assert {*NOT_RUN, *RUN_ALONE, *FRESH} <= {(snippet.document, snippet.heading, snippet.number) for snippet in SNIPPETS}


def _command_lines() -> Iterator[tuple[str, str]]:
    """(document, what follows `shardwatch `), of blocks and of the text between them."""
    block = r"(?:^(?:\$ )?|&& |=\S+/)shardwatch ([a-z][^\n|&>]*)"
    for snippet in SNIPPETS:
        for found in re.finditer(block, snippet.text.replace("\\\n", " "), re.MULTILINE):
            yield snippet.document, found[1].partition("  #")[0].partition("$(")[0].strip()
    for document in DOCUMENTS:
        text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for found in re.finditer(r"`shardwatch\s+([a-z][^`|&>]*)", text):
            yield document.name, found[1]


def test_every_command_that_is_named_exists() -> None:
    """With its options, also where it is only spoken of."""
    known = {parser.prog: set(parser._option_string_actions) for parser in parsers()}
    wrong = []
    for document, line in _command_lines():
        words = line.partition(" -- ")[0].split()
        prog = next((name for n in (2, 1) if (name := " ".join(["shardwatch", *words[:n]])) in known), None)
        named = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        if prog is None or named - known[prog]:
            wrong.append((document, line))
    assert wrong == []


# ---- what is run here


@pytest.fixture
def shell(tmp_path: Path, state_dir: Path) -> Shell:
    """In the directory of a reader, who has a tree with sources, and other trees."""
    folder = tmp_path / "project"
    for name in ("src/a.json", "src/b.py", "tests/test_b.py", "other/tree/c.json", "third/tree/d.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("# {}\n")
    (folder / "Makefile").write_text("generate:\n\t@echo '{}' > src/generated.json\n")
    (folder / "tests/test_b.py").write_text("def test_b():\n    pass\n")
    return Shell(folder, state_dir)


@contextmanager
def ended(shell: Shell) -> Iterator[None]:
    """Whatever happens, no service is left."""
    try:
        yield
    finally:
        shell.run("shardwatch down", check=False)


def foreground(
    shell: Shell, command: str, *, complains: str = "", says: str = "", deed: Callable[[], object] = lambda: None, then: str = ""
) -> None:
    """Runs a command that goes on: it complains of this or says this, a deed is done, then it says that, and Ctrl-C ends it."""
    with shell.begin(command) as going:
        if complains:
            going.complains(complains)
        for wanted in (says, then):
            while wanted and wanted not in going.line().decode():
                pass
            deed()
            deed = lambda: None  # noqa: E731
        assert going.end(signal.SIGINT) in (0, 130), going.errors()


def python(document: Path, heading: str) -> dict[str, Any]:
    """The names that an example in Python defines."""
    names: dict[str, Any] = {}
    (example,) = blocks(document, heading, "python")
    exec(example, names)
    return names


def change(path: Path) -> Callable[[], None]:
    return lambda: put(path, f"# {path.read_text()}" if path.exists() else "{}")


def test_the_lines_of_the_readme(shell: Shell, state_dir: Path) -> None:
    """Each, in their order, with one service; what other pages do with a service that runs, before its end."""
    (lines,) = blocks(README, "A few lines of use")
    source = shell.folder / "src/b.py"
    written = change(shell.folder / "src/a.json")

    def written_for_lint() -> None:
        eventually(lambda: shell.run("shardwatch groups info lint", check=False).returncode == 0)
        written()

    going = {
        "watch": lambda line: foreground(shell, line, says='"ready"', deed=written, then='"event"'),
        "exec src/": lambda line: foreground(shell, line, complains="ready:", deed=change(source), then="passed"),
        "exec --group": lambda line: foreground(shell, line, deed=written_for_lint, then="passed"),
        "logs --follow": lambda line: foreground(shell, line, says="coordinator"),
        "web": lambda line: foreground(shell, line.replace("8000", "0"), complains="http://127.0.0.1:"),
        "top": lambda line: on_terminal(shell, line),
    }
    printed: dict[str, str] = {}
    with ended(shell):
        for line in lines.splitlines():
            words = line.removeprefix("shardwatch ")
            start = next((start for start in going if words.startswith(start)), None)
            if start:
                going[start](line)
            elif words.startswith("down"):
                work = python(ROOT / "docs/api.md", 'ExtractClient(state_dir, *, worker="", timeout_s=10.0)')["work"]
                with pytest.raises(KeyboardInterrupt):
                    work(state_dir, interrupt)
                (scraped,) = blocks(ROOT / "docs/metrics.md", "Scraping")
                going["web"](scraped.replace("9464", "0"))
                (ask,) = blocks(ROOT / "docs/no-event.md", "An event did not come")
                assert "b.py" in shell.run(ask.replace("PATH", "src/b.py")).stdout
                shell.run("shardwatch groups drop facts")  # what the worker had is on lease
                shell.run("shardwatch pull --group lint")
                (last,) = blocks(ROOT / "docs/maintenance.md", "Before maintenance")
                shell.run(last)
                assert shell.run("shardwatch status", check=False).returncode == 3
            else:
                done = shell.run(line, check=False)
                assert done.returncode in ((0, 1) if words.startswith(("status", "audit")) else (0,)), (line, done.stderr)
                printed[words.partition("#")[0].strip()] = done.stdout
    assert f"{shell.folder}/src/a.json" in printed["pull --group facts --from start --json"]
    assert "src/generated.json" in printed["find '*.json' --changed-within 1h"]
    assert printed["since"].startswith("c:")
    assert (shell.folder / "shardwatch.toml").exists()


def interrupt(events: Sequence[object], fresh: bool) -> None:
    """In place of an extract stage: somebody stops the worker at its first batch."""
    assert fresh or events
    raise KeyboardInterrupt


def on_terminal(shell: Shell, line: str) -> None:
    terminal = shell.on_terminal(line)
    terminal.shows("watching")
    terminal.press("q")
    assert terminal.end() == 0


def test_the_tutorial(shell: Shell, state_dir: Path) -> None:
    """Each block below its heading, in the order of the page. `make run` is what test_demo.py runs."""
    headings = [
        "Watch a tree of your own", "Run a service", "Be a worker", "Kill a part of it", "Run a command for each change",
        "Ask about a path", "Stop",
    ]  # fmt: skip
    install = [snippet.heading for snippet in SNIPPETS if snippet.document == "docs/tutorial.md"]
    assert list(dict.fromkeys(install)) == ["See it work", *headings]
    (make, watch), (up, status), (start, later) = (blocks(TUTORIAL, heading) for heading in headings[:3])
    (kill,), (execute,), (explain,), (down,) = (blocks(TUTORIAL, heading) for heading in headings[3:])
    shell.run(make)
    one = shell.folder / "play/src/one.json"
    foreground(shell, watch, says="state ", deed=change(one), then="src/one.json")
    with ended(shell):
        shell.run(up)
        assert "healthy" in shell.run(status).stdout
        said = shell.run(start).stdout
        assert "one.json" in said and "two.json" in said
        said = shell.run(later).stdout
        assert "three.json" in said and "deleted" in said and "two.json" not in said
        (row,) = (row for row in shell.run(status).stdout.splitlines() if row.startswith("shards:s0"))
        said = shell.run(kill.replace("PID", row.split()[2])).stdout
        assert "two.json" in said and "three.json" not in said
        foreground(shell, execute, says="two.json")
        left_out, kept = shell.run(explain).stdout.split(f"{shell.folder}/play/src/two.json")
        assert "notes.txt" in left_out and kept
        shell.run(down)


def test_supervisors_own_tools(shell: Shell, state_dir: Path) -> None:
    """On the service of exec's page; the last one ends it."""
    up, work = blocks(ROOT / "docs/exec.md", "A durable worker")[0].splitlines()
    tools, _ = blocks(ROOT / "docs/operations.md", "supervisord's own tools")
    with ended(shell):
        shell.run(up)
        foreground(shell, work.replace("exec", "exec --initial", 1), says="passed")
        (levels,) = blocks(ROOT / "docs/operations.md", "Logs")
        shell.run(levels.replace("ID", "s0"))
        for line in tools.splitlines():
            done = shell.run(line.replace("STATE_DIR", str(state_dir)).replace(":ID", ":s0"))
            assert done.stdout or "shutdown" not in line, done
        eventually(lambda: shell.run("shardwatch status", check=False).returncode == 3)


def test_runs_in_the_foreground(shell: Shell) -> None:
    """As exec's page begins."""
    lint, test, serve = blocks(ROOT / "docs/exec.md", "In the foreground")[0].splitlines()
    change_source = change(shell.folder / "src/b.py")
    foreground(shell, lint, complains="ready:", deed=change_source, then="passed")
    foreground(shell, test, complains="ready:", deed=change_source, then="1 passed")
    foreground(shell, serve.replace("http.server", "http.server 0").replace("python", "python -u"), says="Serving HTTP")


def test_a_file_to_start_from(shell: Shell) -> None:
    """`shardwatch init` says what the page says, except for the numbers and the place."""
    ((command, output),) = sessions(blocks(ROOT / "docs/configuration.md", "Configuration")[0])
    said = shell.run(command).stdout
    shape = re.sub(r"\d[\d,]*", r"\\d+", re.escape(output.strip()).replace("/home/you/project", re.escape(str(shell.folder))))
    assert re.match(shape, said.strip()), said


def test_completion_is_written_where_a_shell_reads_it(shell: Shell) -> None:
    """Into directories of the home directory."""
    (lines,) = blocks(ROOT / "docs/operations.md", "Completion in the shell")
    places = re.findall(r"> ~/(\S+)", lines)
    for place in places:
        (shell.folder / place).parent.mkdir(parents=True, exist_ok=True)
    shell.run(f'HOME="{shell.folder}"\n{lines}')
    assert len(places) == 3 and all("shardwatch" in (shell.folder / place).read_text() for place in places)


def test_a_queue_of_events(tmp_path: Path) -> None:
    """The example of EventQueue."""
    work = python(ROOT / "docs/api.md", QUEUE)["work"]
    assert asyncio.run(work(tmp_path)) == (True, 1)


@pytest.mark.needs("nats-server")
def test_a_service_with_a_configuration(shell: Shell, state_dir: Path, server: NatsServer) -> None:
    """The sections of exec's and the fleet's pages, what the latter does by hand, and a reload that changes them."""
    fleet = ROOT / "docs/fleet.md"
    (lint,) = blocks(ROOT / "docs/exec.md", "A command that runs with the service", "toml")
    (ship,) = blocks(fleet, "As a program of the service", "toml")
    _, _, by_hand = blocks(fleet, "Beyond one machine")[0].splitlines()
    (over,) = blocks(fleet, "As a program of the service")
    (web,) = blocks(ROOT / "docs/web.md", "Running it with the service", "toml")
    roots = 'roots = ["src"]\n'
    assert lint.startswith(roots) and ship.startswith(roots) and web.startswith(roots)
    web = web.removeprefix(roots).replace("9464", "0")  # another service may run on this machine
    ship = re.sub(r'"tls://[^"]*"', f'"{server.url}"', ship.removeprefix(roots))
    ship = re.sub(r"^credentials = .*\n", "", ship, flags=re.MULTILINE)  # this server has no users
    file = shell.folder / "shardwatch.toml"

    def runs(program: str) -> bool:
        return re.search(rf"^{program} +RUNNING", shell.run("shardwatch status", check=False).stdout, re.MULTILINE) is not None

    with ended(shell):
        file.write_text(f"{roots}settle_ms = 50\n{lint.removeprefix(roots)}")
        shell.run("shardwatch up --detach")
        eventually(lambda: runs("exec:lint"))
        foreground(shell, by_hand.replace("nats://broker:4222", server.url), complains="shipping build-7")

        other = shell.folder / "b"
        other.mkdir()
        lint = lint.removeprefix(roots).replace("jobs = 4", "jobs = 2")
        file.write_text(f'roots = ["src", "b"]\nsettle_ms = 20\n{lint}')
        ((command, output),) = sessions(blocks(ROOT / "docs/changing.md", "Changing a running service")[0])
        assert shell.run(command).stdout == output.replace("/srv/b", str(other))

        file.write_text(f"{file.read_text()}{ship}{web}")
        shell.run(command)
        eventually(lambda: runs("ship") and runs("web"))
        stop, take_over, start = over.replace("STATE_DIR", str(state_dir)).replace("URL", server.url).splitlines()
        shell.run(stop)
        foreground(shell, take_over, complains="shipping build-7")
        shell.run(start)
        eventually(lambda: runs("ship"))


def test_an_example_of_output_is_valid() -> None:
    """Every block of JSON is valid under the schema of what it shows."""
    commands = {"dead": "dead", "file": "find", "cursor": "since"}
    shown = [json.loads(snippet.text) for snippet in SNIPPETS if snippet.language == "json"]
    assert len(shown) >= 8
    for line in shown:
        if line["type"] in commands:
            check_command(commands[line["type"]], line)
        else:
            checked(line)


def test_what_a_file_shows_is_a_configuration(shell: Shell) -> None:
    """Every block of TOML is taken as it stands."""
    shown = [snippet.text for snippet in SNIPPETS if snippet.language == "toml"]
    assert len(shown) >= 4
    for text in shown:
        (shell.folder / "shardwatch.toml").write_text(text)
        shell.run("shardwatch config")


@pytest.mark.needs("promtool")
def test_what_prometheus_is_given_is_valid(tmp_path: Path) -> None:
    """The page's configuration alone, and with what a token adds to it."""
    whole, more = blocks(ROOT / "docs/metrics.md", "Scraping", "yaml")
    assert len([snippet for snippet in SNIPPETS if snippet.language == "yaml"]) == 2
    for text in (whole, whole.rstrip() + "\n" + more):
        file = tmp_path / "prometheus.yml"
        file.write_text(text)
        subprocess.run(["promtool", "check", "config", "--syntax-only", file], check=True, capture_output=True)


def test_a_unit_runs_a_command_of_ours() -> None:
    """Each unit of systemd has a command that exists (its options are looked at above), and the paths of the installation."""
    command = r"^ExecStart=/opt/shardwatch/bin/shardwatch (up|web) .*--state-dir /var/lib/shardwatch$"
    for snippet in SNIPPETS:
        if snippet.text.startswith("[Unit]"):
            assert re.search(command, snippet.text, re.MULTILINE)
