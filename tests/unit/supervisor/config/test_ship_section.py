"""The section `[ship]` becomes the arguments of `shardwatch ship`, and the files that it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.section_file import read_section, write_section
from shardwatch.shard.contract.state.ship_section import ShipSection
from shardwatch.supervisor.cli.commands.ship import section_options, unshippable
from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.config.ship_section import ship_section_of

BASE = Path("/etc/x")


def test_a_section_is_the_arguments_of_ship() -> None:
    """Files are relative to the file of the section; the URL comes last."""
    options = {"stream": "s", "prefix": "p.q", "source": "one", "partitions": 4, "replicas": 3, "create": True, "group": "g h"}
    files = {"credentials": "x.creds", "authority": "/ca", "certificate": "c.pem", "key": "/k"}
    section = ship_section_of({"url": "tls://a:1,tls://b:1", **files, **options}, "file f", BASE)
    assert section.arguments == (
        "--stream=s", "--prefix=p.q", "--source=one", "--partitions=4", "--replicas=3", "--create", "--group=g h",
        "tls://a:1,tls://b:1",
    )  # fmt: skip
    assert (section.credentials, section.authority) == (b"/etc/x/x.creds", b"/ca")
    assert (section.certificate, section.key) == (b"/etc/x/c.pem", b"/k")
    given = section_options(section)
    assert (given.partitions, given.create, given.url, given.take_over) == (4, True, "tls://a:1,tls://b:1", False)
    assert ship_section_of({}, "file f", BASE) == ShipSection(arguments=())


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        (3, "ship is no section"),
        ({"partitions": "16"}, "partitions = '16' must be a whole number, without quotes"),
        ({"create": 1}, "create = 1 must be true or false"),
        ({"take_over": True}, "unknown option 'take_over'"),
        ({"url": 4222}, "url = 4222 must be a text"),
        ({"credentials": ""}, "credentials = '' must be a text"),
        ({"key": "k.pem"}, "key is that of no certificate"),
        ({"url": "nats://u:secret@h"}, "the url has credentials"),
        ({"url": "--create"}, "no URL of a NATS server"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(section: Any, complaint: str) -> None:
    """With the file and the section, and nothing that is secret."""
    with pytest.raises(UsageError, match="file f: ") as raised:
        ship_section_of(section, "file f", BASE)
    assert complaint in raised.value.message and "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"url": "http://h"}, "no URL of a NATS server"),
        ({"source": "a.b"}, "no name of a source"),
        ({"stream": "a b"}, "no name of a stream"),
        ({"prefix": ""}, "no prefix"),
        ({"partitions": 0}, "no number of partitions"),
        ({"replicas": 6}, "--replicas 6 is out of range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_are_checked_before_anything_runs(section: dict[str, Any], complaint: str) -> None:
    """By the command, which names the section."""
    with pytest.raises(UsageError) as raised:
        section_options(ship_section_of(section, "file f", BASE))
    assert raised.value.message.startswith("[ship]: ") and complaint in raised.value.message


def test_a_file_that_is_not_there_yet_stops_nothing(tmp_path: Path) -> None:
    """It is said, and everything else runs."""
    for files in ({"authority": "ca.pem"}, {"certificate": "c.pem"}, {"certificate": "c.pem", "key": "k.pem"}):
        missing = tmp_path / list(files.values())[-1]
        (said,) = unshippable(ship_section_of(files, "file f", tmp_path))
        assert f"{missing} is not there" in said and "everything else runs" in said
        missing.write_text("")
        assert unshippable(ship_section_of(files, "file f", tmp_path)) == []


def test_it_comes_with_the_configuration(tmp_path: Path) -> None:
    """And is no option."""
    (tmp_path / "shardwatch.toml").write_text('[ship]\nsource = "one"\n')
    resolved = resolve(environ={}, cwd=tmp_path)
    assert resolved.ship == ShipSection(arguments=("--source=one",)) and "ship" not in resolved.values


def test_it_is_stored_as_it_is(state_dir: Path) -> None:
    """And no file is left where there is none."""
    path = state_dir / "ship-section.json"
    section = ship_section_of({"credentials": os.fsdecode(b"odd\xff")}, "file f", BASE)
    write_section(path, section)
    assert read_section(path, ShipSection) == section
    write_section(path, None)
    assert read_section(path, ShipSection) is None and not path.exists()
