"""The command `vlmad cache` says what is kept and clears it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmad_openclip.store import open_store

from .conftest import Done, vlmad


def cached(*words: str, **env: str) -> Done:
    return vlmad("cache", *words, cwd=Path(), **env)


@pytest.fixture
def filled(cache: Path) -> Path:
    """A cache with two entries of text and one of an image."""
    for kind, key in (("text", "a" * 64), ("text", "b" * 64), ("visual", "c" * 64)):
        store = open_store(kind)  # type: ignore[arg-type]
        assert store is not None
        assert store.write(key, bytes(1000))
    return cache


def entries(kind: str) -> int:
    return len(open_store(kind).entries())  # type: ignore[arg-type, union-attr]


def test_it_shows_place_entries_sizes_and_limits(filled: Path) -> None:
    done = cached()
    assert done.returncode == 0, done.stderr
    assert f"kept in {filled}" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["text", "text", "embeddings", "2", "2.1", "kB", "500.0", "MB"] in rows
    assert ["visual", "features", "of", "images", "1", "1.0", "kB", "4.0", "GB"] in rows


def test_it_clears_what_is_named(filled: Path) -> None:
    assert cached("clear", "--visual").stdout == "deleted 1 entry\n"
    assert entries("text") == 2
    assert cached("clear", "--text").stdout == "deleted 2 entries\n"
    assert entries("text") == 0


def test_it_clears_everything(filled: Path) -> None:
    assert cached("clear").returncode == 0
    assert list(filled.rglob("*.entry")) == []


def test_it_says_why_nothing_is_kept(filled: Path) -> None:
    assert "VLMAD_CACHE switches caches off" in cached(VLMAD_CACHE="off").stdout
    assert cached("clear", VLMAD_CACHE="").stdout == "deleted 0 entries\n"


def test_a_wrong_limit_is_one_line(filled: Path) -> None:
    done = cached(VLMAD_CACHE_GB="much")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line == "vlmad: VLMAD_CACHE_GB must be a positive number of gigabytes, not 'much'"
