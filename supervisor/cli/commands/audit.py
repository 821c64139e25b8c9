"""Compare the index of the running service with the disk, without stopping anything, and have differences looked at again.

There should be no difference. Files that change during the audit do not count. Exit code 0: there is none. 1: some were found,
or a part could not be compared. Differences that are gone after the second look are marked as `repaired`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..options import add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from shardwatch.aggregator.client.blocking import ExtractClient
    from shardwatch.aggregator.index.reading import Stat

    from ...audit.audit import Findings

#: Seconds that one sync may take.
SYNC_S = 120.0
#: States of `degraded` in which rows are kept though the disk can't be seen.
IN_DOUBT = ("unreadable", "unmounted", "unanswered")
#: Paths that one request names at most (protocol.PATHS_MAX).
_PATHS = 1000
_FIELDS = ("kind", "dev", "ino", "nlink", "size", "mtime_ns", "ctime_ns")
_KINDS = {1: "file", 2: "directory", 3: "link"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-repair", action="store_true", help="only compare, without looking at differences again")
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.aggregator.client.blocking import ExtractClient
    from shardwatch.aggregator.index.reading import IndexReader

    from ...audit.audit import Audit
    from ...audit.bounded_look import BoundedLook
    from ...audit.disk_tree import DiskTree
    from ...host.scouting import Scouts
    from ...service.served import served_settings
    from ...terminal.render import write_text
    from ..link.place import running_layout

    layout = running_layout(options)
    settings, state_dir = served_settings(layout), os.fsencode(os.path.realpath(layout.state_dir))
    with (
        ExtractClient(layout.state_dir) as client,
        IndexReader(layout.index_db) as reader,
        Scouts() as scouts,
        BoundedLook(scouts, follow=settings.follow_symlinks) as look,
    ):
        tree = DiskTree(settings, state_dir, look, lambda directory: bool(reader.names(directory)))
        findings = Audit(tree, reader, _Service(client), lambda directories: None).run(repair=not options.no_repair)
    found = fields_of(findings)
    if options.json:
        from ...terminal.lines import print_json

        print_json(found)
    else:
        write_text(text_of(found))
    return 0 if findings.ok else 1


class _Service:
    """The extract socket's side of an audit."""

    def __init__(self, client: ExtractClient) -> None:
        self._client = client

    def sync(self) -> Sequence[bytes]:
        from shardwatch.aggregator.client.replies import RequestError

        subtrees: list[str] = []
        try:
            self._client.sync(SYNC_S, patience_s=SYNC_S)
        except RequestError as error:
            subtrees += error.fields.get("subtrees") or ()
            if error.code != "sync_failed" or not subtrees:
                raise
        doubts = self._client.status().get("degraded") or ()
        subtrees += [str(d["path"]) for d in doubts if d["state"] in IN_DOUBT]
        return [path.encode() for path in subtrees]

    def look(self, paths: Sequence[bytes]) -> None:
        from base64 import b64encode

        for begin in range(0, len(paths), _PATHS):
            some = [b64encode(path).decode("ascii") for path in paths[begin : begin + _PATHS]]
            self._client.request("look", paths_b64=some, patience_s=SYNC_S)


def fields_of(findings: Findings) -> dict[str, Any]:
    """What `audit --json` prints. Pure."""
    from ...terminal.lines import path_fields

    return {
        "format": 1,
        "ok": findings.ok,
        "files": findings.files,
        "directories": findings.directories,
        "differences": [
            {
                **path_fields(d.path),
                "is_directory": d.directory,
                "what": "missing" if d.index is None else "extra" if d.disk is None else "differs",
                "index": _stat_fields(d.index),
                "disk": _stat_fields(d.disk),
                "repaired": d.repaired,
            }
            for d in findings.differences
        ],
        "more": findings.more,
        "unsettled": findings.unsettled,
        "not_compared": [path.decode("utf-8", "replace") for path in findings.not_compared],
        "unanswered": [path.decode("utf-8", "replace") for path in findings.unanswered],
        "damage": findings.damage,
    }


def _stat_fields(found: Stat | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {**dict(zip(_FIELDS, found, strict=False)), "kind": _KINDS.get(found[0], str(found[0]))}


def text_of(found: dict[str, Any]) -> str:
    """The findings for people. Pure."""
    from ...terminal.render import counted, readable

    lines = []
    for one in found["differences"]:
        index, disk = one["index"], one["disk"]
        if index and disk:
            what = ", ".join(f"{k} {index.get(k)} on disk {v}" for k, v in disk.items() if index.get(k) != v)
        else:
            what = "not in the index" if disk else "not on disk"
        lines.append(f"! {readable(one['path'])}: {what}; {'repaired' if one['repaired'] else 'still so'}")
    if found["more"]:
        lines.append(f"! and {counted(found['more'], 'more path')}: audit again")
    for path in found["not_compared"]:
        why = ", its filesystem does not answer" if path in found["unanswered"] else ""
        lines.append(f"! not compared: {readable(path)}{why} (see `shardwatch status`)")
    if found["damage"]:
        lines.append(f"! the index file is damaged: {readable(found['damage'])}")
        lines.append("    -> `shardwatch down`, remove index.db, start again: it is built anew, and groups are told `fresh`")
    said = f"{counted(found['files'], 'file')} in {counted(found['directories'], 'directory')} compared, "
    said += f"{counted(len(found['differences']) + found['more'], 'difference')}"
    if found["unsettled"]:
        said += f"; {counted(found['unsettled'], 'path')} changed all the time"
    return "\n".join([*lines, said]) + "\n"
