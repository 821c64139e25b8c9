"""The default profiles: which files are AST JSON, and which files of editors, version control and build tools are excluded.

The lists of the specification come first. A pattern is added only if its name belongs to one tool. An AST tree mirrors
a source tree, so `target`, `bin`, `coverage`, `env` or `vendor` may well be one of its directories, and `settings.json`
the AST of settings.py. Every pattern has a fast path in `shard.contract.filter.pattern`, so pathspec is never imported
for this profile.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from shardwatch.shard.contract.state import options

#: The specification's ast_file_patterns.
INCLUDE: Final = options.INCLUDE.default

#: The specification's exclude_patterns.
EXCLUDE_SPECIFIED: Final[tuple[str, ...]] = (
    "**/.git/**",
    "**/node_modules/**",
    "**/build/**",
    "**/dist/**",
    "**/__pycache__/**",
    "**/*.tmp",
    "**/*.swp",
)

VERSION_CONTROL: Final[tuple[str, ...]] = (
    *(f"**/{name}/**" for name in (".hg", ".svn", ".jj", ".bzr", ".sl", ".pijul", "_darcs", "CVS")),
    "*.orig",
    "*.rej",
    "*_BACKUP_*.json",  # git mergetool: name_BACKUP_pid.json beside name.json
)

EDITORS: Final[tuple[str, ...]] = (
    *(f"**/{name}/**" for name in (".idea", ".vscode", ".vs", ".fleet", ".zed", ".history", ".settings", ".metadata")),
    "*~",  # vim, emacs, nano and kate backups
    "*.swo",
    "*.swn",
    "*.swx",
    "*.kate-swp",
    "4913",  # vim's test whether it may create files here
    "**/#*#",  # emacs auto-save
    ".#*",  # emacs lock link; it ends in .json
    "*___jb_tmp___",
    "*___jb_old___",
    ".goutputstream-*",
    "*.bak",
    "._*",  # AppleDouble; it ends in .json
    ".DS_Store",
    "*.part",
    "*.crdownload",
    "*.partial",
)

#: What a filesystem keeps for itself, readable for root alone.
FILESYSTEM: Final[tuple[str, ...]] = ("**/lost+found/**",)

#: Directories that one build tool or package manager fills.
BUILD_DIRECTORIES: Final[tuple[str, ...]] = tuple(
    f"**/{name}/**"
    for name in (
        # Python
        ".venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".eggs",
        "*.egg-info", "*.dist-info", "site-packages", "__pypackages__", ".ipynb_checkpoints", ".pyre", ".pytype",
        "htmlcov",
        # JavaScript
        "bower_components", "jspm_packages", ".npm", ".yarn", ".pnpm-store", ".next", ".nuxt", ".svelte-kit",
        ".angular", ".turbo", ".nx", ".parcel-cache", ".vite", ".nyc_output", ".docusaurus", ".expo", ".vercel",
        ".netlify", ".serverless", ".wrangler", ".sass-cache", ".vscode-test",
        # JVM, .NET, native and others
        ".gradle", ".bloop", ".metals", ".bsp", ".stack-work", "dist-newstyle", "_build", ".build", ".dart_tool",
        "CMakeFiles", ".cmake", "cmake-build-*", "meson-info", "meson-private", "meson-logs", "bazel-out", ".ccache",
        ".terraform", ".cache",
        # `target` alone may be a package of ours; these are cargo's and maven's.
        "target/debug", "target/release", "target/doc", "target/classes", "target/test-classes", "target/maven-status",
        "target/surefire-reports",
    )
)  # fmt: skip

#: JSON that configures a tool, by names that belong to that tool alone.
TOOL_FILES: Final[tuple[str, ...]] = (
    # package managers
    "package.json", "package-lock.json", "npm-shrinkwrap.json", "composer.json", "bower.json",
    "lerna.json", "deno.json", "jsr.json", "elm.json", "vcpkg.json",
    # compilers and bundlers
    "tsconfig.json", "tsconfig.*.json", "tsconfig-*.json", "jsconfig.json", "CMakePresets.json",
    "CMakeUserPresets.json", "angular.json", "nest-cli.json", "ng-package.json", "babel.config.json", "turbo.json",
    "nx.json", "api-extractor.json",
    # linters, formatters, services
    ".*rc.json", "tslint.json", "biome.json", "pyrightconfig.json", "renovate.json", "devcontainer.json", "vercel.json",
    "firebase.json", "release-please-config.json", ".release-please-manifest.json", "launchSettings.json",
)  # fmt: skip

#: JSON that tools write for themselves, likewise.
TOOL_OUTPUT: Final[tuple[str, ...]] = (
    # package managers
    ".package-lock.json", "project.assets.json", "*.nuget.dgspec.json",
    # compilers and bundlers
    "*.tsbuildinfo", "compile_commands.json", "*.deps.json", "*.runtimeconfig.json", ".rustc_info.json",
    "webpack-stats.json",
    # reports
    "coverage-final.json", "coverage-summary.json", ".eslintcache", ".last-run.json",
)  # fmt: skip

#: Everything that is left out unless `default_excludes` is false.
EXCLUDE: Final[tuple[str, ...]] = (
    *EXCLUDE_SPECIFIED,
    *VERSION_CONTROL,
    *EDITORS,
    *FILESYSTEM,
    *BUILD_DIRECTORIES,
    *TOOL_FILES,
    *TOOL_OUTPUT,
)


class Profile(NamedTuple):
    """Patterns that count where nobody gives others."""

    include: tuple[str, ...]
    #: Unless `default_excludes` is false.
    exclude: tuple[str, ...]
    #: Whether what ignore files name is left out, unless `ignore_files` is given.
    ignore_files: bool = options.IGNORE_FILES.default


#: For an extract stage.
AST: Final = Profile(INCLUDE, EXCLUDE)
#: For a command that is run for ordinary files (`exec PATH`): every file that is no noise. What configures a tool is none, and
#: what tools write for themselves need not be JSON.
ORDINARY: Final = Profile(
    ("*",), (*(pattern for pattern in EXCLUDE if pattern not in TOOL_FILES), "*.pyc", "*.pyo", ".coverage", ".coverage.*"),
    ignore_files=True,
)
