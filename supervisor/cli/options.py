"""Arguments that several commands share: which tree, and where the service is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shardwatch.shard.contract.errors import UsageError

from ..terminal.streams import say

if TYPE_CHECKING:
    from pathlib import Path

    from ..config.config import Resolved
    from ..config.effective import Effective

#: Environment variable that shows the traceback of a defect; no option, so the configuration must not see it.
DEBUG = "SHARDWATCH_DEBUG"
BACKENDS = ("auto", "inotify", "polling", "native")


def add_tree_options(parser: argparse.ArgumentParser) -> None:
    """PATH... and what is watched below it. Each option overrides the environment, which overrides the configuration file."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="what to watch: directories or single files")
    tree = parser.add_argument_group("tree options")
    tree.add_argument(
        "--include",
        action="append",
        metavar="GLOB",
        help="include files that match; replaces the built-in patterns; may be repeated",
    )
    tree.add_argument(
        "--exclude",
        action="append",
        metavar="GLOB",
        help="exclude what matches, in addition to the built-in excludes; may be repeated",
    )
    tree.add_argument("--no-default-excludes", action="store_true", help="disable the built-in excludes")
    tree.add_argument("--directories", action="store_true", help="report directories as well as files")
    meaning = "forget files that are no longer in scope, instead of reporting them as deleted"
    tree.add_argument("--forget-left-out", action="store_true", help=meaning)
    tree.add_argument("--content-only", action="store_true", help="do not report changes of mode, owner or attributes alone")
    meaning = "number of shard processes (default: chosen for the tree and the machine)"
    tree.add_argument("--shards", type=int, metavar="N", help=meaning)
    tree.add_argument("--backend", choices=BACKENDS, help="how changes are detected (default: auto)")
    tree.add_argument(
        "--verify-period-s",
        type=float,
        metavar="N",
        help="seconds in which the verification looks at everything once more; 0: never (default: 86400)",
    )
    tree.add_argument("--hold-for-vcs", action="store_true", help="hold back batches while git or hg changes the files of a PATH")
    tree.add_argument("--wait-for-roots", action="store_true", help="wait for a PATH that does not exist yet")
    meaning = "debounce time in milliseconds before a change is reported (default: 50)"
    tree.add_argument("--settle-ms", type=int, metavar="N", help=meaning)


def add_config_option(parser: argparse.ArgumentParser, default: Any = None) -> None:
    meaning = "configuration file (default: the nearest shardwatch.toml in the working directory or above)"
    parser.add_argument("-c", "--config", dest="config_file", metavar="FILE", default=default, help=meaning)


def add_state_dir_option(
    parser: argparse.ArgumentParser, meaning: str = "state directory of the service", default: Any = None
) -> None:
    parser.add_argument("--state-dir", metavar="DIR", default=default, help=meaning)


def add_json_option(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=what)


def overrides_of(options: argparse.Namespace) -> dict[str, object]:
    """The options given on the command line, by the names that they have in the configuration file."""
    given: dict[str, Any] = {
        "roots": options.paths or None,
        "include": options.include,
        "exclude": options.exclude,
        "default_excludes": False if options.no_default_excludes else None,
        "directories": True if options.directories else None,
        "content_only": True if options.content_only else None,
        "forget_left_out": True if options.forget_left_out else None,
        "hold_for_vcs": True if options.hold_for_vcs else None,
        "wait_for_roots": True if options.wait_for_roots else None,
        "shards": options.shards,
        "backend": options.backend,
        "verify_period_s": options.verify_period_s,
        "settle_ms": options.settle_ms,
        "state_dir": getattr(options, "state_dir", None),
    }
    return {name: value for name, value in given.items() if value is not None}


def resolve_tree(options: argparse.Namespace) -> Resolved:
    """The configuration with its origins, for a command that has the tree options. Raises UsageError."""
    from ..config.config import resolve

    resolved = resolve(config_file=_config_file(options), overrides=overrides_of(options), environ=_environ(), cwd=_cwd(options))
    _warn(resolved.notes)
    return resolved


def effective_tree(options: argparse.Namespace) -> Effective:
    """What a service that is started with these options runs with. Raises UsageError, also where there is no root."""
    found = effective_options(options, overrides_of(options))
    if not found.settings.roots:
        raise UsageError("no directory to watch", hint="give one: PATH..., or `roots` in the configuration")
    return found


def effective_options(options: argparse.Namespace, overrides: Mapping[str, object]) -> Effective:
    """All layers of the configuration, with these on top. Raises UsageError."""
    from ..config.effective import effective

    found = effective(_config_file(options), overrides, _environ(), _cwd(options))
    _warn(found.notes)
    return found


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"shardwatch: warning: {note}")


def _config_file(options: argparse.Namespace) -> Path | None:
    from pathlib import Path

    file = getattr(options, "config_file", None)
    return None if file is None else Path(file)


def _cwd(options: argparse.Namespace) -> Path:
    """The working directory. Where it is gone, only absolute paths mean anything, and no configuration is found in it."""
    from pathlib import Path

    try:
        return Path.cwd()
    except OSError as error:
        named = [*getattr(options, "paths", []), getattr(options, "state_dir", None), getattr(options, "config_file", None)]
        relative = [path for path in named if path is not None and not path.startswith("/")]
        if relative:
            reason = f"{relative[0]!r} is relative to the working directory, which can't be found: {error.strerror}"
            raise UsageError(reason, hint="change to a directory that exists, or give absolute paths") from None
        return Path("/")


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != DEBUG}
