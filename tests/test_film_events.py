"""What is made of a run of films: events, an annotated film, a strip; never OK without a score."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError, UnknownPartError
from vlmad_run.pictures import Range
from vlmad_run.supplements import supplements_of
from vlmad_video._film_pictures import COLOURS, FilmPictures, strip, worst
from vlmad_video.film import frames
from vlmad_video.film_events import FilmEvents, JudgedFrame, events_of, judge_frames, to_table
from vlmad_video.film_writing import write_film
from vlmad_video.steadiers import Moment

from .conftest import SMALL, Ended, film


def judged(*scores: float | None, steady: str = "") -> list[JudgedFrame]:
    """Judge scores beside a threshold of 1, two in a second."""
    return judge_frames([Moment(n / 2, score, 1.0) for n, score in enumerate(scores)], steady)


def test_events_are_frames_that_are_anomalous_one_after_another() -> None:
    found = list(events_of("a.mp4", judged(0.2, 1.5, 3.0, 0.5, None, 0.9, 1.0)))
    assert [(each.start, each.end, each.peak, each.peak_score) for each in found] == [
        (0.5, 1.0, 1.0, 3.0),
        (2.0, 2.0, 2.0, None),
        (3.0, 3.0, 3.0, 1.0),
    ]
    assert [(each.frames, each.not_scored) for each in found] == [(2, 0), (1, 1), (1, 0)]
    lines = b"".join(to_table(found)).decode().splitlines()
    assert lines[:2] == [
        "film,start,end,peak,peak_score,frames,not_scored",
        "a.mp4,0.5,1.0,1.0,3.0,2,0",
    ]


def test_without_a_threshold_only_what_could_not_be_scored_is_an_event() -> None:
    told = [JudgedFrame(0.0, 5.0, None), JudgedFrame(0.5, None, None), JudgedFrame(1.0, 9.0, None)]
    assert [each.answer for each in told] == ["", "NG", ""]
    assert [(each.start, each.end) for each in events_of("a.mp4", told)] == [(0.5, 0.5)]


def test_the_worst_frames_are_no_neighbours_and_in_the_order_of_time() -> None:
    told = [JudgedFrame(n / 10, score, True) for n, score in enumerate([1, 2, 9, 8, 7, *[1] * 95])]
    told[60] = JudgedFrame(6.0, None, True)
    assert worst(told, 2) == [2, 60]
    assert worst(told, 3) == [2, 5, 60]  # 3 and 4 are less than a fortieth of the film away
    assert worst(told[:1], 8) == [0]


def test_a_frame_is_drawn_with_its_verdict_in_colour_over_the_curve() -> None:
    told = judged(0.2, 1.5, None)
    pictures = FilmPictures(told, Range(0, 1), 1.0, (64, 48))
    image, heat = Image.new("RGB", (64, 48), "white"), np.zeros((48, 64))
    drawn = [pictures.frame(0, image, heat), pictures.frame(1, image, heat)]
    drawn.append(pictures.frame(2, None, None))
    assert len({each.size for each in drawn}) == 1
    corners = ["#{:02x}{:02x}{:02x}".format(*each.getpixel((each.width - 2, 2))) for each in drawn]  # type: ignore[misc]
    assert corners == [COLOURS["OK"], COLOURS["NG"], COLOURS["NG"]]
    tiles = [pictures.tile(number, None, None) for number in range(3)]
    assert strip(tiles).width == 3 * tiles[0].width + 8


def test_a_film_is_written_whole_with_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.1, 0.7]
    write_film(tmp_path / "a.mp4", [(time, Image.new("RGB", (65, 47), "blue")) for time in times])
    found = list(frames(tmp_path / "a.mp4"))
    assert [round(each.time, 3) for each in found] == [0.0, 0.1, 0.101, 0.7]
    assert {each.image.size for each in found if each.image} == {(64, 46)}
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


def test_what_is_steadied_are_films_alone(photos: Path) -> None:
    images = sorted(photos.iterdir())
    assert supplements_of(images, {"steady": ""}) == []
    with pytest.raises(InputError, match="--steady is for films, and there is none"):
        supplements_of(images, {"steady": "median:1"})


def spotted(count: int, spots: range) -> list[Image.Image]:
    """Draw frames of grey noise, some with a white spot."""
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 120, (count, 48, 64, 3), np.uint8)
    noise[spots.start : spots.stop, 10:30, 20:40] = 255
    return [Image.fromarray(each) for each in noise]


@pytest.mark.slow
def test_a_run_of_films_tells_of_events_and_shows_them(
    command: Callable[..., Ended], cache: Path, tmp_path: Path
) -> None:
    film(tmp_path / "clip.mp4", spotted(12, range(4, 8)), codec="libx264")
    film(tmp_path / "good.mp4", spotted(4, range(0)), codec="libx264")
    (tmp_path / "text.mp4").write_text("no film")
    common = ("run", "clip.mp4", "text.mp4", "--references", "good.mp4", *SMALL)
    with_all = command(*common, "--out", "a")
    assert "clip.mp4: no events; --threshold" in with_all.out, with_all.error
    with open("a/scores.csv", newline="", encoding="utf-8") as file:
        scores = [float(row["score"]) for row in csv.DictReader(file) if row["score"]]
    limit = (min(scores[4:8]) + max([*scores[:4], *scores[8:]])) / 2
    done = command(*common, "--threshold", str(limit), "--steady", "k-of-n:2/3/1", "--out", "b")
    assert done.status == 1
    assert "clip.mp4: 1 event, 5 of 12 frames NG" in done.out
    told = FilmEvents.read(Path("b/events.json"))
    assert [(each.start, each.end) for each in told.events] == [(0.5, 0.9), (0.0, 0.0)]
    assert told.events[1].not_scored == 1
    assert json.loads(Path("b/events.json").read_text())["steady"] == "k-of-n:2/3/1"
    [annotated] = Path("b").glob("annotated-*clip*.mp4")
    assert len(list(frames(annotated))) == 12
    assert len([*Path("b").glob("filmstrip-*.jpg")]) == 1  # none of a film without frames
    assert command(*common, "--steady", "soon", "--out", "c").status == 2


def test_a_steadier_that_is_not_there_is_refused_before_anything_is_scored(
    cache: Path, tmp_path: Path
) -> None:
    from vlmad_run.finding import find

    images = find([film(tmp_path / "clip.mp4", spotted(2, range(0)))]).images
    with pytest.raises(UnknownPartError, match="no steadier is called 'soon'"):
        supplements_of(images, {"steady": "soon"})


@pytest.mark.slow
def test_a_film_that_was_scored_in_shards_is_judged_when_they_are_joined(
    command: Callable[..., Ended], cache: Path, tmp_path: Path
) -> None:
    film(tmp_path / "clip.mp4", spotted(8, range(2, 5)), codec="libx264")
    words = ("run", "clip.mp4", *SMALL, "--threshold", "0.01", "--batch-size", "4")
    for number in (1, 2):
        assert command(*words, "--shard", f"{number}/2", "--out", f"s{number}").status == 0
        assert not Path(f"s{number}/events.json").exists()
    refused = command(*words, "--shard", "1/2", "--steady", "median:1", "--out", "other")
    assert "judged when its shards are joined" in refused.error
    joined = command("merge", "s1", "s2", "--out", "whole", "--steady", "median:1")
    assert joined.status == 0, joined.error
    assert "clip.mp4: 1 event, 8 of 8 frames NG" in joined.out
    assert FilmEvents.read(Path("whole/events.json")).steady == "median:1"
