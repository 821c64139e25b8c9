"""Prints the tests that failed in the last run of pytest, a line each, from its cache directory."""

import json
import sys
from pathlib import Path

for name in json.loads((Path(sys.argv[1]) / "v/cache/lastfailed").read_text()):
    print(name)
