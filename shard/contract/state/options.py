"""Every option of a service, defined once: its name, what it may be, its default, what it does, and where it may be set.

All else that is said or done about an option comes from here: the defaults of the engine's settings (`settings`) and of
`WatcherConfig`, what `supervisor.config` checks and reads from files and the environment, the command line and its `--help`, and
what `shardwatch config` prints. docs/configuration.md is compared with it by a test.

Every option can be set in a configuration file and by an environment variable; some can be set on the command line too.

Plain data, without any import that costs something, because each process of a service loads it.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

T = TypeVar("T")

PRIORITY_MAX: Final = 1_000
#: Shards that may be set.
SHARDS_ALLOWED: Final = 64
POLL_MS_ALLOWED: Final = 3_600_000
#: Of a processor core.
PERCENT_ALLOWED: Final = 100
BACKENDS: Final = ("auto", "inotify", "fanotify", "polling", "native")
IO_CLASSES: Final = ("inherited", "best-effort", "idle")
DURABILITIES: Final = ("process", "power")
LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class Kind:
    """What the value of an option may be."""

    __slots__ = ("allowed",)

    def __init__(self, allowed: str) -> None:
        #: The same in words, as in "must be ...".
        self.allowed = allowed


class Scalar(Kind):
    """One value, and no list, table or path."""

    __slots__ = ()


class Switch(Scalar):
    """True or false."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("true or false")


class Whole(Scalar):
    """A whole number within two bounds, both allowed."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        super().__init__(f"a whole number from {low} to {high}")
        self.low, self.high = low, high


class Number(Scalar):
    """A number within two bounds, both allowed."""

    __slots__ = ("high", "low")

    def __init__(self, low: float, high: float) -> None:
        super().__init__(f"a number from {low} to {high}")
        self.low, self.high = low, high


class Choice(Scalar):
    """One of several names."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("one of " + ", ".join(names))
        self.names = names


class Paths(Kind):
    """A list of paths."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("a list of paths")


class Directory(Kind):
    """The path of a directory."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("a path")


class Patterns(Kind):
    """A list of gitignore patterns."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("a list of gitignore patterns")


class Priorities(Kind):
    """A whole number for each of several gitignore patterns."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(f"a table of gitignore pattern to a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}")


class Option(Generic[T]):
    """One option.

    Args:
        name: as a configuration file has it. It ends in the unit of the value.
        default: the value where nobody sets one.
        kind: what a value may be.
        text: what it does, in one line.
        on_command_line: whether the commands about a tree take it as an argument.
        flag: what it is called there without its dashes, if not after its name. `no-` before it then turns it off.
    """

    __slots__ = ("default", "flag", "kind", "name", "on_command_line", "text")

    def __init__(
        self, name: str, default: T, kind: Kind, text: str, *, on_command_line: bool = False, flag: str = ""
    ) -> None:
        self.name = name
        self.default = default
        self.kind = kind
        self.text = text
        self.on_command_line = on_command_line
        self.flag = flag


ROOTS: Final[Option[tuple[bytes, ...]]] = Option(
    "roots",
    (),
    Paths(),
    "what to watch: directories or single files",
    on_command_line=True,
)
WAIT_FOR_ROOTS: Final = Option(
    "wait_for_roots",
    False,
    Switch(),
    "wait for a root that does not exist yet",
    on_command_line=True,
)
#: The default is the specification's ast_file_patterns.
INCLUDE: Final[Option[tuple[str, ...]]] = Option(
    "include",
    ("*.json", "**/*.ast.json", "**/ast/*.json"),
    Patterns(),
    "include files that match; replaces the built-in patterns",
    on_command_line=True,
)
#: `supervisor.config.profile` has what is left out besides, unless DEFAULT_EXCLUDES is false.
EXCLUDE: Final[Option[tuple[str, ...]]] = Option(
    "exclude",
    (),
    Patterns(),
    "exclude what matches, in addition to the built-in excludes",
    on_command_line=True,
)
DEFAULT_EXCLUDES: Final = Option(
    "default_excludes",
    True,
    Switch(),
    "apply the built-in excludes",
    on_command_line=True,
)
#: On by default for `exec PATH` (`supervisor.config.profile`).
IGNORE_FILES: Final = Option(
    "ignore_files",
    False,
    Switch(),
    "leave out what .gitignore, .ignore and .shardwatchignore name",
    on_command_line=True,
    flag="gitignore",
)
RECURSIVE: Final = Option(
    "recursive",
    True,
    Switch(),
    "watch everything below a root, and not only the files directly in it",
)
FOLLOW_SYMLINKS: Final = Option(
    "follow_symlinks",
    False,
    Switch(),
    "follow symbolic links",
)
DIRECTORIES: Final = Option(
    "directories",
    False,
    Switch(),
    "report directories as well as files",
    on_command_line=True,
)
CONTENT_ONLY: Final = Option(
    "content_only",
    False,
    Switch(),
    "do not report changes of mode, owner or attributes alone",
    on_command_line=True,
)
FORGET_LEFT_OUT: Final = Option(
    "forget_left_out",
    False,
    Switch(),
    "forget files that are no longer in scope, instead of reporting them as deleted",
    on_command_line=True,
)
SETTLE_MS: Final = Option(
    "settle_ms",
    50,
    Whole(0, 60_000),
    "debounce time in milliseconds before a change is reported",
    on_command_line=True,
)
SETTLE_MS_MAX: Final = Option(
    "settle_ms_max",
    1000,
    Whole(0, 600_000),
    "milliseconds after which a path that keeps changing is reported nevertheless",
)
BATCH_SIZE_MAX: Final = Option(
    "batch_size_max",
    1000,
    Whole(1, 100_000),
    "events in one batch at most",
)
BATCH_WAIT_MS: Final = Option(
    "batch_wait_ms",
    2000,
    Whole(0, 600_000),
    "milliseconds that a pull waits for a first event at most",
)
LEASE_MS: Final = Option(
    "lease_ms",
    60_000,
    Whole(100, 86_400_000),
    "milliseconds to acknowledge a batch before it is handed out again",
)
LEASES_MAX: Final = Option(
    "leases_max",
    64,
    Whole(1, 10_000),
    "unacknowledged batches that one group may hold",
)
HOLD_FOR_VCS: Final = Option(
    "hold_for_vcs",
    False,
    Switch(),
    "hold back batches while git or hg changes the files of a root",
    on_command_line=True,
)
HOLD_MS_MAX: Final = Option(
    "hold_ms_max",
    60_000,
    Whole(100, 86_400_000),
    "milliseconds for which batches are held back without a break at most",
)
ATTEMPTS_MAX: Final = Option(
    "attempts_max",
    5,
    Whole(1, 1_000),
    "failures after which a path is set aside",
)
PRIORITIES: Final[Option[dict[str, int]]] = Option(
    "priorities",
    {},
    Priorities(),
    "pattern to priority; higher is served first, first in first out within one",
)
QUEUE_SIZE_MAX: Final = Option(
    "queue_size_max",
    1_000_000,
    Whole(1, 100_000_000),
    "rows that the Python API's EventQueue holds at most",
)
RETENTION_DAYS: Final = Option(
    "retention_days",
    7.0,
    Number(0.01, 3_650),
    "days after which the position of a group that shows no sign of life is forgotten",
)
REPLAY_S: Final = Option(
    "replay_s",
    3600.0,
    Number(0, 31_536_000),
    "seconds for which deletions are kept for a group that goes back to an earlier tick",
)
SHARDS: Final = Option(
    "shards",
    0,
    Whole(0, SHARDS_ALLOWED),
    "number of shard processes; 0: chosen for the tree and the machine",
    on_command_line=True,
)
REBALANCE_S: Final = Option(
    "rebalance_s",
    600.0,
    Number(0, 31_536_000),
    "seconds for which shards have uneven shares before subtrees move; 0: only by `shardwatch rebalance`",
)
BACKEND: Final = Option(
    "backend",
    "auto",
    Choice(BACKENDS),
    "how changes are detected",
    on_command_line=True,
)
POLL_MS: Final = Option(
    "poll_ms",
    1000,
    Whole(50, POLL_MS_ALLOWED),
    "milliseconds between two looks at a directory that is polled, at least",
)
POLL_MS_MAX: Final = Option(
    "poll_ms_max",
    60_000,
    Whole(1_000, POLL_MS_ALLOWED),
    "milliseconds within which each polled directory is looked at, if poll_cpu_percent suffices",
)
POLL_CPU_PERCENT: Final = Option(
    "poll_cpu_percent",
    5.0,
    Number(0.1, PERCENT_ALLOWED),
    "percent of a processor core that polling may take",
)
VERIFY_PERIOD_S: Final = Option(
    "verify_period_s",
    86_400.0,
    Number(0, 31_536_000),
    "seconds in which the verification looks at everything once more; 0: never",
    on_command_line=True,
)
VERIFY_CPU_PERCENT: Final = Option(
    "verify_cpu_percent",
    0.05,
    Number(0.001, PERCENT_ALLOWED),
    "percent of a processor core that the verification may take",
)
RESCAN_FILES_PER_S: Final = Option(
    "rescan_files_per_s",
    0,
    Whole(0, 10_000_000),
    "files and directories that scans of whole subtrees look at per second; 0: as many as they can",
)
MEMORY_MIB_MAX: Final = Option(
    "memory_mib_max",
    0,
    Whole(0, 1_048_576),
    "MiB of memory at which a shard or the aggregator is started again; 0: no limit",
)
NICENESS: Final = Option(
    "niceness",
    0,
    Whole(-20, 19),
    "niceness of the processes; 0: as the service was started",
)
IO_CLASS: Final = Option(
    "io_class",
    "inherited",
    Choice(IO_CLASSES),
    "class of the input and output of the processes; inherited: as the service was started",
)
IO_LEVEL: Final = Option(
    "io_level",
    4,
    Whole(0, 7),
    "level within the class best-effort, 0 is served first",
)
DURABILITY: Final = Option(
    "durability",
    "process",
    Choice(DURABILITIES),
    "what acknowledged changes survive: the crash of a process, or of the machine too",
)
LOG_FORMAT: Final = Option(
    "log_format",
    "text",
    Choice(LOG_FORMATS),
    "what the lines of the logs are: text for people, or JSON objects",
)
LOG_LEVEL: Final = Option(
    "log_level",
    "info",
    Choice(LOG_LEVELS),
    "the least level of what is logged",
)
#: None: `supervisor.config.default_place` names one.
STATE_DIR: Final[Option[str | None]] = Option(
    "state_dir",
    None,
    Directory(),
    "directory of the index, the groups, logs and sockets",
    on_command_line=True,
)

#: All of them by name, in the order of their definition, which is that of docs/configuration.md.
OPTIONS: Final[dict[str, Option[object]]] = {one.name: one for one in list(globals().values()) if isinstance(one, Option)}
