"""Takes away coverage files that were not written whole: `torn.py FOLDER`, before `coverage combine`.

A process writes its file when it ends, without a journal; one that a test kills at that moment leaves half of it. For most of
these `combine` warns, but where the head of the file is whole it fails, and nothing is combined. Here each file is combined
with nothing first. What fails there is named and removed. What its process ran then counts only where another ran it too, so
the report can only become worse by it, and still has to reach its minimum.

Ends with 1 where more files are torn than kills can explain: then something is wrong with how they are written.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException

#: So many of all files may be torn, one at least in any case.
SHARE_MAX = 0.05


def fault(file: Path) -> str:
    """What keeps `coverage combine` from taking in this file; "" for one that is whole."""
    into = CoverageData(no_disk=True)
    try:
        into.update(CoverageData(str(file), read_only=True), map_path=str)
    except (CoverageException, sqlite3.Error) as error:
        return str(error)
    finally:
        into.close(force=True)
    return ""


def main(folder: Path) -> int:
    files = sorted(path for path in folder.glob(".coverage.*") if not path.name.endswith("-journal"))
    torn = {file: said for file in files if (said := fault(file))}
    for file, said in torn.items():
        print(f"not written whole, left out: {file.name} ({said})")
        file.unlink()
    if len(torn) > max(1, len(files) * SHARE_MAX):
        print(f"{len(torn)} of {len(files)} coverage files were not written whole: that is no accident")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
