"""A watched folder: each image once, when it is whole, whatever happens to the files."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_line import _notifications, watched_folder
from vlmad_line._folders import Folders
from vlmad_line._notifications import sends_none
from vlmad_line.endpoints import Arrival
from vlmad_line.ledger import Ledger
from vlmad_line.sources import feed_of
from vlmad_line.watched_folder import WatchedFolder, is_whole
from vlmad_run import walking


class Watched:
    """What a watched folder gives, step by step."""

    def __init__(self, root: Path, poll: bool) -> None:
        self.root, self.stop, self.folder = root, threading.Event(), WatchedFolder(poll=poll)
        self._early: list[Arrival | None] = []
        self._arrivals = self.folder.arrivals(str(root), self.stop)

    def steps(self, most: int = 2400) -> Iterator[Arrival | None]:
        for _ in range(most):
            yield self._early.pop(0) if self._early else next(self._arrivals)
        pytest.fail("it does not come")

    def until(self, count: int) -> list[str]:
        """Return the names of the next images."""
        found: list[str] = []
        for each in self.steps():
            if each is not None:
                found.append(str(Path(each.name).relative_to(self.root)))
            if len(found) == count:
                return found
        return found

    def looked_through(self) -> None:
        """Go on until all that is there was looked at."""
        self._early += [next(self._arrivals) for _ in range(3)]


@pytest.fixture(params=["told", "polled"])
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    root = tmp_path / "in"
    root.mkdir()
    made = Watched(root, request.param == "polled")
    made.looked_through()
    yield made
    made.stop.set()


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    return (tmp_path / "image.png").read_bytes()


def test_an_image_is_taken_when_it_is_whole_and_not_before(watched: Watched, png: bytes) -> None:
    file = watched.root / "slow.png"
    file.write_bytes(png[:900])
    (watched.root / "other.png").write_bytes(png)
    assert watched.until(1) == ["other.png"]
    with file.open("ab") as more:
        more.write(png[900:])
    assert watched.until(1) == ["slow.png"]


def test_what_never_is_whole_is_taken_all_the_same(
    watched: Watched, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_folder, "PATIENCE", 0.2)
    (watched.root / "cut.png").write_bytes(png[:900])
    (watched.root / "photo.heic").write_bytes(b"not read here")
    assert sorted(watched.until(2)) == ["cut.png", "photo.heic"]


def test_a_pipe_with_the_name_of_an_image_holds_nothing_up(tmp_path: Path) -> None:
    pipe, said = tmp_path / "pipe.png", list[bool]()
    os.mkfifo(pipe)
    looks = threading.Thread(target=lambda: said.append(is_whole(pipe, 9.0)), daemon=True)
    looks.start()
    looks.join(20)
    assert said == [False]  # so that it is taken after a while, and is NG


def test_a_file_of_zeros_is_given_time_to_be_filled(watched: Watched, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "image.bmp")
    whole = (tmp_path / "image.bmp").read_bytes()
    file = watched.root / "made.bmp"
    file.write_bytes(whole[:54] + bytes(len(whole) - 54))  # its room is made, its head is written
    (watched.root / "other.bmp").write_bytes(whole)
    assert watched.until(1) == ["other.bmp"]
    file.write_bytes(whole)
    assert watched.until(1) == ["made.bmp"]


def test_a_file_that_is_written_aside_and_renamed_is_taken_once(
    watched: Watched, png: bytes
) -> None:
    for aside, name in ((".a.png", "a.png"), ("b.png.part", "b.png"), ("c.tmp", "c.png")):
        (watched.root / aside).write_bytes(png)
        watched.looked_through()
        os.replace(watched.root / aside, watched.root / name)
    found = watched.until(3)
    (watched.root / "end.png").write_bytes(png)
    assert sorted(found) == ["a.png", "b.png", "c.png"]
    assert watched.until(1) == ["end.png"]


def test_what_goes_away_while_it_is_looked_at_costs_nothing(watched: Watched, png: bytes) -> None:
    for number in range(5):
        (watched.root / f"gone{number}.png").write_bytes(png[:900])
    watched.looked_through()
    for number in range(5):
        (watched.root / f"gone{number}.png").unlink()
    (watched.root / "stays.png").write_bytes(png)
    assert watched.until(1) == ["stays.png"]


def test_a_folder_that_is_moved_in_is_looked_through(
    watched: Watched, png: bytes, tmp_path: Path
) -> None:
    (tmp_path / "shift" / "a").mkdir(parents=True)
    for name in ("a/1.png", "2.png", ".hidden.png", "notes.txt"):
        (tmp_path / "shift" / name).write_bytes(png)
    shutil.move(tmp_path / "shift", watched.root / "shift")
    assert sorted(watched.until(2)) == ["shift/2.png", "shift/a/1.png"]


def test_a_file_that_is_written_anew_is_another_image(watched: Watched, png: bytes) -> None:
    latest = watched.root / "latest.png"
    for _ in range(3):
        latest.write_bytes(png)
        assert watched.until(1) == ["latest.png"]
    os.replace(latest, watched.root / "latest.1.png")
    assert watched.until(1) == ["latest.1.png"]


def test_what_was_judged_before_is_not_taken_again(tmp_path: Path, png: bytes) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(png)
    seen = WatchedFolder().keys(str(tmp_path))
    (tmp_path / "image.png").unlink()
    (tmp_path / "3.png").write_bytes(png)
    stop = threading.Event()
    arrivals = filter(None, WatchedFolder(seen, once=True).arrivals(str(tmp_path), stop))
    [found] = arrivals
    assert Path(found.name).name == "3.png"
    assert found.stamp == watched_folder.stamp_of(tmp_path / "3.png")


def test_a_folder_that_goes_away_is_said(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_folder, "LOOK_AGAIN", 0.1)
    monkeypatch.setattr(watched_folder, "AT_MOST", 1.0)
    shutil.rmtree(watched.root)
    with pytest.raises(InputError, match="No such file"):
        watched.until(1)


def test_a_disk_that_is_unmounted_is_said_though_its_empty_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, mounts = tmp_path / "the disk", tmp_path / "mounts"
    root.mkdir()
    monkeypatch.setattr(_notifications, "MOUNTS", mounts)
    place = str(root).replace(" ", "\\040")
    disks = ["/dev/sda / ext4 rw 0 0\n", f"/dev/sdb {place} ext4 rw 0 0\n"]
    mounts.write_text("".join(disks))
    folder = WatchedFolder()
    assert list(folder._look_through(root)) == []
    mounts.write_text(disks[0])
    for _ in range(2):
        with pytest.raises(InputError, match=f"nothing is mounted at {root} any more"):
            list(folder._look_through(root))
    mounts.write_text("".join([*disks, f"//host/x {place}/camera cifs rw 0 0\n"]))
    with pytest.raises(InputError, match="camera was mounted meanwhile"):
        list(folder._look_through(root))
    assert list(folder._look_through(root)) == []


def test_where_nobody_tells_what_is_mounted_a_folder_is_looked_through_all_the_same(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_notifications, "MOUNTS", tmp_path / "none")
    root = tmp_path / "in"
    root.mkdir()
    (root / "1.png").write_bytes(png)
    folder = WatchedFolder()
    for _ in range(3):
        list(folder._look_through(root))
    assert list(folder._waiting) == [root / "1.png"]


def test_a_folder_below_that_cannot_be_looked_into_any_more_is_said_and_its_images_stay_judged(
    watched: Watched, png: bytes, tmp_path: Path
) -> None:
    (tmp_path / "share").mkdir()
    (watched.root / "gone").mkdir()
    (watched.root / "camera").symlink_to(tmp_path / "share")
    (tmp_path / "share" / "1.png").write_bytes(png)
    stop = threading.Event()
    assert watched.until(1) == ["camera/1.png"]
    (watched.root / "gone").rmdir()
    (tmp_path / "share").rename(tmp_path / "away")
    with pytest.raises(InputError, match="camera: No such file"):
        list(watched.folder._look_through(watched.root))
    with pytest.raises(InputError, match="camera: No such file"):
        next(watched.folder.arrivals(str(watched.root), stop))
    (tmp_path / "away").rename(tmp_path / "share")
    (tmp_path / "share" / "2.png").write_bytes(png)
    watched.folder.once = True
    arrivals = watched.folder.arrivals(str(watched.root), stop)
    assert [Path(each.name).name for each in arrivals if each is not None] == ["2.png"]


def test_a_folder_that_goes_while_it_is_looked_into_is_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "monday").mkdir()

    def goes(folder: Path) -> walking.Place:
        place = look_into(folder)
        if folder.name == "monday":
            folder.rmdir()
        return place

    look_into = walking.look_into
    monkeypatch.setattr(walking, "look_into", goes)
    assert [place.path for place in Folders().look_through(tmp_path)] == [tmp_path]


def test_what_is_written_into_folders_that_are_passed_over_is_no_news(tmp_path: Path) -> None:
    for name in (".tmp/a", "masks", "shift"):
        (tmp_path / name).mkdir(parents=True)
    folders = Folders()
    list(folders.look_through(tmp_path))
    for name in (".tmp", ".tmp/1.png", ".tmp/a/1.png", "masks/1.png", "1.png", "shift/1.png"):
        assert not folders.is_news(tmp_path / name), name
    for name in ("shift", "new/1.png", "shift/a/1.png"):
        assert folders.is_news(tmp_path / name), name


def test_a_long_look_gives_signs_of_life_and_a_share_is_looked_at_again_soon_after(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_folder, "SIGN", -1.0)
    monkeypatch.setattr(watched_folder, "AT_MOST", 1e-9)
    root = tmp_path / "in"
    root.mkdir()
    watched = Watched(root, poll=True)
    for name in ("1.png", "2.png"):
        (root / name).write_bytes(png)
        assert watched.until(1) == [name]
    watched.stop.set()
    assert len(list(WatchedFolder()._look_through(root))) == 3  # two images and the folder


def test_what_is_gone_is_forgotten_while_the_line_runs(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_folder, "FORGOTTEN", 2)
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(png)
    judged = WatchedFolder().keys(str(tmp_path))
    forgotten = list[set[str]]()
    folder = WatchedFolder(judged, once=True, forget=lambda keys: forgotten.append(set(keys)))
    for name in ("1.png", "image.png", "2.png"):
        (tmp_path / name).unlink()
        (tmp_path / f"{name}.new.png").write_bytes(png)
        assert len([*filter(None, folder.arrivals(str(tmp_path), threading.Event()))]) == 1
    assert (len(forgotten), forgotten[0] < judged) == (1, True)


def test_a_known_folder_that_is_away_at_the_start_is_an_alarm_and_an_unknown_one_is_refused(
    tmp_path: Path,
) -> None:
    place = os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcr")  # no UTF-8
    how = {"existing": False, "poll": True, "once": False}
    with Ledger(tmp_path / "line.sqlite") as ledger:
        with pytest.raises(InputError, match="no such folder"):
            feed_of(place, ledger, threading.Event(), **how)
        os.mkdir(place)
        feed_of(place, ledger, threading.Event(), **how)
        ledger.write([], [(place, "judged")])
        os.rmdir(place)
        feed = feed_of(place, ledger, came := threading.Event(), **how)
        feed.start()
        assert came.wait(60)
        feed.stop(60)
        assert "No such file" in feed.reason
        assert ledger.seen(place) == {"judged"}
        with pytest.raises(InputError, match="no such folder"):
            feed_of(place, ledger, came, **{**how, "once": True})


def test_without_the_library_that_tells_of_changes_a_folder_is_looked_at(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_folder, "TOLD", False)
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    (tmp_path / "in").mkdir()
    watched = Watched(tmp_path / "in", poll=False)
    watched.folder.poll = None
    watched.looked_through()
    (tmp_path / "in" / "a.png").write_bytes(png)
    assert watched.until(1) == ["a.png"]


def test_network_shares_are_looked_at(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    share = tmp_path / "with space"
    told = f"{tmp_path}/with\\040space"
    kinds: dict[str, Callable[[bool], bool]] = {"cifs": bool, "fuse.sshfs": bool, "9p": bool}
    for kind in [*kinds, "ext4", "fuseblk", "tmpfs"]:
        mounts.write_text(f"/dev/sda / ext4 rw 0 0\n//host/x {told} {kind} rw 0 0\nbroken\n")
        assert sends_none(share / "in", mounts) == (kind in kinds), kind
        assert not sends_none(tmp_path / "with", mounts)
