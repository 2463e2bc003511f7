"""A store keeps what it was given, or nothing: never half of it, never something else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import OptionError
from vlmad_openclip.store import Store, find_place, limit_of, open_store

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


def use(store: Store, key: str, seconds: int) -> None:
    """Say when an entry was last used."""
    os.utime(store.path(key), (seconds, seconds))


def keys(store: Store) -> set[str]:
    return {entry.path.stem for entry in store.entries()}


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read(KEY) is None
    assert store.write(KEY, b"content")
    assert store.read(KEY) == b"content"
    assert store.read(OTHER) is None


def test_an_empty_entry_is_an_entry(store: Store) -> None:
    store.write(KEY, b"")
    assert store.read(KEY) == b""


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 38])
def test_a_truncated_entry_is_none(store: Store, length: int) -> None:
    store.write(KEY, b"content")
    path = store.path(KEY)
    path.write_bytes(path.read_bytes()[:length])
    assert store.read(KEY) is None


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_an_entry_with_any_bit_turned_is_none(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    store = Store(tmp_path_factory.mktemp("bits"), 10_000)
    store.write(KEY, b"content")
    data = bytearray(store.path(KEY).read_bytes())
    data[place % len(data)] ^= 1 << bit
    store.path(KEY).write_bytes(bytes(data))
    assert store.read(KEY) is None


def test_an_entry_under_the_name_of_another_is_none(store: Store) -> None:
    store.write(KEY, b"content")
    store.path(OTHER).parent.mkdir()
    store.path(KEY).rename(store.path(OTHER))
    assert store.read(OTHER) is None


def test_a_damaged_entry_is_replaced(store: Store) -> None:
    store.write(KEY, b"content")
    store.path(KEY).write_bytes(b"rubbish")
    store.write(KEY, b"content")
    assert store.read(KEY) == b"content"


def test_the_entries_unused_for_longest_make_room(store: Store) -> None:
    names = [f"{i:02}" * 32 for i in range(4)]
    for seconds, name in enumerate(names):
        store.write(name, bytes(3000 if name != names[3] else 100))
        use(store, name, 1000 + seconds)
    store.read(names[0])  # used just now
    store.write(OTHER, bytes(3000))
    assert keys(store) == {names[0], names[3], OTHER}  # room for nine tenths of the limit
    assert sum(entry.size for entry in store.entries()) <= store.limit


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
        assert store.read(KEY) == b"content"


@pytest.mark.slow
def test_two_processes_that_write_the_same_entry_never_tear_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "kind")]
    writers = [
        subprocess.Popen([*command, letter], stderr=subprocess.PIPE, text=True) for letter in "xyz"
    ]
    failures = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], failures
    found = Store(tmp_path / "kind", 10**9).read(KEY)
    assert found in [letter * 200_000 for letter in (b"x", b"y", b"z")]


# the place


@pytest.mark.parametrize("word", ["", "off", " OFF "])
def test_caches_can_be_switched_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_CACHE", word)
    assert find_place().folder is None
    assert "switches caches off" in find_place().reason
    assert open_store("text") is None


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of the XDG standard")
def test_the_platforms_folder_is_used_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMAD_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere/cache")
    assert find_place().folder == Path("/elsewhere/cache/vlmad")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert find_place().folder == Path("/home/someone/.cache/vlmad")


def test_a_folder_that_anyone_could_write_is_not_believed(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    assert find_place().folder is None
    assert "can be written by all users" in find_place().reason


def test_a_folder_that_its_group_could_write_is_not_believed(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o775)
    assert find_place().reason.endswith(f"users of its group; chmod go-w {cache}")
    cache.chmod(0o755)
    assert find_place().folder == cache


def test_a_kind_whose_folder_others_could_write_is_not_kept(cache: Path) -> None:
    (cache / "visual").mkdir(parents=True)
    (cache / "visual").chmod(0o775)
    assert open_store("visual") is None
    assert open_store("text") is not None


def test_an_entry_that_is_a_pipe_is_no_entry(store: Store) -> None:
    store.path(KEY).parent.mkdir(parents=True)
    os.mkfifo(store.path(KEY))
    assert store.read(KEY) is None


def test_a_file_in_place_of_the_folder_is_told(cache: Path) -> None:
    cache.write_text("")
    assert "is no folder" in find_place().reason


def test_the_limit_of_visual_features_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_CACHE_GB", "0.5")
    assert limit_of("visual") == 500_000_000
    assert limit_of("text") == 500_000_000


@pytest.mark.parametrize("text", ["none", "-1", "0", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_CACHE_GB", text)
    with pytest.raises(OptionError, match="VLMAD_CACHE_GB must be a positive number"):
        limit_of("visual")
