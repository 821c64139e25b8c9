"""More changes than a kernel's queue holds, as fast as they go: every file's time, many files made and gone.

`python -I storm.py ROOT` prints how many there were. While it works others may take away what it works on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

#: Where files are touched; all that a shard may own.
_TOUCHED = ("src", "vendor", "synced", "copies", "repo/lib", "repo/more", "repo/lib2")
_MADE = 8000


def main() -> None:
    root = sys.argv[1]
    hits = 0
    for name in _TOUCHED:
        for above, _, files in os.walk(os.path.join(root, name)):
            for file in files:
                with contextlib.suppress(OSError):
                    os.utime(os.path.join(above, file), follow_symlinks=False)
                    hits += 1
    with contextlib.suppress(OSError):
        for where in ("hot", "src"):
            made = os.path.join(root, where, "storm")
            os.makedirs(made, exist_ok=True)
            for number in range(_MADE):
                path = os.path.join(made, f"s{number}.json")
                with open(path, "w"):  # noqa: PTH123 - for speed
                    pass
                if number % 3:
                    os.unlink(path)
                hits += 2
            shutil.rmtree(made)
    print(hits)


if __name__ == "__main__":
    main()
