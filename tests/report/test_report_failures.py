"""What is said of false alarms and misses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad_datasets.object_groups import read_groups
from vlmad_report.content import Gallery, Section
from vlmad_report.looking.looks import Look
from vlmad_report.looking.study import Study, study
from vlmad_report.page import Wishes, all_parts
from vlmad_report.sections.failures import failures

pytestmark = pytest.mark.xdist_group("benched")  # they share a bench

Benched = tuple[Path, Path]


def _galleries(section: Section) -> list[Gallery]:
    return [block for block in section.blocks if isinstance(block, Gallery)]


def _at(looked: Study, threshold: float | None) -> Study:
    """Return the first detector on bolts, with another threshold."""
    look = replace(looked.looks[0][0], threshold=threshold)
    return replace(looked, lines=looked.lines[:1], looks=((look,),))


@pytest.fixture(scope="module")
def section(looked: Study) -> Section:
    """Everything is called anomalous: four false alarms, no miss."""
    return failures(_at(looked, -1.0), cards=3)


def test_the_worst_false_alarms_come_first(section: Section, looked: Study) -> None:
    alarms, _ = _galleries(section)
    look = looked.looks[0][0]
    normal = [each for each in look.scored if not each.sample.anomalous]
    normal.sort(key=lambda each: -(each.row.score or 0))
    assert [card.title.split(" · ")[-1] for card in alarms.cards] == [
        each.sample.image.name for each in normal[:3]
    ]
    assert "4 false alarms among 4 normal images" in alarms.caption


def test_where_nothing_is_wrong_the_nearest_to_the_threshold_are_shown(
    section: Section, looked: Study
) -> None:
    _, misses = _galleries(section)
    assert "no misses among 6 anomalous images; nearest to the threshold" in misses.caption
    lowest = min(
        (each for each in looked.looks[0][0].scored if each.sample.anomalous),
        key=lambda each: each.row.score or 0,
    )
    assert misses.cards[0].title == (
        f"bolt · {lowest.sample.defect} · {lowest.sample.image.name}"
    )
    assert misses.cards[0].sentences[0].endswith(": right.")


@pytest.mark.slow
def test_a_score_at_the_threshold_is_a_false_alarm_and_no_miss(looked: Study) -> None:
    look = looked.looks[0][0]
    highest = max(look.scores[~look.labels])
    alarms, _ = _galleries(failures(_at(looked, float(highest))))
    assert "1 false alarm among" in alarms.caption
    lowest = min(look.scores[look.labels])
    _, misses = _galleries(failures(_at(looked, float(lowest))))
    assert "no misses" in misses.caption


def test_a_card_shows_image_mask_and_map_of_one_size(section: Section) -> None:
    alarms, misses = _galleries(section)
    assert [p.caption for p in alarms.cards[0].pictures] == ["image", "map"]
    pictures = misses.cards[0].pictures
    assert [p.caption for p in pictures] == ["image, defect outlined", "mask", "map"]
    assert {p.image.size for p in pictures} == {(160, 160)}
    mask = np.asarray(pictures[1].image) > 0
    seen = np.asarray(pictures[0].image)
    assert mask.any()
    assert (seen[mask] != 255).any()  # the outline leaves the defect itself free


def test_the_detector_itself_says_what_drove_the_score(section: Section) -> None:
    sentences = _galleries(section)[0].cards[0].sentences
    assert any("text: the probability of the anomalous side" in s for s in sentences)
    assert any("spoke most for an anomaly" in s for s in sentences)
    assert any(s.startswith("The map is highest at pixel") for s in sentences)


def test_the_place_of_the_maximum_is_compared_with_the_mask(section: Section) -> None:
    [said] = [s for s in _galleries(section)[1].cards[0].sentences if "highest at pixel" in s]
    assert "inside the defect" in said or "outside the defect" in said
    assert "with probability" in said


def test_without_a_threshold_the_extreme_scores_are_shown(looked: Study) -> None:
    alarms, misses = _galleries(failures(_at(looked, None)))
    assert "no threshold; the 4 normal images with the highest scores" in alarms.caption
    assert "with the lowest scores" in misses.caption


def test_normal_images_alone_still_make_cards(looked: Study) -> None:
    def normal(look: Look) -> Look:
        kept = tuple(each for each in look.scored if not each.sample.anomalous)
        return replace(look, scored=kept, threshold=None)

    bare = replace(looked, looks=tuple(tuple(map(normal, looks)) for looks in looked.looks))
    [gallery] = _galleries(failures(bare, detectors=1))
    assert len(gallery.cards) == 2


def _first_card(folder: Path) -> tuple[str, ...]:
    looked = _at(study([read_results(folder)]), -1.0)
    return _galleries(failures(looked, cards=1))[0].cards[0].sentences


def test_without_weights_the_card_stays_and_says_why(
    own: Benched, two_layer_file: Path, tmp_path: Path
) -> None:
    folder, _ = own
    for path in folder.rglob("manifest.json"):
        path.write_text(path.read_text().replace(str(two_layer_file), str(tmp_path / "gone.pt")))
    sentences = _first_card(folder)
    assert "What drove the score is not known" in sentences[1]
    assert "gone.pt" in sentences[1]
    assert any("highest at pixel" in s for s in sentences)


@pytest.mark.parametrize("content", ["{", "[]", '{"identity": {}}', '{"identity": {"parts": 1}}'])
def test_a_damaged_manifest_costs_the_explanation_alone(own: Benched, content: str) -> None:
    folder, _ = own
    for path in (folder / "cells").rglob("manifest.json"):
        path.write_text(content)
    looked = study([read_results(folder)])
    galleries = _galleries(failures(looked, detectors=1))
    said = [galleries[0].caption, *galleries[0].cards[0].sentences] if galleries else ["not known"]
    assert any("not known" in sentence for sentence in said)


def test_missing_maps_leave_a_card_with_the_reason(own: Benched) -> None:
    folder, _ = own
    for maps in (folder / "cells").rglob("maps"):
        shutil.rmtree(maps)
    sentences = _first_card(folder)
    assert any("its map is not on disk" in s for s in sentences)


def image_sections(results: list[Results]) -> list[Section]:
    """Return the sections that look at images."""
    wishes = Wishes(read_groups())
    wanted = ("contrast", "defect-size", "defect-type", "curves", "failures")
    return [part.make(results, wishes) for part in all_parts() if part.name in wanted]


def test_nothing_scored_is_said(own: Benched) -> None:
    folder, _ = own
    for path in folder.rglob("scores.jsonl"):
        path.unlink()
    sections = image_sections([read_results(folder)])
    assert [section.blocks for section in sections[2:]] == [(), (), ()]
    assert "would fill this section" in sections[-1].paragraphs[0]
    assert "scores.jsonl" in " ".join(sections[3].paragraphs)


def test_no_results_make_sections_that_say_so() -> None:
    sections = image_sections([])
    assert [section.name for section in sections] == [
        "contrast", "defect-size", "defect-type", "curves", "failures",
    ]  # fmt: skip
    assert all(section.paragraphs and not section.blocks for section in sections)
