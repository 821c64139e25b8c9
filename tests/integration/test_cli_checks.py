"""`plan`, `doctor`, `config`, and wrong input: what needs no service, and what must not leave one."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_process import environment, run

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_plan_shows_shards_and_limits_and_starts_nothing(tmp_path: Path, state_dir: Path) -> None:
    """Anchors, weights, balance and limits; the state directory is not even made."""
    for i in range(40):
        (tmp_path / f"d{i}").mkdir()
        for j in range(20):
            (tmp_path / f"d{i}/{j}.json").touch()
    state = state_dir / "s"
    environ = {"SHARDWATCH_STATE_DIR": str(state)}
    plan = json.loads(run("plan", "--json", "--shards", "3", tmp_path, environ=environ).stdout)
    assert (plan["format"], plan["files"], plan["directories"], plan["exact"]) == (1, 800, 41, True)
    assert len(plan["shards"]) == 3
    assert plan["balance"] <= 1.2
    assert sum(s["share"] for s in plan["shards"]) == pytest.approx(1, abs=0.01)
    assert sum(a["files"] for s in plan["shards"] for a in s["anchors"]) == 800
    assert plan["limits"]["max_user_watches"] > 0
    text = run("plan", "--shards", "3", tmp_path, environ=environ).stdout
    assert "800 files" in text and "3 shards" in text and str(tmp_path) in text and "watches:" in text
    assert not state.exists()


def test_config_can_be_checked_without_a_service(tmp_path: Path, state_dir: Path) -> None:
    """As `up` and `reload` do it: roots, the state directory and the commands of sections, too. Nothing is made."""
    file, state = tmp_path / "shardwatch.toml", state_dir / "s"

    def check(text: str, *more: str) -> subprocess.CompletedProcess[str]:
        file.write_text(text)
        return run("config", "--check", "-c", file, "--state-dir", state, *more, check=False)

    (tmp_path / "tree").mkdir()
    good = check('roots = ["tree"]\n')
    assert (good.returncode, good.stdout, good.stderr) == (0, f"the configuration is valid ({file})\n", "")
    assert json.loads(check('roots = ["tree"]\n', "--json").stdout)["options"]["roots"]["value"] == [str(tmp_path / "tree")]
    later = check('roots = ["later"]\nwait_for_roots = true\n[exec.x]\ncommand = ["no-such-program", "{}"]\n')
    assert later.returncode == 0 and "later does not exist: waiting" in later.stderr and "no-such-program" in later.stderr
    for text, words in (
        ('roots = ["later"]\n', "set wait_for_roots"), ('roots = ["tree"]\nsettle_ms = -1\n', "settle_ms = -1"),
        ("roots = []\n", "no directory to watch"), ("roots = [", "not valid TOML"),
    ):  # fmt: skip
        bad = check(text)
        assert (bad.returncode, bad.stdout) == (2, "") and words in bad.stderr
    file.write_text('roots = ["tree"]\n')
    too_long = run("config", "--check", "-c", file, "--state-dir", state / ("n" * 100), check=False)
    assert too_long.returncode == 2 and "too long for its sockets" in too_long.stderr
    for place, words in ((tmp_path, "is not empty, and not a state directory"), (file, "is not a directory")):
        taken = run("config", "--check", "-c", file, "--state-dir", place, check=False)
        assert taken.returncode == 2 and words in taken.stderr
    assert not state.exists()


def test_doctor_is_content_with_a_good_place(tree: Path, state_dir: Path) -> None:
    """Limits, filesystem, versions; exit 0 and no finding."""
    done = run("doctor", "--json", tree, "--state-dir", state_dir / "s")
    found = json.loads(done.stdout)
    assert found["ok"] and found["findings"] == []
    assert found["roots"][0]["path"] == str(tree) and not found["roots"][0]["polled"]
    assert found["limits"]["watches_needed"] >= 5
    assert found["versions"]["supervisor"].startswith("4.3")
    assert not found["state_dir"]["exists"] and found["state_dir"]["writable"]
    text = run("doctor", tree, "--state-dir", state_dir / "s").stdout
    assert "all is well" in text and "inotify watches" in text
    assert not (state_dir / "s").exists()


@pytest.mark.parametrize(("value", "states"), [("0", {"turned off"}), ("1", {"in use", "not built"})])
def test_doctor_says_whether_native_code_is_in_use(value: str, states: set[str], state_dir: Path) -> None:
    """As JSON and in words; what a service that is started here would use."""
    environ = {"SHARDWATCH_NATIVE": value, "XDG_STATE_HOME": str(state_dir)}
    found = json.loads(run("doctor", "--json", cwd=state_dir, environ=environ).stdout)["native_code"]
    assert found in states
    assert f"native code: {found}" in run("doctor", cwd=state_dir, environ=environ).stdout


def test_native_code_is_turned_off_in_one_way(state_dir: Path) -> None:
    """Another value than 0 and 1 is a mistake."""
    done = run("doctor", environ={"SHARDWATCH_NATIVE": "off"}, cwd=state_dir, check=False)
    assert done.returncode == 2
    assert "SHARDWATCH_NATIVE is 'off'" in done.stderr


def test_doctor_without_roots_looks_at_the_machine(state_dir: Path) -> None:
    """No root is needed to ask about limits and versions."""
    found = json.loads(run("doctor", "--json", cwd=state_dir, environ={"XDG_STATE_HOME": str(state_dir)}).stdout)
    assert found["roots"] == [] and "watches_needed" not in found["limits"]


def test_doctor_names_what_is_wrong_with_its_remedy(tmp_path: Path, state_dir: Path) -> None:
    """A missing root and a state directory whose path is too long: exit 1, and a remedy for each."""
    long = state_dir / ("x" * 100)
    done = run("doctor", "--json", tmp_path / "nowhere", "--state-dir", long, check=False)
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) == 2 and all(f["message"] and f["remedy"] for f in findings)
    text = run("doctor", tmp_path / "nowhere", "--state-dir", long, check=False).stdout
    assert text.count("! ") == 2 and text.count("-> ") == 2


def test_doctor_says_of_a_state_directory_what_up_says(tree: Path, state_dir: Path) -> None:
    """What is there for another purpose, or lies below a file: a finding in the words with which `up` refuses it."""
    program = state_dir.parent / "program"
    program.write_text("")
    program.chmod(0o755)
    for place in (program, program / "below", tree):
        refused = run("up", "--detach", tree, "--state-dir", place, check=False)
        assert refused.returncode == 2, refused.stderr
        done = run("doctor", "--json", tree, "--state-dir", place, check=False)
        (finding,) = json.loads(done.stdout)["findings"]
        assert done.returncode == 1
        assert refused.stderr.strip() == f"shardwatch: error: {finding['message']} ({finding['remedy']})"


def test_config_tells_values_and_origins(tmp_path: Path) -> None:
    """Default, file, environment and command line, each named."""
    config = tmp_path / "my.toml"
    config.write_text('settle_ms = 70\nroots = ["src"]\n')
    config.chmod(0o600)
    environ = {"SHARDWATCH_POLL_MS": "500"}
    done = run("config", "--json", "-c", config, "--shards", "2", "--exclude", "*.x", environ=environ, cwd=tmp_path)
    found = json.loads(done.stdout)
    options = found["options"]
    assert found["config_file"] == str(config)
    assert options["settle_ms"] == {"value": 70, "origin": f"file {config}"}
    assert options["poll_ms"] == {"value": 500, "origin": "env SHARDWATCH_POLL_MS"}
    assert options["shards"] == {"value": 2, "origin": "command line"}
    assert options["roots"]["value"] == [str(tmp_path / "src")]
    assert options["backend"] == {"value": "auto", "origin": "default"}
    assert "*.x" in options["exclude"]["value"] and "**/node_modules/**" in options["exclude"]["value"]
    text = run("config", "-c", config, cwd=tmp_path).stdout
    assert re.search(rf"^settle_ms +{re.escape(f'= 70  # file {config}')}$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) < 200
    assert "**/node_modules/**" in tomllib.loads(text)["exclude"], "long lists in several lines, as TOML"


WRONG = {
    "a missing root": ["nowhere"],
    "a pipe as root": ["pipe"],
    "no root at all": [],
    "a bad glob": ["tree", "--include", "a/[b"],
    "too many shards": ["tree", "--shards", "100000"],
    "negative shards": ["tree", "--shards", "-1"],
    "a negative quiet time": ["tree", "--settle-ms", "-5"],
    "a state directory that is a file": ["tree", "--state-dir", "file"],
    "a state directory below a file": ["tree", "--state-dir", "file/x"],
    "a state directory whose path is too long": ["tree", "--state-dir", "s" * 120],
    "a state directory with something else in it": ["tree", "--state-dir", "."],
    "a missing configuration file": ["tree", "-c", "none.toml"],
    "a configuration that is no TOML": ["tree", "-c", "bad.toml"],
    "an unknown option in the configuration": ["tree", "-c", "unknown.toml"],
    "a bad value in the configuration": ["tree", "-c", "value.toml"],
}


@pytest.mark.parametrize("command", [["watch"], ["watch", "--json"], ["up"], ["up", "--detach"]], ids=" ".join)
@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_input_is_one_line_with_a_remedy(case: str, command: list[str], tmp_path: Path, state_dir: Path) -> None:
    """One line on standard error, code 2, nothing on standard output, and nothing new on disk."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for name, content in {
        "bad.toml": "roots = [",
        "unknown.toml": "shard_count = 3\n",
        "value.toml": 'settle_ms = "soon"\n',
    }.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    temporary = state_dir / "t"
    temporary.mkdir()
    environ = {"TMPDIR": str(temporary), "XDG_STATE_HOME": str(state_dir / "x")}
    before = sorted(tmp_path.rglob("*"))
    done = run(*command, *WRONG[case], cwd=tmp_path, environ=environ, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("shardwatch: error: ")
    assert sorted(tmp_path.rglob("*")) == before
    assert list(temporary.iterdir()) == []
    assert not (state_dir / "x").exists()


def obey_permissions() -> None:
    """root without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (1, 2) is refused like anybody; others are already."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):
            assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP, prctl(2)


def test_an_unreadable_root_or_state_dir_is_refused(tmp_path: Path, state_dir: Path) -> None:
    """Permission denied is said before anything starts."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    try:
        for arguments in ([locked], [tmp_path, "--state-dir", locked], [tmp_path, "--state-dir", locked / "s"]):
            done = run("watch", *arguments, check=False, preexec_fn=obey_permissions)
            assert done.returncode == 2, done.stderr
            (line,) = done.stderr.splitlines()
            assert str(locked) in line
    finally:
        locked.chmod(0o700)
    assert list(locked.iterdir()) == []


def test_messages_survive_paths_that_are_not_utf8(tmp_path: Path, state_dir: Path) -> None:
    """A missing root of any bytes is named in one line of valid UTF-8."""
    done = run("watch", os.fsencode(tmp_path) + b"/\xff\n\x1b[2J", check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "\x1b" not in line


def test_a_closed_standard_error_does_no_harm(tmp_path: Path) -> None:
    """An error that nobody can read is still an exit code."""
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "watch", str(tmp_path / "nowhere")]
    shell = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, env=environment(), timeout=60, check=False).returncode in (0, 2)
