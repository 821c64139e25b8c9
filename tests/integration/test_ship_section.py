"""`[ship]` in a configuration: supervisord runs `ship` beside the other programs of a service, and `status` shows it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from cli_process import put, run
from jetstream import NatsServer, everything
from nats.js.client import JetStreamContext
from session import deliver
from waiting import eventually

pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.usefixtures("no_leaks")]

#: Guard of everything that includes that programs are started again.
GUARD_S = 90.0


def status(state_dir: Path) -> dict[str, Any]:
    return dict(json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout))


def program(state_dir: Path) -> dict[str, Any]:
    """What supervisord says of it."""
    return dict(eventually(lambda: [row for row in status(state_dir)["processes"] if row["name"] == "ship"], GUARD_S)[0])


def shipped(server: NatsServer) -> set[str]:
    """The names of the files that the stream has."""
    return {Path(body["path"]).name for _, body in everything(server, "shardwatch") if body["type"] == "event"}


def test_ship_is_a_program_of_the_service(state_dir: Path, tmp_path: Path, server: NatsServer) -> None:
    """It waits for a server that is away, says what is wrong and what helps, goes on by itself when it is mended, and is
    replaced when it hangs, although its section was removed meanwhile. It does not end because something is wrong.
    """
    tree = tmp_path / "watched"
    tree.mkdir()
    put(tree / "a.json", "1")
    section = f'[ship]\nurl = "{server.url}"\nsource = "one"\ncreate = true\n'
    (tmp_path / "shardwatch.toml").write_text(f'roots = ["watched"]\n{section}')

    def reported(words: str) -> dict[str, Any] | None:
        found = status(state_dir)
        return found if found["health"] == "degraded" and words in (found["ship"] or {}).get("error", "") else None

    def all_is_well() -> dict[str, Any] | None:
        ship = dict(status(state_dir)["ship"] or {"connected": False})
        return ship if ship["connected"] and ship["complete"] and ship["behind"] == 0 and not ship["error"] else None

    server.kill()
    try:
        run("up", "--detach", "--state-dir", state_dir, cwd=tmp_path)
        found = eventually(lambda: reported("no NATS server answers"), GUARD_S)
        assert not found["ship"]["connected"]
        remedies = [one["remedy"] for one in found["findings"] if "nothing is shipped" in one["message"]]
        assert remedies == [found["ship"]["remedy"]] and "start one" in remedies[0]

        server.start()
        well = eventually(all_is_well, GUARD_S)
        assert (well["source"], well["stream"], well["server"], well["unconfirmed"]) == ("one", "shardwatch", server.url, 0)
        assert {"watched", "a.json"} >= shipped(server) >= {"a.json"}
        table = run("status", "--state-dir", state_dir, check=False).stdout
        assert f"shardwatch at {server.url}" in table and str(well["generation"]) in table

        async def other_settings(js: JetStreamContext) -> None:
            await js.delete_stream("shardwatch")
            await js.add_stream(name="shardwatch", subjects=["shardwatch.>"])

        server.ask(other_settings)
        put(tree / "b.json", "1")
        found = eventually(lambda: reported("can't be used"), GUARD_S)
        assert "discard is old" in found["ship"]["error"] and "nats stream edit" in found["ship"]["remedy"]
        server.ask(lambda js: js.delete_stream("shardwatch"))
        again = eventually(all_is_well, GUARD_S)
        assert again["generation"] > well["generation"] and shipped(server) >= {"a.json", "b.json"}
        before = program(state_dir)
        assert before["deaths"] <= before["hung"], "it went on, whatever was wrong"

        (state_dir / "ship-section.json").unlink()  # as a cleaner does; it is made again
        deliver(before["pid"], signal.SIGSTOP)
        eventually(lambda: program(state_dir)["pid"] not in (before["pid"], 0, None), GUARD_S)
        put(tree / "c.json", "1")
        eventually(lambda: "c.json" in shipped(server), GUARD_S)
        assert program(state_dir)["hung"] > before["hung"]
    finally:
        run("down", "--state-dir", state_dir, check=False)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("[ship]\npartitions = 0", "[ship]: 0 is no number of partitions"),
        ('[ship]\nurl = "nats://u:secret@h"', "the url has credentials"),
    ],
    ids=lambda value: value.rpartition("\n")[2] if isinstance(value, str) else "",
)
def test_a_section_that_is_wrong(state_dir: Path, tmp_path: Path, section: str, complaint: str) -> None:
    """One line that names it, exit code 2, and nothing is started; `config` says the same."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "shardwatch.toml").write_text(f'roots = ["watched"]\n{section}\n')
    for command in (["up", "--detach", "--state-dir", state_dir], ["config"]):
        done = run(*command, cwd=tmp_path, check=False)
        assert (done.returncode, complaint in done.stderr, "secret" in done.stderr) == (2, True, False), done.stderr
