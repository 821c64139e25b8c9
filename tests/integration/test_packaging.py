"""Is what users install whole, and does our `supervisor/` folder leave PyPI's `supervisor` alone?"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import shardwatch

ROOT = Path(__file__).parents[2]
FOLDERS = ("shard", "aggregator", "bridge", "supervisor")
DATA = (".sql", ".json", ".conf", ".toml")
#: What native code becomes: in the wheel where there is a compiler, in git nowhere.
NATIVE = "shardwatch/shard/compiled/_loops" + sysconfig.get_config_var("EXT_SUFFIX")
pytestmark = pytest.mark.xdist_group("packaging")
HEAVY = {"zmq", "msgspec", "pydantic", "sqlite3", "rich", "asyncio", "watchdog", "pathspec", "supervisor"}


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Runs a program without anything of this test's Python path, and not measured; gives its standard output."""
    left_out = ("PYTHONPATH", "PYTHONSAFEPATH", "COVERAGE")
    env = {k: v for k, v in os.environ.items() if not k.startswith(left_out)} | environment
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _tracked() -> list[str]:
    """Git's files, those not yet committed too."""
    output = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return sorted({name for name in output.split("\0") if name and os.path.lexists(ROOT / name)})


def _expected() -> set[str]:
    """What the wheel must hold of ours: every module and data file of the four folders, the face, and native code."""
    found = {"shardwatch/__init__.py", "shardwatch/fleet.py", "shardwatch/py.typed"}
    for name in _tracked():
        if name.startswith("supervisor/demo/"):  # what `make run` shows is for a clone
            continue
        if name.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and name.endswith((".py", ".pyi", ".typed", *DATA)):
            found.add(f"shardwatch/{name}")
    return found | {NATIVE} if _has_compiler() else found


def _has_compiler() -> bool:
    """Whether native code can be built here: a C compiler, and Python's header files."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC")
    return shutil.which(shlex.split(compiler)[0]) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def _contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as z:
        return {name for name in z.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def clean_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files alone, links kept: what a fresh clone holds, so that no stale build/ gets into the wheel."""
    copy = tmp_path_factory.mktemp("clean")
    for name in _tracked():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def wheel(clean_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-build-isolation", "-w", out, clean_copy)
    (built,) = out.glob("*.whl")
    return built


def _pip(command: str, *arguments: str | Path, **environment: str) -> None:
    """pip without any network, and without the packages that the environment's configuration may name."""
    _run(
        sys.executable,
        "-m",
        "pip",
        command,
        "-q",
        "--no-index",
        "--no-deps",
        *arguments,
        cwd=ROOT,
        PIP_CONFIG_FILE=os.devnull,
        **environment,
    )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _installed(wheel, tmp_path_factory.mktemp("venv"))


def _installed(wheel: Path, home: Path) -> Path:
    """The bin/ of a fresh environment with the wheel; what it depends on is lent by ours (without our editable install,
    because .pth files of a lent folder are not read)."""
    _run(sys.executable, "-m", "venv", "--without-pip", home, cwd=ROOT)
    python = home / "bin/python"
    _run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel,
        cwd=ROOT, PIP_CONFIG_FILE=os.devnull,
    )  # fmt: skip
    (site,) = home.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return home / "bin"


def test_the_wheel_holds_what_git_holds(wheel: Path) -> None:
    """A module or data file that git tracks and the wheel lacks would be missed only at a user's."""
    assert _contents(wheel) == _expected()


def test_the_wheel_says_its_licence(wheel: Path) -> None:
    """Apache-2.0, with its text."""
    with zipfile.ZipFile(wheel) as z:
        (metadata,) = (name for name in z.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: Apache-2.0" in z.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in z.namelist())


def test_the_links_survive_the_source_distribution(clean_copy: Path, tmp_path: Path) -> None:
    """A wheel built from the sdist is the wheel built from the clone."""
    build = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    _run(sys.executable, "-c", build, tmp_path, cwd=clean_copy)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as t:
        t.extractall(tmp_path / "unpacked", filter="fully_trusted")
    (source,) = (tmp_path / "unpacked").iterdir()
    _pip("wheel", "--no-build-isolation", "-w", tmp_path, source)
    (built,) = tmp_path.glob("*.whl")
    assert _contents(built) == _expected()


def _native_code(python: Path, at: Path, **environment: str) -> str:
    """What a process of this installation says of native code."""
    code = "from shardwatch.shard.compiled import choice; print(choice.STATE)"
    return _run(python, "-c", code, cwd=at, **environment).strip()


def test_native_code_is_in_use_where_it_was_built(installed: Path, tmp_path: Path) -> None:
    """After an ordinary installation; a variable turns it off."""
    python = installed / "python"
    assert _native_code(python, tmp_path, SHARDWATCH_NATIVE="1") == ("in use" if _has_compiler() else "not built")
    assert _native_code(python, tmp_path, SHARDWATCH_NATIVE="0") == "turned off"


@pytest.mark.parametrize("compiler", ["/nonexistent/cc", "false"], ids=["none", "one that fails"])
def test_without_a_compiler_everything_is_there_but_native_code(compiler: str, clean_copy: Path, tmp_path: Path) -> None:
    """`pip install` succeeds, and what was installed works."""
    source = tmp_path / "source"
    shutil.copytree(clean_copy, source, symlinks=True, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    _pip("wheel", "--no-build-isolation", "-w", tmp_path, source, CC=compiler)
    (built,) = tmp_path.glob("*.whl")
    assert _contents(built) == _expected() - {NATIVE}
    scripts = _installed(built, tmp_path / "venv")
    assert _native_code(scripts / "python", tmp_path, SHARDWATCH_NATIVE="1") == "not built"
    code = "from shardwatch.shard.disk.look import Reader; from shardwatch.shard.main import ShardProcess"
    _run(scripts / "python", "-c", code, cwd=tmp_path)


def test_native_code_of_another_version_is_not_used(installed: Path, tmp_path: Path) -> None:
    """A module that was left behind by another version, and has another interface, counts as not built."""
    code = (
        "import sys, types\n"
        "sys.modules['shardwatch.shard.compiled._loops'] = types.SimpleNamespace(INTERFACE=0)\n"
        "from shardwatch.shard.compiled import choice; print(choice.STATE)"
    )
    assert _run(installed / "python", "-c", code, cwd=tmp_path, SHARDWATCH_NATIVE="1").strip() == "not built"


def test_the_installed_face_has_every_name(installed: Path, tmp_path: Path) -> None:
    """`from shardwatch import NAME` for all of __all__, from the wheel alone."""
    code = "import shardwatch; [getattr(shardwatch, n) for n in shardwatch.__all__]; print(shardwatch.__file__)"
    assert str(installed.parent) in _run(installed / "python", "-c", code, cwd=tmp_path)
    _run(installed / "python", "-c", "from shardwatch import *; ExtractClient, EventQueue, WatcherConfig", cwd=tmp_path)


def test_importing_the_face_loads_nothing() -> None:
    """A shard process must not pay for the public API."""
    code = "import sys; before = set(sys.modules); import shardwatch; print(*set(sys.modules) - before)"
    loaded = set(_run(sys.executable, "-P", "-c", code, cwd=ROOT, PYTHONPATH=str(ROOT / "src")).split())
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert {name for name in loaded if name.startswith("shardwatch.")} == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy face behaves as a module does."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = shardwatch.nonsense
    assert "ExtractClient" in dir(shardwatch)


def test_every_console_script_is_there_and_loads(installed: Path, tmp_path: Path) -> None:
    """Non-editable: the scripts exist, and what they call can be imported."""
    code = (
        "from importlib.metadata import distribution as d\n"
        "for e in d('shardwatch').entry_points: assert callable(e.load()), e; print(e.name)"
    )
    names = set(_run(installed / "python", "-c", code, cwd=tmp_path).split())
    assert names == {"shardwatch", "shardwatch-shard", "shardwatch-aggregator", "shardwatch-coordinator"}
    assert all(os.access(installed / name, os.X_OK) for name in names)
    assert _run(installed / "shardwatch", "--version", cwd=tmp_path).split()[-1] == shardwatch.__version__


@pytest.mark.parametrize("folder", [".", "supervisor", "src", "src/shardwatch"])
def test_supervisor_is_pypis_wherever_one_stands(folder: str) -> None:
    """`supervisor/` has no __init__.py, so a regular package later on the path wins."""
    code = "import supervisor, supervisor.options; print(supervisor.__file__, supervisor.options.VERSION)"
    file, version = _run(sys.executable, "-c", code, cwd=ROOT / folder).split()
    assert not file.startswith(str(ROOT / "supervisor"))
    assert version.startswith("4.3.")


def test_supervisord_starts_from_the_root() -> None:
    """`python -m` puts the working directory first on the path."""
    assert _run(sys.executable, "-m", "supervisor.supervisord", "--version", cwd=ROOT).startswith("4.3.")
    assert "supervisorctl" in _run(sys.executable, "-m", "supervisor.supervisorctl", "--help", cwd=ROOT)


def test_no_folder_has_an_init() -> None:
    """The three folders are namespace packages, and stay so."""
    assert [folder for folder in FOLDERS if (ROOT / folder / "__init__.py").exists()] == []
    assert all((ROOT / "src/shardwatch" / folder).is_symlink() for folder in FOLDERS)
