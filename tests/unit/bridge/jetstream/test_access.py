"""Which servers are asked, and where credentials may come from."""

from __future__ import annotations

from pathlib import Path

import nats_credentials
import pytest

from shardwatch.bridge.jetstream.access import URL_DEFAULT, access
from shardwatch.shard.contract.errors import UsageError


def test_the_command_line_comes_before_the_environment() -> None:
    assert access(None, {}).urls == (URL_DEFAULT,)
    assert access(None, {"NATS_URL": "tls://a:1, tls://b:2"}).urls == ("tls://a:1", "tls://b:2")
    assert access("nats://c", {"NATS_URL": "nats://a"}).urls == ("nats://c",)


def test_credentials_are_not_shown() -> None:
    found = access(None, {"NATS_URL": "nats://user:secret@host:4222"})
    assert found.shown() == "nats://host:4222"


def test_credentials_on_the_command_line_are_refused() -> None:
    """And not repeated."""
    with pytest.raises(UsageError, match="NATS_URL") as refused:
        access("nats://user:secret@host:4222", {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "host:4222", "http://host", "nats://", "nats://host:99999", "nats://host/x", "nats://a,,", "nats://[x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="nats://host:4222"):
        access(url, {})


def test_a_file_of_credentials_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    with pytest.raises(UsageError, match="NATS_CREDS"):
        access(None, {"NATS_CREDS": str(file)})
    file.write_text("nothing of that kind")
    with pytest.raises(UsageError, match="no file of credentials"):
        access(None, {"NATS_CREDS": str(file)})
    file.write_text(nats_credentials.made().file)
    assert access(None, {"NATS_CREDS": str(file)}).credentials == file


def test_a_certificate_and_its_key_are_files(tmp_path: Path) -> None:
    """What is named must be there; a key alone is none of anything."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    with pytest.raises(UsageError, match="NATS_CERT"):
        access(None, {"NATS_CERT": str(certificate)})
    certificate.touch()
    key.touch()
    with pytest.raises(UsageError, match="NATS_KEY names the key of no certificate"):
        access(None, {"NATS_KEY": str(key)})
    found = access(None, {"NATS_CERT": str(certificate), "NATS_KEY": str(key)})
    assert (found.certificate, found.key) == (certificate, key)
