#!/usr/bin/env bash
# Native code under the address and the undefined behaviour sanitizer: its property tests, with many rounds of damaged input, and
# the tests of those who use it. In a copy of the tree, so that what is installed stays as it is.
#
#   tests/sanitize.sh [ROUNDS]
#
# Run by `make sanitize`. Needs gcc and Python's header files.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-30000}
python=$PWD/.venv/bin/python
tests="tests/property/test_compiled.py tests/unit/shard/disk"

copy=$(mktemp -d /tmp/swt-sanitize-XXXXXX)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' name; do
  if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\0' "$name"; fi
done | xargs -0 cp --parents --no-dereference --target-directory="$copy"

include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
gcc -shared -fPIC -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Werror \
  -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -I"$include" \
  shard/compiled/_loops.c -o "$copy/shard/compiled/_loops$suffix"

cd "$copy"
# Python's own allocator would hide what lies beyond an object; what Python leaves allocated at its end is no leak of ours.
# A skipped test fails: the one reason for it is that native code could not be loaded.
export PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 SW_FUZZ_ROUNDS=$rounds SHARDWATCH_NATIVE=1
export SW_TESTS_MUST_RUN=1 SW_TESTS_WITH_PARENT=1 PYTHONDONTWRITEBYTECODE=1
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  "$python" -m pytest -n 2 --dist loadgroup -q -p no:cacheprovider $tests
