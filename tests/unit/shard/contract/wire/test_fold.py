"""The number to which a directory is reduced: equal for what an index and a disk call the same, and different for the rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.contract.files.packed import FILE, LINK, NOTHING, WIDTH, Seen, pack
from shardwatch.shard.contract.wire.fold import fold, folded

_fields = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3),
    st.sampled_from((FILE, LINK)), st.integers(0, 1),
)  # fmt: skip
_directory = st.dictionaries(st.sampled_from([b"a", b"ab", b"b", b"\0x"[1:]]), _fields, max_size=4)


def seen(files: dict[bytes, tuple[int, ...]]) -> Seen:
    names = sorted(files)
    return Seen(names, b"".join(pack(*files[name]) for name in names))


@given(_directory, _directory)
def test_only_equal_directories_fold_to_the_same(one: dict[bytes, tuple[int, ...]], other: dict[bytes, tuple[int, ...]]) -> None:
    """By names, and by what identifies a file: neither the device's number nor `racy` does."""
    alike = {n: (*f[:4], *f[5:7]) for n, f in one.items()} == {n: (*f[:4], *f[5:7]) for n, f in other.items()}
    assert (folded(seen(one)) == folded(seen(other))) == alike


@given(_directory)
def test_rows_fold_to_what_was_seen(files: dict[bytes, tuple[int, ...]]) -> None:
    """The aggregator packs the fields of its rows, with zeros for those that do not count."""
    names = sorted(files)
    rows = [pack(*files[name][:4], 0, *files[name][5:7], 0) for name in names]
    assert fold(names, b"".join(rows)) == folded(seen(files))


def test_a_name_is_not_taken_for_two() -> None:
    """Nor an empty directory for one with a file."""
    numbers = {fold(names, NOTHING * len(names)) for names in ([], [b"a"], [b"a", b"b"], [b"ab"], [b"b", b"a"])}
    assert len(numbers) == 5
    assert folded(Seen([], b"")) == fold([], b"") != fold([b"x" * WIDTH], NOTHING)
