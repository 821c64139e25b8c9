"""Filesystems that tell nothing of changes made elsewhere, and those whose server hangs: FUSE, wherever and whenever mounted.

What is changed below a mount of bindfs by its own path is a change "from elsewhere": the mount raises no event. A server that is
stopped answers nothing, as that of a network filesystem does whose machine is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import session
from cli_process import UNMEASURED, Command, command_of, environment, put
from cli_process import run as cli
from fuse import Fuse, fuse
from running import consuming, running, settings_for
from scene import Mount, Scene, playing, write
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.shard.contract.state.planfile import read_plan

pytestmark = [pytest.mark.root, pytest.mark.needs("bindfs"), pytest.mark.xdist_group("scenarios_mounts")]

LONG_S = 60.0


def becomes(scene: Scene, path: Path, state: str) -> None:
    """`status` says so of a path; "" is well."""

    def is_so() -> bool:
        assert scene.state_of(path) == state, scene.service.client.status()["degraded"]
        return True

    eventually(is_so, LONG_S)


def told(scene: Scene, path: Path) -> None:
    """A file that is there is told without anybody asking."""
    eventually(lambda: os.fsencode(path) in scene.consumer.mirror, LONG_S, what=f"{path} told")


def test_a_remote_filesystem_comes_below_the_root(tmp_path: Path, no_leaks: None) -> None:
    """Mounted after the start: from then on it is polled, and status says so; unmounted, the directory is watched again."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(root / "local.json")
    write(root / "net" / "own.json")
    with playing(tmp_path, root) as scene:
        with fuse(below, root / "net") as mount:
            becomes(scene, root / "net", "polled")
            write(below / "d" / "remote.json", "from elsewhere")
            told(scene, root / "net" / "d" / "remote.json")
            assert heard(scene) == {"net/own.json": "deleted", "net/d/remote.json": "created"}
            write(below / "d" / "remote.json", "changed from elsewhere")
            assert heard(scene) == {"net/d/remote.json": "modified"}
            apart(scene, root / "net")
            scene.service.kill(scene.owner(root / "net"))
            write(below / "d" / "remote.json", "while there was no shard, perhaps")
            assert heard(scene) == {"net/d/remote.json": "modified"}
            assert scene.state_of(root / "net") == "polled"
            mount.unmount()
            assert heard(scene) == {"net/own.json": "created", "net/d/remote.json": "deleted"}
        becomes(scene, root / "net", "")
        (root / "net" / "new").mkdir()
        both = (scene.owner(root), scene.owner(root / "net"))
        eventually(lambda: [scene.watches(shard) for shard in both] == [1, 2], LONG_S, what="a watch for each directory")


def test_a_remote_filesystem_comes_at_the_root(tmp_path: Path, no_leaks: None) -> None:
    """Over the root itself, over a restart of the service, and away again."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(root / "local.json")
    with playing(tmp_path, root) as scene:
        write(below / "remote.json")
        with fuse(below, root) as mount:
            becomes(scene, root, "polled")
            write(below / "later.json", "from elsewhere")
            told(scene, root / "later.json")
            assert scene.story() == {"local.json": "deleted", "remote.json": "created", "later.json": "created"}
            mount.unmount()
            assert scene.story() == {"local.json": "created", "remote.json": "deleted", "later.json": "deleted"}
        write(root / "watched.json")
        assert scene.story() == {"watched.json": "created"}
        eventually(lambda: scene.watches() == 1, LONG_S, what="a watch for the root")


def test_a_remote_root_that_is_local_by_now(tmp_path: Path, no_leaks: None) -> None:
    """Planned on FUSE, and found without it by the next shard: what it is now counts. It is watched, not polled."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(below / "d" / "remote.json")
    with fuse(below, root / "net") as mount, playing(tmp_path, root) as scene:
        assert scene.state_of(root / "net") == "polled"
        write(below / "d" / "remote.json", "from elsewhere")
        assert scene.story() == {"net/d/remote.json": "modified"}
        mount.unmount()
        assert scene.story() == {"net/d/remote.json": "deleted"}
        write(root / "net" / "own.json")
        assert scene.story() == {"net/own.json": "created"}
        becomes(scene, root / "net", "")


def planned(scene: Scene) -> int:
    """The generation of the plan."""
    plan = read_plan(scene.service.layout.plan)
    assert plan is not None
    return plan.generation


def heard(scene: Scene) -> dict[str, str]:
    """`Scene.story`, once a mount that has just come answers: on a busy machine the child that asks it may take its time."""

    def answers() -> bool:
        try:
            scene.service.client.sync(LONG_S)
        except RequestError as refused:
            raise AssertionError(refused.fields) from refused
        return True

    eventually(answers, LONG_S)
    return scene.story()


def apart(scene: Scene, mount: Path) -> None:
    """What is mounted has a shard of its own, and all shards run with that plan."""

    def is_so() -> bool:
        assert scene.owner(mount) != scene.owner(scene.root)
        status = scene.service.client.status()  # ready: the baseline of each shard belongs to this plan
        assert (status["ready"], status["generation"]) == (True, planned(scene)), status
        return True

    eventually(is_so, LONG_S)


def hung(scene: Scene, mount: Fuse, at: Path) -> None:
    """The server hangs: said so, and what is local is told all the same; then it goes on, and what it holds is told."""
    mount.hang()
    becomes(scene, at, "unanswered")
    for number in range(5):
        write(scene.root / "local" / f"{number}.json", str(number))
        told(scene, scene.root / "local" / f"{number}.json")
    write(mount.below / "meanwhile.json")
    mount.go_on()
    becomes(scene, at, "polled")
    told(scene, at / "meanwhile.json")


def test_a_mount_below_a_root_hangs(tmp_path: Path, no_leaks: None) -> None:
    """Its files stay known, a sync fails and names it, and all else goes on; also for a shard that starts meanwhile."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(root / "local" / "f.json")
    write(below / "f.json")
    with playing(tmp_path, root) as scene, fuse(below, root / "net") as mount:
        told(scene, root / "net" / "f.json")
        hung(scene, mount, root / "net")
        mount.hang()
        scene.service.kill("s0")
        becomes(scene, root / "net", "unanswered")
        write(root / "local" / "after.json")
        told(scene, root / "local" / "after.json")
        assert os.fsencode(root / "net" / "f.json") in scene.consumer.mirror
        mount.go_on()
        becomes(scene, root / "net", "polled")
        scene.settled()


def test_names_at_which_something_is_mounted_that_hangs(tmp_path: Path, no_leaks: None) -> None:
    """No lstat of such a name would end. Looked at by its name, it is in doubt alone, be it a file or a directory. The directory
    of such a file is in doubt as a whole for a shard that starts meanwhile."""
    root, below, at = tmp_path / "root", tmp_path / "below", tmp_path / "at"
    file, directory = root / "f.json", root / "net"
    for path in (file, directory / "g.json", root / "d" / "h.json"):
        write(path)
    write(below / "f.json", "on top")
    with (
        fuse(below, at) as mount, Mount("--bind", at / "f.json", file), Mount("--bind", at, directory),
        playing(tmp_path, root, include=("*",)) as scene, mount.going_on(),
    ):  # fmt: skip
        assert scene.consumer.mirror[os.fsencode(file)][0] == len("on top")
        shard = scene.owner(root)
        before = scene.pid(shard)
        mount.hang()
        becomes(scene, file, "unanswered")
        scene.service.client.request("look", paths_b64=[b64encode(os.fsencode(directory)).decode()])
        write(root / "local.json")
        told(scene, root / "local.json")
        assert scene.pid(shard) == before
        scene.service.kill(shard)
        becomes(scene, root, "unanswered")
        assert os.fsencode(file) in scene.consumer.mirror
        write(below / "f.json", "on top, and longer")
        mount.go_on()
        becomes(scene, root, "")
        becomes(scene, directory, "polled")
        scene.settled()
        assert scene.consumer.mirror[os.fsencode(file)][0] == len("on top, and longer")


def test_the_native_backend_walks_into_nothing_that_hangs(tmp_path: Path, no_leaks: None) -> None:
    """watchdog would walk through the whole root and wait for the server. What is local is polled instead, and watched again once
    that filesystem is unmounted."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(root / "local" / "f.json")
    write(below / "f.json")
    with fuse(below, root / "net") as mount, playing(tmp_path, root, backend="native") as scene:
        told(scene, root / "net" / "f.json")
        mine = scene.owner(root)
        mount.hang()
        scene.service.kill(mine)
        becomes(scene, root / "net", "unanswered")
        before = scene.pid(mine)
        for number in range(3):
            write(root / "local" / f"{number}.json", str(number))
            told(scene, root / "local" / f"{number}.json")
        assert scene.pid(mine) == before
        reasons = {d["path"]: d["reason"] for d in scene.service.client.status()["degraded"]}
        assert reasons[str(root)].startswith("watchdog would walk into fuse"), reasons
        mount.go_on()
        mount.unmount()
        eventually(lambda: scene.shard(mine)["watches"] == 1, LONG_S, what="an anchor that watchdog watches")
        becomes(scene, root, "")
        write(root / "local" / "last.json")
        told(scene, root / "local" / "last.json")
        eventually(lambda: scene.shard(mine)["hints"] > 0, LONG_S, what="an event of watchdog")


def test_a_mount_that_comes_later_has_a_shard_of_its_own(tmp_path: Path, no_leaks: None) -> None:
    """It gets one when it comes, so that what is local is never kept waiting by it; the shard of that goes on, and scans nothing
    again. It stays apart when it goes and comes again, without another plan; each time everything is told."""
    root, below = tmp_path / "root", tmp_path / "below"
    write(root / "local" / "f.json")
    write(root / "net" / "own.json")
    write(below / "f.json")
    with playing(tmp_path, root) as scene:
        assert scene.owner(root / "net") == scene.owner(root)
        alone = scene.shard(scene.owner(root))
        with fuse(below, root / "net") as mount:
            apart(scene, root / "net")
            becomes(scene, root / "net", "polled")
            assert heard(scene) == {"net/own.json": "deleted", "net/f.json": "created"}
            generation, mine = planned(scene), scene.owner(root)
            before = scene.pid(mine)
            assert [scene.shard(mine)[key] for key in ("id", "pid", "epoch", "rescans")] == [
                alone[key] for key in ("id", "pid", "epoch", "rescans")
            ]
            hung(scene, mount, root / "net")
            assert scene.pid(mine) == before
            assert heard(scene) == {**{f"local/{n}.json": "created" for n in range(5)}, "net/meanwhile.json": "created"}
            mount.unmount()
            assert heard(scene) == {"net/own.json": "created", "net/f.json": "deleted", "net/meanwhile.json": "deleted"}
            mount.mount()
            becomes(scene, root / "net", "polled")
            assert heard(scene) == {"net/own.json": "deleted", "net/f.json": "created", "net/meanwhile.json": "created"}
            assert (planned(scene), scene.pid(mine)) == (generation, before)


def test_a_root_that_comes_to_lie_on_what_can_hang_has_a_shard_of_its_own(
    tmp_path: Path, state_dir: Path, no_leaks: None
) -> None:
    """Two roots of one shard, and a mount over one of them. When it is unmounted, what is there without it is the root again."""
    local, below, net = tmp_path / "local", tmp_path / "below", tmp_path / "net"
    write(local / "f.json")
    write(net / "own.json")
    write(below / "remote.json")

    def owners() -> dict[bytes, str]:
        plan = read_plan(service.layout.plan)
        assert plan is not None
        return {anchor.path: anchor.shard for anchor in plan.anchors}

    def mirrors(*paths: Path) -> None:
        def is_so() -> bool:
            assert set(consumer.mirror) == {os.fsencode(path) for path in paths}, service.client.status()["degraded"]
            return True

        eventually(is_so, LONG_S)

    with running(state_dir, settings_for(local, net)) as service, consuming(state_dir) as consumer:
        assert len(set(owners().values())) == 1
        mirrors(local / "f.json", net / "own.json")
        with fuse(below, net) as mount:
            eventually(lambda: len(set(owners().values())) == 2, LONG_S, what="a shard for each root")
            mirrors(local / "f.json", net / "remote.json")
            mount.unmount()
            mirrors(local / "f.json", net / "own.json")


# -- roots on filesystems that hang


def test_a_root_beside_one_that_hangs(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """Each has a shard of its own, so that the local one's process is never kept waiting, let alone replaced."""
    local, below, net = tmp_path / "local", tmp_path / "below", tmp_path / "net"
    write(local / "f.json")
    write(below / "f.json")

    def is_so(state: str) -> bool:
        status = service.client.status()
        assert [(d["path"], d["state"]) for d in status["degraded"]] == [(str(net), state)], (status, service.programs())
        return True

    def tells(path: Path) -> None:
        eventually(lambda: os.fsencode(path) in consumer.mirror, LONG_S, what=f"{path} told")

    with (
        fuse(below, net) as mount,
        running(state_dir, settings_for(local, net)) as service,
        consuming(state_dir) as consumer,
    ):
        tells(net / "f.json")
        plan = read_plan(service.layout.plan)
        assert plan is not None
        owners = {anchor.path: anchor.shard for anchor in plan.anchors}
        mine = owners[os.fsencode(local)]
        assert mine != owners[os.fsencode(net)]
        before = service.programs()[mine]["pid"]
        mount.hang()
        for number in range(20):
            write(local / f"{number}.json", str(number))
        for number in range(20):
            tells(local / f"{number}.json")
        eventually(lambda: is_so("unanswered"), LONG_S)
        assert service.programs()[mine]["pid"] == before
        with pytest.raises(RequestError) as refused:
            service.client.sync(60)
        assert refused.value.fields["subtrees"] == [str(net)]
        write(below / "meanwhile.json")
        mount.go_on()
        tells(net / "meanwhile.json")
        eventually(lambda: is_so("polled"), LONG_S)


def test_links_to_a_filesystem_that_hangs(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """Followed links lead there, to a file and to a directory: swept, in doubt while it hangs, and nobody waits for it."""
    local, below, net = tmp_path / "local", tmp_path / "below", tmp_path / "net"
    write(local / "d" / "f.json")
    write(below / "d" / "f.json")
    (local / "links").mkdir()
    (local / "links" / "file.json").symlink_to(net / "d" / "f.json")
    (local / "links" / "dir").symlink_to(net / "d")

    with (
        fuse(below, net) as mount,
        running(state_dir, settings_for(local, follow_symlinks=True)) as service,
        consuming(state_dir) as consumer,
    ):

        def sizes(size: int) -> None:
            paths = [os.fsencode(local / "links" / name) for name in ("file.json", "dir/f.json")]
            eventually(lambda: [consumer.mirror.get(path, (-1, 0))[0] for path in paths] == [size, size], LONG_S)

        sizes(len("{}"))
        write(below / "d" / "f.json", "from elsewhere")
        sizes(len("from elsewhere"))
        mount.hang()
        eventually(lambda: "unanswered" in [d["state"] for d in service.client.status()["degraded"]], LONG_S)
        for number in range(5):
            path = write(local / "d" / f"{number}.json", str(number))
            eventually(lambda path=path: os.fsencode(path) in consumer.mirror, LONG_S)
        write(below / "d" / "f.json", "while it hung")
        mount.go_on()
        sizes(len("while it hung"))
        eventually(lambda: "unanswered" not in [d["state"] for d in service.client.status()["degraded"]], LONG_S)
        service.client.sync(60)


def test_starting_beside_a_root_that_hangs(tmp_path: Path, no_leaks: None) -> None:
    """The first start says which one does not answer, is ready with the others, and looks at it when it answers."""
    local, below, net = tmp_path / "local", tmp_path / "below", tmp_path / "net"
    write(local / "f.json")
    write(below / "f.json")
    with fuse(below, net) as mount:
        mount.hang()
        state_dir = session.place()
        up = cli("up", "--detach", local, net, "--state-dir", state_dir, check=False)
        try:
            assert up.returncode == 0, up.stderr
            assert f"root {net} does not answer (fuse" in up.stderr
            status = cli("status", "--json", "--state-dir", state_dir, check=False)
            degraded = json.loads(status.stdout)["engine"]["degraded"]
            assert [(d["path"], d["state"]) for d in degraded] == [(str(net), "unanswered")]
            doctor = cli("doctor", local, net, "--state-dir", state_dir, check=False)
            assert doctor.returncode == 1
            assert f"root {net} does not answer (fuse" in doctor.stdout
            assert "see to the server of that mount, or unmount it (umount -l)" in doctor.stdout
            plan = cli("plan", local, net, check=False)
            assert (plan.returncode, "does not answer" in plan.stderr) == (2, True)
            with ExtractClient(state_dir) as client:
                mount.go_on()
                eventually(lambda: client.status()["files"] == 2, LONG_S)
                mount.hang()
                eventually(lambda: [d["state"] for d in client.status()["degraded"]] == ["unanswered"], LONG_S)
            down = cli("down", "--state-dir", state_dir, check=False)
            # In time, whatever the kernel does: a shard that was in the midst of a look may not be killed, and then that is said.
            assert down.returncode == 0 or (down.returncode, str(net) in down.stderr) == (5, True), down.stderr
        finally:
            mount.go_on()
            cli("down", "--state-dir", state_dir, check=False)


def test_a_watch_of_a_root_that_hangs_can_be_interrupted(tmp_path: Path, no_leaks: None) -> None:
    """Ctrl-C ends it, whatever it waits for."""
    below, net = tmp_path / "below", tmp_path / "net"
    write(below / "f.json")
    with fuse(below, net) as mount:
        mount.hang()
        with Command("watch", net, "--json") as watch:
            assert "does not answer" in watch.json(LONG_S)["message"]
            assert watch.end(signal.SIGINT, LONG_S) == 0


def test_a_state_directory_on_a_filesystem_that_hangs(tmp_path: Path, no_leaks: None) -> None:
    """Every command refuses it, and names the mount."""
    below, net, root = tmp_path / "below", tmp_path / "net", tmp_path / "root"
    write(root / "f.json")
    with fuse(below, net) as mount:
        mount.hang()
        for command in (["up", "--detach", root], ["status"], ["down"], ["doctor", root]):
            done = cli(*command, "--state-dir", net / "state", check=False)
            assert (done.returncode, str(net) in done.stderr, "does not answer" in done.stderr) == (2, True, True), done


def test_commands_whose_surroundings_hang(tmp_path: Path, no_leaks: None) -> None:
    """The working directory, the configuration, the home, the place of temporary files: what a command can do without, it does
    without, and it names the mount of what it can't."""
    below, net, root = tmp_path / "below", tmp_path / "net", tmp_path / "root"
    write(root / "f.json")
    write(below / "shardwatch.toml", "shards = 1")
    state_dir = session.place()
    with fuse(below, net) as mount:
        # Nobody can go there once it hangs: these are there already, and wait for a line.
        waiting: list[str | Path] = ["sh", "-c", 'cd "$0" && echo there && read line && exec "$@"', net]
        commands: list[list[str | Path]] = [["plan", root], ["status", "--state-dir", state_dir]]
        # Unmeasured: coverage asks for the directory in which it starts, and would hang there before our first line.
        inside = [
            subprocess.Popen(
                [*waiting, *command_of(*command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment(**UNMEASURED), text=True,
            )
            for command in commands
        ]  # fmt: skip
        try:
            for process in inside:
                assert process.stdout is not None
                assert process.stdout.readline() == "there\n"
            mount.hang()
            up = cli("up", "--detach", root, "--state-dir", state_dir, environ={"TMPDIR": str(net)})
            assert "ready: 1 file" in up.stderr
            said = [process.communicate("go\n", LONG_S) for process in inside]
            assert [process.returncode for process in inside] == [0, 0], said
            assert f"no shardwatch.toml is looked for in {net}" in said[0][1]
            for variable in ("XDG_STATE_HOME", "SHARDWATCH_CONFIG"):
                done = cli("status", check=False, environ={variable: str(net / "shardwatch.toml")})
                assert (done.returncode, str(net) in done.stderr, "does not answer" in done.stderr) == (2, True, True), done
            with Command("watch", root, "--json", TMPDIR=str(net)) as watch:
                watch.ready()
                assert watch.end(signal.SIGINT, LONG_S) == 0
        finally:
            mount.go_on()
            for process in inside:
                process.kill()
                process.communicate()
            cli("down", "--state-dir", state_dir, check=False)


def test_a_program_that_lies_on_what_hangs(tmp_path: Path, no_leaks: None) -> None:
    """`exec` says so and does not start, wherever the program is looked for; a run that is due fails and says so, and Ctrl-C ends
    the command as ever. `hold` says it too."""
    root, below, net = tmp_path / "root", tmp_path / "below", tmp_path / "net"
    # By `exec` the shell is done with the script, which lies on what is to hang, before the line is printed.
    write(below / "tool", '#!/bin/sh\nexec echo "ran ${1##*/}"\n')
    (below / "tool").chmod(0o755)
    root.mkdir()
    silent = f"lies on fuse ({net}), which does not answer"
    with fuse(below, net) as mount, Command("exec", root, "--", net / "tool", "{}") as worker, mount.going_on():
        worker.complains("shardwatch: filter:")
        put(root / "a", "1")
        assert worker.line() == b"ran a"
        mount.hang()
        put(root / "b", "1")
        worker.complains(f"can't be run: it {silent}")
        assert worker.end(signal.SIGINT) == 130
        for program, path in ((str(net / "tool"), os.environ["PATH"]), ("tool", f"{net}:{os.environ['PATH']}")):
            done = cli("exec", root, "--", program, check=False, environ={"PATH": path})
            assert (done.returncode, f"error: {program} {silent}" in done.stderr) == (126, True), done
        with running(session.place(), settings_for(root)) as service:
            done = cli("hold", "--state-dir", service.layout.state_dir, "--", net / "tool", check=False)
            assert (done.returncode, f"can't run {net / 'tool'}: it {silent}" in done.stderr) == (126, True), done


@pytest.mark.parametrize("follow", [False, True])
def test_an_audit_beside_a_mount_that_hangs(tmp_path: Path, state_dir: Path, no_leaks: None, follow: bool) -> None:
    """It compares what is on the mount while that answers. Then it names it, ends, and finds what differs elsewhere; also if the
    shards have noticed nothing yet, and where links lead to it."""
    root, below, net = tmp_path / "root", tmp_path / "below", tmp_path / "root" / "net"
    write(root / "local" / "f.json")
    write(below / "d" / "f.json")

    def audit() -> tuple[int, dict[str, Any]]:
        done = cli("audit", "--json", "--no-repair", "--state-dir", state_dir, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def synced() -> bool:
        try:
            client.sync(LONG_S)
        except RequestError as refused:
            raise AssertionError(refused.fields) from refused
        return True

    if follow:
        (root / "links").mkdir()
        (root / "links" / "d").symlink_to(net / "d")
    with fuse(below, net) as mount, running(state_dir, settings_for(root, follow_symlinks=follow)) as service:
        client = service.client
        eventually(synced, LONG_S)

        def compares_everything() -> bool:
            code, found = audit()
            assert (code, found["not_compared"], found["differences"], found["files"]) == (0, [], [], 3 if follow else 2), found
            return True

        eventually(compares_everything, LONG_S)  # what status says of the mount may be some seconds old
        mount.hang()
        code, found = audit()
        assert (code, str(net) in found["not_compared"], found["differences"]) == (1, True, []), found
        assert found["files"] == 1
        text = cli("audit", "--no-repair", "--state-dir", state_dir, check=False).stdout
        assert f"! not compared: {net}" in text
        mount.go_on()
        eventually(synced, LONG_S)
        eventually(compares_everything, LONG_S)


@pytest.mark.parametrize("follow", [False, True])
def test_an_explanation_of_what_hangs(tmp_path: Path, state_dir: Path, no_leaks: None, follow: bool) -> None:
    """It ends, says that the filesystem does not answer, and what is known without it; also behind a link, followed or not."""
    root, below, net = tmp_path / "root", tmp_path / "below", tmp_path / "root" / "net"
    write(root / "local.json")
    write(below / "d" / "f.json")
    with fuse(below, net) as mount, running(state_dir, settings_for(root, follow_symlinks=follow)):
        (root / "link").symlink_to(net / "d")

        def explained(path: Path) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(cli("explain", path, "--json", "--state-dir", state_dir).stdout)
            return found

        def known() -> bool:
            return [row["exists"] for row in explained(net / "d" / "f.json")["rows"]] == [True]

        eventually(known, LONG_S)
        mount.hang()
        found = explained(net / "d" / "f.json")
        assert (found["watched"], found["disk"]["obstacle"], found["rows"][0]["exists"]) == (None, "unanswered", True)
        assert "does not answer" in cli("explain", net / "d" / "f.json", "--state-dir", state_dir).stdout
        behind = explained(root / "link" / "f.json")
        assert behind["disk"]["obstacle"] == ("unanswered" if follow else "link")
        if not follow:  # then no link can lead to what hangs, and nobody is waited for
            assert explained(root / "local.json")["disk"]["what"] == "file"
