"""Paths that somebody sends over a socket: exact and within a root, or refused; what lies outside is looked at by nobody."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq
from entries import Entry, seen
from running import GUARD_S, Consumer, Running, consuming, running, settings_for
from waiting import eventually

from shardwatch.aggregator.client.replies import RequestError
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.process.life import SERVICE_VARIABLE
from shardwatch.shard.contract.wire.frames import Frame, Gone, Listing, Looks, Record, encode

pytestmark = pytest.mark.xdist_group("paths_from_sockets")


@pytest.fixture(scope="module", params=[False, True], ids=["links_stay", "links_followed"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Consumer, Path]]:
    """A service over `tree`, beside which lie files that are none of its business."""
    base = tmp_path_factory.mktemp("paths")
    tree = base / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "a.json").write_text("{}")
    for outside in (base / "secret.json", base / "other" / "secret.json", base / "tree2" / "secret.json"):
        outside.parent.mkdir(exist_ok=True)
        outside.write_text("secret")
    (tree / "link").symlink_to(tree / "pkg")
    with running(base / "s", settings_for(tree, follow_symlinks=request.param)) as service, consuming(base / "s") as consumer:
        eventually(lambda: len(consumer.mirror) == (2 if request.param else 1), what="the file, and the same behind the link")
        yield service, consumer, tree


def look(service: Running, *paths: bytes) -> int:
    """Of how many paths the service says that somebody looks at them."""
    encoded = [base64.b64encode(path).decode() for path in paths]
    return int(service.client.request("look", paths_b64=encoded)["asked"])


def tick(service: Running) -> int:
    """The number of the last change, once all that was asked for is looked at: the same as before where nothing was indexed."""
    service.client.sync(GUARD_S)
    return int(service.client.status()["tick"])


NOT_EXACT = [
    "ROOT/..", "ROOT/../secret.json", "ROOT/../other/secret.json", "ROOT/pkg/../../secret.json", "ROOT//pkg/./a.json", "ROOT/.",
    "ROOT/", "ROOT/pkg/", "tree/pkg/a.json", "./a.json", "", "ROOT/pkg/a\0.json", "ROOT/../tree2/secret.json", "//ROOT/x",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_EXACT)
def test_a_look_by_a_path_that_is_not_exact_is_refused(watched: tuple[Running, Consumer, Path], text: str) -> None:
    """The whole request, whatever else it names; nothing is indexed, nothing is told, and a sync has nothing to wait for."""
    service, consumer, tree = watched
    path = os.fsencode(text.replace("ROOT", str(tree)))
    before = tick(service)
    with pytest.raises(RequestError) as refused:
        look(service, os.fsencode(tree / "pkg" / "a.json"), path)
    assert refused.value.code == "bad_field" and "not an exact path" in refused.value.message
    assert tick(service) == before
    assert not [path for path in consumer.mirror if b"secret" in path]


@pytest.mark.parametrize(
    "text", ["ROOT", "ROOT2/secret.json", "BASE/secret.json", "/", "/etc/passwd", "BASE/" + "d/" * 3000 + "x.json"]
)
def test_a_look_outside_of_every_root_is_nobodys(watched: tuple[Running, Consumer, Path], text: str) -> None:
    """It is answered, with the number of those that were asked for: none."""
    service, _, tree = watched
    before = tick(service)
    assert look(service, os.fsencode(text.replace("ROOT", str(tree)).replace("BASE", str(tree.parent)))) == 0
    assert tick(service) == before


@pytest.mark.parametrize(
    "text", ["nothing.json", "pkg/a.json/x.json", "pkg/no/where/x.json", "link/other/x.json", "..x/x.json", ".../x.json"]
)
def test_a_look_at_what_is_not_there_changes_nothing(watched: tuple[Running, Consumer, Path], text: str) -> None:
    """An exact path within a root is looked at, and found absent."""
    service, _, tree = watched
    before = tick(service)
    assert look(service, os.fsencode(tree / text)) == 1
    assert tick(service) == before


def a_file(name: bytes) -> Entry:
    return (name, FILE, 1, 77, 1, 6, 1, 1, False)


def forged(tree: Path) -> list[list[Record]]:
    """Records with which a shard would have the index believe something outside of its directories."""
    root = os.fsencode(tree)
    names = [b"../secret.json", b"/etc/x.json", b"..", b".", b"", b"a\0.json", b"pkg/b.json"]
    found: list[list[Record]] = [[Listing(root, 1, *seen([a_file(name)]))] for name in names]
    found += [[Looks(root, 1, *seen([a_file(name)]), [])] for name in names]
    found += [[Looks(root, 1, [], b"", [name])] for name in names]
    for path in (root + b"/..", root + b"/../other", root + b"/", root + b"//pkg", b"tree", root + b"/pkg/."):
        found += [[Listing(path, 1, *seen([a_file(b"s.json")]))], [Looks(path, 1, [], b"", [b"a.json"])], [Gone(path, 1)]]
    found.append([Looks(root, 1, *seen([a_file(b"twice.json"), a_file(b"twice.json")]), [])])
    found.append([Listing(root, 1, *seen([a_file(b"twice.json"), a_file(b"twice.json")]))])
    return found


def test_frames_that_lead_out_are_refused_and_counted(watched: tuple[Running, Consumer, Path]) -> None:
    """They bear the id of the service and the number that is next: only what they name is wrong. Nothing of it is applied."""
    service, consumer, tree = watched
    pid = service.programs()["aggregator"]["pid"]
    token = psutil.Process(pid).environ()[SERVICE_VARIABLE]
    status = service.client.status()
    (shard,) = status["shards"]
    bodies = [
        encode(Frame(WIRE_VERSION, shard["id"], shard["epoch"], status["generation"], 10_000, records, token))
        for records in forged(tree)
    ]
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = 10_000
        push.connect(service.layout.endpoint(service.layout.facts_socket))
        for body in bodies:
            push.send(body)
        eventually(lambda: service.client.status()["refused"] == status["refused"] + len(bodies), what="all are counted")
    after = service.client.status()
    assert (after["gaps"], after["files"]) == (status["gaps"], status["files"])
    assert service.programs()["aggregator"]["pid"] == pid
    assert tick(service) == status["tick"]
    assert not [path for path in consumer.mirror if b"secret" in path or b"s.json" in path or b"twice" in path]
