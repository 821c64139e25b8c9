"""The section `[web]` becomes the arguments of `shardwatch web`, and the files that it names."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.section_file import read_section, write_section
from shardwatch.shard.contract.state.web_section import WebSection
from shardwatch.supervisor.cli.commands.web import section_options, unservable
from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.config.web_section import web_section_of

BASE = Path("/etc/x")


def test_a_section_is_the_arguments_of_web() -> None:
    """Files are relative to the file of the section."""
    section = web_section_of({"port": 9464, "host": "::", "token_file": "web.token"}, "file f", BASE)
    assert section == WebSection(arguments=("--port=9464", "--host=::"), token_file=b"/etc/x/web.token")
    given = section_options(section)
    assert (given.port, given.host, given.socket, given.token_file) == (9464, "::", None, "/etc/x/web.token")
    assert web_section_of({}, "file f", BASE) == WebSection(arguments=())
    assert section_options(web_section_of({"socket": "/run/\udcff"}, "file f", BASE)).socket == "/run/\udcff"


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        (3, "web is no section"),
        ({"port": "9464"}, "port = '9464' must be a whole number, without quotes"),
        ({"port": True}, "port = True must be a whole number"),
        ({"host": 1}, "host = 1 must be a text"),
        ({"token_file": ""}, "token_file = '' must be a text"),
        ({"token": "secret"}, "unknown option 'token'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(section: Any, complaint: str) -> None:
    """With the file and the section, and nothing that is secret."""
    with pytest.raises(UsageError, match="file f: ") as raised:
        web_section_of(section, "file f", BASE)
    assert complaint in raised.value.message and "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"port": 65536}, "[web]: port 65536 is out of range"),
        ({"host": "::1"}, "[web]: host needs port"),
        ({"host": "::1", "port": 1}, "[web]: host needs token_file"),
        ({"socket": "s", "port": 1}, "[web]: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_command_refuses(section: dict[str, Any], complaint: str) -> None:
    """A program of the service makes no token, which nobody would see."""
    with pytest.raises(UsageError) as raised:
        section_options(web_section_of(section, "file f", BASE))
    assert raised.value.message.startswith(complaint)
    assert raised.value.hint


def test_what_is_missing_is_said_and_the_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the token, and the extra."""
    section = web_section_of({"port": 0, "token_file": "token"}, "file f", tmp_path)
    (said,) = unservable(section)
    assert "no token can be read" in said and "everything else runs" in said
    (tmp_path / "token").write_text("0123456789abcdef\n")
    assert unservable(section) == []
    known = importlib.util.find_spec

    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "uvicorn" else known(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    (said,) = unservable(section)
    assert "needs uvicorn (pip install 'shardwatch[web]'); everything else runs" in said


def test_a_configuration_has_it(tmp_path: Path) -> None:
    """Its file is private, and goes with the section."""
    file = tmp_path / "shardwatch.toml"
    file.write_text('roots = ["w"]\n[web]\nsocket = "page.sock"\n')
    found = resolve(config_file=file, environ={}, cwd=tmp_path).web
    assert found is not None and found.socket == bytes(tmp_path / "page.sock")
    place = tmp_path / "web-section.json"
    write_section(place, found)
    assert (place.stat().st_mode & 0o777, read_section(place, WebSection)) == (0o600, found)
    write_section(place, None)
    assert read_section(place, WebSection) is None
    file.write_text('roots = ["w"]\n')
    assert resolve(config_file=file, environ={}, cwd=tmp_path).web is None
