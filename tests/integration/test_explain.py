"""`shardwatch explain` and `shardwatch.explain`: why an event of a path came, or did not come."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_process import checked_explanation, put
from cli_process import run as cli
from running import Running, running, settings_for

from shardwatch import NotRunningError, UsageError, explain

pytestmark = pytest.mark.usefixtures("no_leaks")


def _explained(state_dir: Path, path: Path | str | bytes, **more: Any) -> dict[str, Any]:
    done = cli("explain", path, "--json", "--state-dir", state_dir, **more)
    return checked_explanation(json.loads(done.stdout))


def _standings(found: dict[str, Any]) -> dict[str, str]:
    """Group -> standing, of the path's one row."""
    (row,) = found["rows"]
    return {group["name"]: group["standing"] for group in row["groups"]}


def _settled(service: Running, path: Path) -> dict[str, Any]:
    """The explanation once everything that was done before is in the index."""
    service.client.sync(60, patience_s=60)
    return _explained(service.layout.state_dir, path)


def test_a_change_is_explained_from_the_disk_to_the_groups(
    tree: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is watched: as JSON, as text, and in Python; while it is handed out, and when it is deleted. And without the
    service."""
    path = tree / "pkg" / "a.ast.json"
    with running(state_dir, settings_for(tree, shards=2)) as service:
        client = service.client
        client.ready(60)
        for group in ("done", "busy"):
            client.create(group, from_="start")
        for batch in client.batches("done", follow=False):
            batch.ack()
        held = client.pull("busy", lease_s=3600)
        assert held is not None
        found = _settled(service, path)
        assert (found["watched"], found["why"], found["running"], found["answering"]) == (True, "kept", True, True)
        assert (found["root"], found["disk"]["what"], found["disk"]["size"]) == (str(tree), "file", path.stat().st_size)
        assert (found["rule"]["option"], found["rule"]["origin"]) == ("include", "default")
        assert found["owner"]["shard"] in {row["id"] for row in client.status()["shards"]}
        (row,) = found["rows"]
        assert (row["exists"], row["agrees"], row["size"], row["mtime_ns"]) == (
            True, True, path.stat().st_size, path.stat().st_mtime_ns,
        )  # fmt: skip
        assert _standings(found) == {"done": "acknowledged", "busy": "leased"}

        put(path, "longer than before")
        found = _settled(service, path)
        assert _standings(found) == {"done": "pending", "busy": "held"}
        text = cli("explain", path, "--state-dir", state_dir).stdout.splitlines()
        assert text[0] == f"{path}: watched"
        tick = found["rows"][0]["tick"]
        assert f"  Group done has not come to the change {tick} yet: it is pending." in text
        same = explain(state_dir, path)
        assert (same.path, same.watched, same.fields["rows"]) == (str(path), True, found["rows"])
        assert [f"  {sentence}" for sentence in same.sentences if sentence.startswith("Group ")] == [
            line for line in text if line.startswith("  Group ")
        ]

        held.ack()
        path.unlink()
        found = _settled(service, path)
        assert (found["watched"], found["disk"]["what"], found["rows"][0]["exists"]) == (True, "nothing", False)
        assert _standings(found) == {"done": "pending", "busy": "pending"}
    found = _explained(state_dir, path)
    assert (found["running"], found["rows"][0]["exists"], found["rows"][0]["groups"]) == (False, False, None)
    assert "No service runs now" in cli("explain", path, "--state-dir", state_dir).stdout
    gone = tree.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert explain(state_dir, path).watched is True, "an absolute path needs no working directory"


def test_what_is_not_watched_says_by_which_rule(tree: Path, state_dir: Path) -> None:
    """Outside of the roots, left out by a pattern, special, behind a link, too long; paths of every form."""
    (tree / "link").symlink_to("pkg")
    os.mkfifo(tree / "pipe.ast.json")
    odd = os.fsencode(tree) + b"/odd\xff.ast.json"
    Path(os.fsdecode(odd)).write_text("{}")
    (tree.parent / "beside").symlink_to(tree)
    with running(state_dir, settings_for(tree)) as service:
        service.client.ready(60)

        def why(path: Path | str) -> tuple[bool | None, str]:
            found = explain(state_dir, path)
            return found.watched, checked_explanation(found.fields)["why"]

        assert why("/") == (False, "outside")
        assert why(tree.parent) == (False, "outside")
        assert why(tree) == (True, "root")
        assert why(tree / "pkg") == (True, "kept")
        assert why(tree / "pkg" / "a.py") == (False, "left out")
        assert why(tree / "none" / "a.ast.json") == (True, "kept")
        assert why(tree / "pipe.ast.json") == (False, "special")
        assert why(tree / "link" / "a.ast.json") == (False, "link")
        assert why(f"{tree}/{'d/' * 4100}a.ast.json") == (False, "too long")
        assert why(state_dir / "index.db") == (False, "outside")
        rule = checked_explanation(explain(state_dir, tree / "node_modules" / "x" / "package.json").fields)["rule"]
        assert (rule["pattern"], rule["at"], rule["origin"]) == ("**/node_modules/**", str(tree / "node_modules"), "default")
        link = explain(state_dir, tree.parent / "beside" / "main.ast.json")
        assert (link.watched, link.path, link.fields["given"]) == (
            True, str(tree / "main.ast.json"), str(tree.parent / "beside" / "main.ast.json"),
        )  # fmt: skip
        found = _explained(state_dir, odd)
        assert (found["path"], found["watched"], found["rows"][0]["agrees"]) == (odd.decode(errors="replace"), True, True)
        assert os.fsencode(explain(state_dir, odd).path) == odd
        relative = _explained(state_dir, "../pkg/./b.ast.json", cwd=tree / "ast")
        assert relative["path"] == str(tree / "pkg" / "b.ast.json")
        assert _explained(state_dir, "new.json/", cwd=tree)["is_directory"] is True


def test_the_example_of_the_manual_says_why_a_path_is_not_watched(tree: Path, state_dir: Path) -> None:
    """docs/api.md, as it is printed there; the service need not run any more."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (example,) = (block for part in text.split("```python\n")[1:] if "import explain\n" in (block := part.split("```")[0]))
    names: dict[str, Any] = {}
    exec(example, names)
    with running(state_dir, settings_for(tree)):
        pass
    assert names["why_not"](state_dir, tree / "main.ast.json") == []
    sentences = names["why_not"](state_dir, tree / "pkg" / "a.py")
    assert sentences[0] == f"It lies below the root {tree}."
    assert sentences[1].startswith("No pattern of `include` matches it: it is *.json, ")


def test_a_pattern_is_traced_to_its_line_and_the_service_is_found_by_the_path(
    tmp_path: Path, tree: Path, state_dir: Path
) -> None:
    """As a user meets it: a configuration file, and a command without any option, from another directory."""
    config = tmp_path / "shardwatch.toml"
    config.write_text(f'roots = ["{tree}"]\n# patterns\nexclude = [\n  "one/",\n  "pkg/deep/",\n]\n')
    config.chmod(0o600)
    environ = {"XDG_STATE_HOME": str(state_dir)}
    cli("up", "--detach", "-c", config, environ=environ)
    try:
        done = cli("explain", tree / "pkg/deep/er/c.ast.json", environ=environ, cwd="/")
    finally:
        cli("down", "-c", config, environ=environ)
    where = f"leaves out the directory {tree}/pkg/deep above it; it comes from: file {config}, line 5."
    assert f"  The pattern pkg/deep/ of `exclude` {where}\n" in done.stdout


def test_where_no_service_has_ever_run_it_says_so(tmp_path: Path) -> None:
    """Exit code 3, one line; the same error in Python. A wrong argument is a UsageError."""
    done = cli("explain", tmp_path, "--state-dir", tmp_path / "none", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("shardwatch: error: no service has run in ")
    with pytest.raises(NotRunningError):
        explain(tmp_path / "none", tmp_path)
    for wrong in ("", "a\0b", 3):
        with pytest.raises(UsageError):
            explain(tmp_path / "none", wrong)  # type: ignore[arg-type]
    assert cli("explain", "", "--state-dir", tmp_path, check=False).returncode == 2
