"""A store keeps what it was given, or nothing: never half of it, never something else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from vlmad.errors import OptionError
from vlmad_openclip.store import (
    Store,
    find_place,
    key_of,
    limit_of,
    open_store,
    pack,
    remembered_digest,
    stamp,
    tensor_digest,
    unpack,
)

KEY, OTHER = "ab" * 32, "cd" * 32
WRITER = """
import sys
from pathlib import Path
from vlmad_openclip.store import Store
store = Store(Path(sys.argv[1]), 10**9)
mine = sys.argv[2].encode() * 200_000
for _ in range(60):
    assert store.write("ab" * 32, mine)
    found = store.read("ab" * 32)
    assert found is not None and len(found) == 200_000 and len(set(found)) == 1, "torn"
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "kind", limit=10_000)


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read(KEY) is None
    for content in (b"content", b""):
        assert store.write(KEY, content)
        assert store.read(KEY) == content
    assert store.read(OTHER) is None


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 38])
def test_a_truncated_entry_is_none_and_is_replaced(store: Store, length: int) -> None:
    store.write(KEY, b"content")
    path = store.path(KEY)
    path.write_bytes(path.read_bytes()[:length])
    assert store.read(KEY) is None
    store.write(KEY, b"content")
    assert store.read(KEY) == b"content"


def test_an_entry_with_any_bit_turned_is_none(store: Store) -> None:
    store.write(KEY, b"content")
    whole = store.path(KEY).read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        store.path(KEY).write_bytes(bytes(data))
        assert store.read(KEY) is None


def test_what_is_under_another_name_or_no_file_is_no_entry(store: Store) -> None:
    store.write(KEY, b"content")
    store.path(OTHER).parent.mkdir()
    store.path(KEY).rename(store.path(OTHER))
    assert store.read(OTHER) is None
    os.mkfifo(store.path(KEY))
    assert store.read(KEY) is None


def test_the_entries_unused_for_longest_make_room(store: Store) -> None:
    names = [f"{i:02}" * 32 for i in range(4)]
    for seconds, name in enumerate(names):
        store.write(name, bytes(3000 if name != names[3] else 100))
        os.utime(store.path(name), (1000 + seconds, 1000 + seconds))
    store.read(names[0])  # used just now
    store.write(OTHER, bytes(3000))
    kept = {entry.path.stem for entry in store.entries()}
    assert kept == {names[0], names[3], OTHER}  # room for nine tenths of the limit


def test_entries_that_are_small_beside_the_limit_stay_within_it_too(store: Store) -> None:
    for number in range(1000):
        store.write(f"{number:064}", bytes(50))
    assert sum(entry.size for entry in store.entries()) < 2 * store.limit


def test_an_entry_beyond_the_limit_is_not_kept(store: Store) -> None:
    store.write(KEY, bytes(20_000))
    assert store.read(KEY) is None


def test_what_interrupted_writers_left_goes_with_the_rest(store: Store) -> None:
    store.write(KEY, b"content")
    left = store.path(KEY).parent / f".{KEY[:40]}.xyz"
    left.write_bytes(b"half")
    assert store.clear() == 1
    assert not left.exists()
    assert store.entries() == []


def test_the_folder_is_its_owners_alone(store: Store) -> None:
    store.write(KEY, b"content")
    for folder in (store.folder, store.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file stands where the folder should be")
    for folder in (tmp_path / "file" / "kind", Path("/proc/no/such/place")):
        store = Store(folder, 10_000)
        assert store.write(KEY, b"content") is False
        assert store.read(KEY) is None
        assert store.clear() == 0


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while where the tests run as root, who writes where nobody may."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_is_read_only_is_still_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below a folder that only root may enter
        store = Store(Path(folder) / "kind", 10_000)
        store.write(KEY, b"content")
        folders = [Path(folder), store.folder, store.path(KEY).parent]
        for each in folders:
            each.chmod(0o555)
        with without_privileges():
            assert store.write(OTHER, b"content") is False
            assert store.read(KEY) == b"content"
            assert store.clear() == 0
        for each in folders:
            each.chmod(0o755)


def test_a_folder_that_others_could_write_is_not_believed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    for mode in (0o777, 0o775):
        cache.chmod(mode)
        assert find_place() == (None, f"{cache} can be written by others; chmod go-w {cache}")
    cache.chmod(0o755)
    assert find_place() == (cache, "")
    cache.rmdir()
    cache.write_text("")
    assert find_place() == (None, f"{cache} is no folder; set VLMAD_CACHE to another")
    for word in ("", "off", " OFF "):
        monkeypatch.setenv("VLMAD_CACHE", word)
        assert find_place() == (None, "VLMAD_CACHE switches caches off")
        assert open_store("text") is None


@pytest.mark.slow
def test_processes_that_write_the_same_entry_never_tear_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "kind")]
    writers = [
        subprocess.Popen([*command, letter], stderr=subprocess.PIPE, text=True) for letter in "xy"
    ]
    failures = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], failures
    assert Store(tmp_path / "kind", 10**9).read(KEY) in (b"x" * 200_000, b"y" * 200_000)


def test_a_kind_whose_folder_others_could_write_is_not_kept(cache: Path) -> None:
    (cache / "visual").mkdir(parents=True)
    (cache / "visual").chmod(0o775)
    assert open_store("visual") is None
    assert open_store("text") is not None


def test_the_limit_of_visual_features_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_CACHE_GB", "0.5")
    assert limit_of("visual") == limit_of("text") == 500_000_000
    for text in ("none", "-1", "0", "nan", "inf"):
        monkeypatch.setenv("VLMAD_CACHE_GB", text)
        with pytest.raises(OptionError, match="VLMAD_CACHE_GB must be a positive number"):
            limit_of("visual")


# keys and contents

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)
FACTS = st.dictionaries(st.text(), VALUES, max_size=5)


def alike(a: Any, b: Any) -> bool:
    """Tell whether two values are equal and of equal types throughout."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return repr(a) == repr(b)  # -0.0 is another number than 0.0


@settings(max_examples=30)
@given(a=FACTS, b=FACTS)
def test_different_facts_have_different_keys_whatever_their_order(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    assert key_of(a) == key_of(dict(reversed(a.items())))
    assert (key_of(a) == key_of(b)) == alike(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, True), (1, 1.0), ("1", 1), (None, "None"), ([1], (1,)), ({}, []), (Path("a"), "a")],
)
def test_values_of_different_types_have_different_keys(a: Any, b: Any) -> None:
    assert key_of({"a": a}) != key_of({"a": b})


def test_the_order_of_a_set_does_not_matter() -> None:
    words = [f"word {i}" for i in range(50)]
    assert key_of({"a": frozenset(words)}) == key_of({"a": frozenset(reversed(words))})


@pytest.mark.parametrize("other", [torch.zeros(6), torch.zeros(2, 3).double(), torch.ones(2, 3)])
def test_tensors_differ_by_type_shape_and_values(other: torch.Tensor) -> None:
    assert tensor_digest(other) != tensor_digest(torch.zeros(2, 3))
    assert tensor_digest(torch.zeros(3, 2).T) == tensor_digest(torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_tensor_is_packed_without_a_change(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    unpacked = unpack(pack(tensor.T))
    assert unpacked is not None
    assert unpacked.dtype == dtype
    assert torch.equal(unpacked, tensor.T)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_neither_packed_nor_unpacked(number: float) -> None:
    assert pack(torch.tensor([1.0, number])) is None
    assert unpack(save({"value": torch.tensor([1.0, number])})) is None


@pytest.mark.parametrize(
    "content", [None, b"", b"rubbish", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{}"]
)
def test_what_is_no_tensor_is_none(content: bytes | None) -> None:
    assert unpack(content) is None


# digests of files


def settled(path: Path, content: bytes, seconds: int = 1_000_000_000) -> Path:
    """Write a file that was last changed long ago."""
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


def digest(path: Path, value: str, purpose: str = "bytes") -> str:
    return remembered_digest(path, stamp(path), purpose, lambda: value)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute from now: what a test has just written counts as left alone."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)


@pytest.mark.usefixtures("later", "cache")
def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path) -> None:
    path = settled(tmp_path / "weights", b"abc")
    assert digest(path, "first") == "first"
    assert digest(path, "not computed again") == "first"
    assert digest(path, "another purpose", "tensors") == "another purpose"
    settled(path, b"abcd")
    assert digest(path, "longer") == "longer"
    settled(path, b"abce", seconds=1_000_000_001)
    assert digest(path, "newer") == "newer"
    settled(path, b"abcf", seconds=1_000_000_001)
    assert digest(path, "same length and time") == "same length and time"
    path.unlink()
    settled(tmp_path / "filler", b"")  # or the file system may give the inode out again
    settled(path, b"abc")
    assert digest(path, "another file") == "another file"


@pytest.mark.usefixtures("cache")
def test_a_file_that_was_just_written_is_not_yet_trusted(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digest(path, "first")
    assert digest(path, "again") == "again"


@pytest.mark.usefixtures("later", "cache")
def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(tmp_path: Path) -> None:
    path = settled(tmp_path / "weights", b"abc")

    def compute() -> str:
        settled(path, b"other")
        return "of the other content"

    remembered_digest(path, stamp(path), "bytes", compute)
    settled(path, b"abc")
    assert digest(path, "of abc") == "of abc"
