"""The container file: it is built as it stands, and what comes of it runs as its own user, with supervisord as process 1.

No registry of images is asked. In the place of the two images that it begins with stands one whose programs are those of this
machine, and packages are installed from wheels of what is installed here.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import session
from cli_process import GUARD_S, ROOT
from waiting import eventually
from wheels import needed_by, pack

pytestmark = [pytest.mark.root, pytest.mark.needs("buildah", "unshare", "nsenter"), pytest.mark.usefixtures("no_leaks")]
#: Python may lie beside /usr. A wheel's programs need what the linker knows.
_OF_THIS_MACHINE = sorted({"/usr", sys.base_prefix, "/etc/ld.so.cache"})
_USER = 10001


class Image(NamedTuple):
    """What was built: its files, and what it says of how it is run."""

    root: Path
    config: dict[str, Any]


def _buildah(storage: Path, *arguments: str | Path) -> str:
    """With storage of its own. It also writes to /var/lib/containers, wherever its storage is, so that is one of its own, too."""
    command = ["buildah", "--root", storage / "root", "--runroot", storage / "run", *arguments]
    if arguments[0] not in ("mount", "umount"):  # these are for all to see
        command = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs sw-test /var/lib; exec "$@"', "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5 * GUARD_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """Built from the container file of this checkout, and mounted."""
    storage, wheels = session.place("images-"), tmp_path / "wheels"
    wheels.mkdir()
    for name in ("setuptools", *needed_by("shardwatch[web]")):
        pack(name, wheels)
    try:
        _make_base(storage)
        shared = [f"--volume={path}:{path}:ro" for path in (*_OF_THIS_MACHINE, wheels)]
        bases = ["--build-arg=BUILD=localhost/base", "--build-arg=BASE=localhost/base"]
        where = [f"--env=PIP_FIND_LINKS={wheels}", "--env=PIP_NO_INDEX=1", "--env=PIP_NO_COMPILE=1"]
        _buildah(storage, "config", *where, _buildah(storage, "from", "--name=base", "localhost/base"))
        _buildah(storage, "commit", "-q", "--rm", "base", "localhost/base")
        isolation = ["--isolation=chroot", "--network=host", "--quiet"]
        _buildah(storage, "bud", *isolation, *shared, *bases, "-f", ROOT / "Containerfile", "-t", "shardwatch", ROOT)
        config = json.loads(_buildah(storage, "inspect", "--type=image", "shardwatch"))["OCIv1"]["config"]
        container = _buildah(storage, "from", "shardwatch")
        yield Image(Path(_buildah(storage, "mount", container)), config)
    finally:
        _buildah(storage, "umount", "--all")
        _buildah(storage, "rm", "--all")


def _make_base(storage: Path) -> None:
    """An image without programs: those of this machine are mounted where it has them."""
    container = _buildah(storage, "from", "--name=first", "scratch")
    root = Path(_buildah(storage, "mount", container))
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("etc", "usr", "proc", "dev", "tmp"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    _buildah(storage, "config", f"--env=PATH={sys.base_prefix}/bin:/usr/bin:/bin", container)
    _buildah(storage, "umount", container)
    _buildah(storage, "commit", "-q", "--rm", container, "localhost/base")


class Container:
    """The image runs as a runtime for containers would run it: in a root and with processes of its own, as its user."""

    def __init__(self, image: Image, tree: Path) -> None:
        mounts = [(path, path) for path in _OF_THIS_MACHINE] + [("/dev", "/dev"), (str(tree), "/src")]
        lines = ["set -e", "mount --make-rprivate /"]
        for source, target in mounts:
            at = image.root / target.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.touch() if Path(source).is_file() else at.mkdir(exist_ok=True)
            lines.append(f'mount --bind "{source}" "{at}"')
        lines.append(f'mount -t proc proc "{image.root}/proc"')
        lines.append(f'exec chroot --userspec={image.config["User"]} --groups= "{image.root}" env -i "$@"')
        script = "\n".join(lines)
        said = image.config
        inside = [f"--chdir={said['WorkingDir']}", *said["Env"], *said["Entrypoint"], *said["Cmd"]]
        options = ["--mount", "--pid", "--fork", "--kill-child"]
        self._shim = subprocess.Popen(
            ["unshare", *options, "sh", "-c", script, "sh", *inside], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._environ = image.config["Env"]

    @property
    def first(self) -> int:
        """Its process 1, as this machine numbers it."""
        children = Path(f"/proc/{self._shim.pid}/task/{self._shim.pid}/children")
        return int(eventually(lambda: children.read_text().split())[0])

    def run(self, *command: str, check: bool = True) -> str:
        """A command inside, as `docker exec` runs it."""
        place = ["--target", str(self.first), "--mount", "--pid", "--root", "--setuid", str(_USER), "--setgid", str(_USER)]
        line = ["nsenter", *place, "env", "-i", *self._environ, *command]
        done = subprocess.run(line, capture_output=True, text=True, timeout=GUARD_S, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> int:
        """Stops it as a runtime does."""
        session.deliver(self.first, signal.SIGTERM)
        return self._shim.wait(GUARD_S)

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *of: object) -> None:
        if self._shim.poll() is None:
            self._shim.kill()
        self._shim.wait()
        assert self._shim.stderr is not None
        self._shim.stderr.close()


def test_the_container_file(image: Image, tmp_path: Path) -> None:
    """Its user has no rights, what it runs delivers events, reaps orphans and ends at SIGTERM, and the state stays."""
    assert image.config["User"] == f"{_USER}:{_USER}" and set(image.config["Volumes"]) == {"/var/lib/shardwatch"}
    assert not (image.root / "source").exists()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.json").write_text("{}")
    with Container(image, tree) as container:
        eventually(lambda: "healthy" in container.run("shardwatch", "status", check=False), every_s=0.3)
        status = Path(f"/proc/{container.first}/status").read_text()
        assert f"Uid:\t{_USER}\t{_USER}\t{_USER}\t{_USER}" in status and "CapEff:\t0000000000000000" in status
        assert container.run("supervisorctl", "-c", "/var/lib/shardwatch/supervisord.conf", "pid").strip() == "1"

        (tree / "b.json").write_text("{}")
        container.run("shardwatch", "sync")
        pulled = container.run("shardwatch", "pull", "--group", "g", "--from", "start", "--json")
        assert {json.loads(line).get("path") for line in pulled.splitlines()} >= {"/src/a.json", "/src/b.json"}

        orphan = int(container.run("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"))
        container.run("kill", str(orphan))
        eventually(lambda: not _there(container, orphan))
        assert container.end() in (0, 128 + signal.SIGTERM)
    with Container(image, tree) as container:
        eventually(lambda: "healthy" in container.run("shardwatch", "status", check=False), every_s=0.3)
        assert container.run("shardwatch", "pull", "--group", "g", "--json") == ""
        container.end()


def _there(container: Container, pid: int) -> bool:
    """Also as a zombie that nobody has reaped."""
    return container.run("sh", "-c", f"test -e /proc/{pid} && echo there", check=False) != ""
