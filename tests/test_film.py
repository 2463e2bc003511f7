"""Films are decoded frame by frame, and what cannot be decoded is named, not left out."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_formats.reading import Reading
from vlmad_video.film import frames

from .conftest import film

ENDINGS = {"mp4": "libx264", "mov": "mpeg4", "avi": "mpeg4", "mkv": "libx264", "webm": "libvpx"}
FASTSTART = {"movflags": "faststart"}


def greys(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Return pictures of which each is a little brighter, with a red corner at the upper left."""
    pictures = [Image.new("RGB", size, (20 + 4 * n,) * 3) for n in range(count)]
    for each in pictures:
        each.paste("red", (0, 0, 16, 16))
    return pictures


@pytest.mark.parametrize("ending", ENDINGS)
def test_frames_of_each_kind_of_file_come_in_order_of_time(ending: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"a.{ending}", greys(12), codec=ENDINGS[ending])
    found = list(frames(path))
    assert [each.time for each in found] == pytest.approx([n / 10 for n in range(12)], abs=0.002)
    levels = [np.asarray(each.image)[30, 40].mean() for each in found if each.image]
    assert levels == pytest.approx([20 + 4 * n for n in range(12)], abs=6)


def test_every_takes_the_first_frame_at_or_after_each_multiple(tmp_path: Path) -> None:
    times = [0, 0.1, 0.25, 0.45, 0.5, 1.7, 1.8, 2.0]  # a variable rate
    path = film(tmp_path / "a.mkv", greys(8), times, codec="libx264")
    assert [round(each.time, 3) for each in frames(path)] == times
    assert [round(each.time, 3) for each in frames(path, every=0.5)] == [0, 0.5, 1.7, 2.0]


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf")])
def test_every_that_cannot_be_is_refused(every: float) -> None:
    with pytest.raises(InputError, match="every so many seconds above 0"):
        next(frames("a.mp4", every=every))


@pytest.mark.parametrize(("rotation", "corner"), [(90, "lower"), (-90, "upper"), (180, "lower")])
def test_a_turned_film_is_shown_upright(rotation: int, corner: str, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", greys(2), codec="libx264", rotation=rotation)
    image = next(frames(path)).image
    assert image is not None
    assert image.size == ((64, 48) if rotation == 180 else (48, 64))
    red = np.asarray(image, int)[..., 0] - np.asarray(image, int)[..., 1] > 100
    row, column = np.argwhere(red).mean(0) / red.shape
    assert (row > 0.5) == (corner == "lower")
    assert (column > 0.5) == (rotation != 90)


def test_a_film_that_breaks_off_says_so_at_its_end(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", greys(50), codec="libx264", options=FASTSTART).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    *shown, last = frames(path)
    assert 5 < len(shown) < 50
    assert last.image is None
    assert "the film breaks off at" in last.fault
    assert "of 5.000 s" in last.fault


def test_damaged_packets_are_faults_and_the_rest_is_decoded(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    pictures = map(Image.fromarray, noise)
    path = film(tmp_path / "a.mp4", pictures, codec="libx264", options=FASTSTART)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9000] = b"\xa5" * 9000  # the packets' lengths among it
    path.write_bytes(content)
    found = list(frames(path))
    assert any(each.fault.startswith("damaged film") and each.image is None for each in found)
    assert sum(each.image is not None for each in found) > 10


def test_pictures_of_too_many_pixels_are_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", greys(2))
    with pytest.raises(InputError, match=r"a\.mp4: refused, 64 x 48 pixels are more than 1000"):
        list(frames(path, reading=Reading(most_pixels=1000)))


def test_a_film_of_no_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a film that can be read"):
        list(frames(film(tmp_path / "a.mkv", [Image.new("RGB", (64, 48))], times=[])))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no film",
        b"#EXTM3U\n#EXTINF:10,\nother.mp4\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"\x00\x00\x00\x18ftypmp42" + bytes(500),
    ],
)
def test_what_is_no_film_is_refused_and_no_other_file_opened(
    content: bytes, tmp_path: Path
) -> None:
    film(tmp_path / "other.mp4", greys(2))
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mp4: not a film that can be read"):
        list(frames(path))


def test_a_film_without_pictures_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="it has no pictures"):
        list(frames(tmp_path / "a.mp4"))


def test_without_its_library_the_words_that_install_it_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", greys(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'vlmad\[video\]'"):
        list(frames(path))
