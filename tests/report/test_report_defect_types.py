"""What is said of types of defects."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vlmad_evaluation.bench.reading import Results

from vlmad_datasets.object_groups import Groups, read_groups
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_report.content import Figure, Section, Table
from vlmad_report.looking.looks import Look
from vlmad_report.looking.study import DEFECT, Study
from vlmad_report.sections.defect_types import NO_TYPE, defect_types

pytestmark = pytest.mark.xdist_group("benched")  # they share a bench


def _tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def _row(table: Table, name: str) -> list[tuple[str, str]]:
    [row] = [row for row in table.rows if row[0].text == name]
    return [(entry.text, entry.note) for entry in row[1:]]


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    path = tmp_path / "groups.toml"
    path.write_text('[defects."surface damage"]\nbolt = ["mark"]\nnut = ["chip"]\n')
    return read_groups(path)


def test_a_type_is_the_mean_over_its_units_with_deviation_and_count(
    looked: Study, groups: Groups
) -> None:
    values = [
        look.by_class[DEFECT, defect].value("image_auroc") or 0.0
        for look, defect in zip(looked.looks[0], ("mark", "chip"), strict=True)
    ]
    image = _tables(defect_types(looked, groups))[0]
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    found = _row(image, "surface damage")[0]
    assert found == (f"{mean:.3f}", f"± {deviation:.3f}, n = 2")


def test_a_unit_without_masks_counts_in_image_figures_only(
    looked: Study, groups: Groups
) -> None:
    _, pixel, overlap, _ = _tables(defect_types(looked, groups))
    assert _row(pixel, "surface damage")[0][1] == "n = 1"
    assert _row(overlap, "surface damage")[0][1] == "n = 1"


def test_types_are_found_by_the_names_of_the_data_set(looked: Study, groups: Groups) -> None:
    renamed = [replace(look, category=f"{look.category} (one)") for look in looked.looks[0]]
    study = replace(looked, looks=(tuple(renamed), *looked.looks[1:]))
    assert _row(_tables(defect_types(study, groups))[0], "surface damage") == _row(
        _tables(defect_types(looked, groups))[0], "surface damage"
    )
    spelled = Groups({}, {("Bolt", "mark"): "surface damage", ("nut ", "chip"): "surface damage"})
    assert _row(_tables(defect_types(looked, spelled))[0], "surface damage")


def test_defects_without_a_type_stand_under_their_own_name(
    looked: Study, groups: Groups
) -> None:
    section = defect_types(looked, groups)
    image, *_, units = _tables(section)
    assert [row[0].text for row in image.rows] == ["surface damage", "spot"]
    assert "listed under their own names: spot" in section.paragraphs[1]
    assert [[entry.text for entry in row[:4]] for row in units.rows] == [
        ["bolt", "mark", "surface damage", "3"],
        ["bolt", "spot", "spot", "3"],
        ["nut", "chip", "surface damage", "3"],
    ]


def test_many_defects_without_a_type_become_one_row(looked: Study) -> None:
    def many(look: Look) -> Look:
        accuracy = look.by_class["all", ""]
        return replace(look, by_class={(DEFECT, f"d{i}"): accuracy for i in range(20)})

    crowded = replace(looked, looks=tuple(tuple(map(many, looks)) for looks in looked.looks))
    section = defect_types(crowded, Groups({}, {}))
    assert _tables(section)[0].columns == ("detector", NO_TYPE)
    assert f"listed under '{NO_TYPE}'" in section.paragraphs[1]


def test_the_mapping_that_ships_is_the_default(looked: Study) -> None:
    def renamed(look: Look) -> Look:
        by_class = {(DEFECT, "crack"): look.by_class["all", ""]}
        return replace(look, category="tile", original="tile", by_class=by_class)

    tiles = replace(looked, looks=tuple((renamed(looks[0]),) for looks in looked.looks))
    assert _tables(defect_types(tiles))[0].columns == ("detector", "structural break")


def test_many_detectors_go_down_and_types_across(looked: Study, groups: Groups) -> None:
    several = replace(looked, lines=looked.lines * 3, looks=looked.looks * 3)
    table = _tables(defect_types(several, groups))[0]
    assert table.columns == ("detector", "surface damage", "spot")
    assert len(table.rows) == 6


def test_a_unit_has_the_pixel_metrics_of_its_images(results: Results, looked: Study) -> None:
    bolt = looked.looks[0][0]
    chosen = [each for each in bolt.scored if each.sample.defect in ("good", "mark")]
    maps = [image for each in chosen if (image := each.map()) is not None]
    exact = pixel_metrics([m.scores for m in maps], [m.mask for m in maps]).metrics
    for name in ("pixel_auroc", "pixel_aupro_30"):
        found, expected = bolt.by_class[DEFECT, "mark"].metrics[name], exact[name].value
        assert found.value == pytest.approx(expected, abs=found.error + 1e-9)


def test_the_figure_shows_all_and_says_so_in_words(looked: Study, groups: Groups) -> None:
    [figure] = [b for b in defect_types(looked, groups).blocks if isinstance(b, Figure)]
    drawing = figure.draw()
    assert [axes.get_title() for axes in drawing.axes] == ["winclip", "clip"]
    labels = [text.get_text() for text in drawing.axes[0].get_yticklabels()]
    assert labels == ["surface damage", "spot"]
    assert "surface damage" in figure.alternative
    assert np.isfinite(drawing.get_size_inches()).all()


def test_without_defects_the_section_says_what_would_fill_it(looked: Study) -> None:
    def normal(look: Look) -> Look:
        return replace(look, by_class={})

    bare = replace(looked, looks=tuple(tuple(map(normal, looks)) for looks in looked.looks))
    section = defect_types(bare)
    assert section.blocks == ()
    assert "would fill this section" in section.paragraphs[0]
