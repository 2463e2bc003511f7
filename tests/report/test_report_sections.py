"""What the sections of a report hold, compared with what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from vlmad_datasets.object_groups import Groups, read_groups
from vlmad_evaluation.averaging import over_seeds
from vlmad_evaluation.comparison import compare_replicates
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.pixel_metrics import pixel_metrics
from vlmad_evaluation.result_documents import GridAxes, PublishedAverage, PublishedEntry
from vlmad_evaluation.result_tables import ResultTable
from vlmad_report._average_sections import categories, object_groups, summary
from vlmad_report._curve_section import curves
from vlmad_report._defect_sections import contrasts, sizes, types
from vlmad_report._failure_section import failures
from vlmad_report._image_study import DEFECT, SIZES, ImageStudy
from vlmad_report._published_section import published
from vlmad_report._report_blocks import BarChart, CardGallery, ReportSection
from vlmad_report._result_source import ResultSource, open_source
from vlmad_report._setting_sections import few_shot, windows

from .conftest import BenchMaker

B = TypeVar("B")


@pytest.fixture(scope="module")
def source(bench: BenchMaker) -> ResultSource:
    return open_source(bench.folder)


@pytest.fixture(scope="module")
def study(source: ResultSource) -> ImageStudy:
    return ImageStudy(source)


def blocks_of(section: ReportSection, kind: type[B]) -> Iterator[B]:
    return (block for block in section.blocks if isinstance(block, kind))


def row_of(table: ResultTable, *words: str) -> dict[str, str]:
    """Return the texts of the row that begins with some words, by column."""
    [row] = [r for r in table.rows if tuple(e.text for e in r[: len(words)]) == words]
    return dict(zip(table.columns, (entry.text for entry in row), strict=True))


def table_of(section: ReportSection, beginning: str) -> ResultTable:
    [table] = [t for t in blocks_of(section, ResultTable) if t.caption.startswith(beginning)]
    return table


def test_averages_are_those_of_the_bench_and_the_best_is_marked(source: ResultSource) -> None:
    table = table_of(summary(source), "Image metrics")
    measured = source.metrics(0)["sharp"]["image_auroc"].value
    assert row_of(table, "average", "zero-shot", "sharp")["image AUROC"] == f"{measured:.3f}"
    best = {row[2].text: row[3].best for row in table.rows if row[1].text == "zero-shot"}
    assert best == {"sharp": True, "blunt": False}


def test_a_significant_difference_to_the_first_has_an_arrow_that_is_explained(
    source: ResultSource,
) -> None:
    section = summary(source)
    table = table_of(section, "Image metrics")
    [blunt] = [row for row in table.rows if (row[2].text, row[1].text) == ("blunt", "zero-shot")]
    assert blunt[3].mark == "\N{DOWNWARDS ARROW}"
    assert any("worse than the baseline, sharp" in each for each in section.paragraphs)
    entry, _, p_value = table_of(section, "Differences are those").rows[0][4:7]
    assert (entry.text, entry.note, p_value.text) == ("-0.125", "[-0.200, -0.050]", "0.02")


def test_bars_are_the_averages_with_their_intervals(source: ResultSource) -> None:
    [chart] = blocks_of(summary(source), BarChart)
    assert list(chart.series) == ["sharp", "blunt"]
    [plot] = [plot for plot in chart.plots if plot.title == "pixel AUROC"]
    [value, _] = dict(plot.rows)["zero-shot"]
    measured = source.metrics(0)["sharp"]["pixel_auroc"]
    assert (value.value, value.low, value.high) == (measured.value, measured.low, measured.high)


def test_what_is_undefined_is_a_dash_with_its_reason(source: ResultSource) -> None:
    section = categories(source)
    table = table_of(section, "Pixel metrics")
    [row] = [r for r in table.rows if [e.text for e in r[:3]] == ["bolt", "zero-shot", "sharp"]]
    assert (row[3].text, row[3].remark) == ("\N{EN DASH}", "no anomalous pixel")
    [average, *_] = table_of(summary(source), "Pixel metrics").rows
    assert average[3].remark == "over 1 of 2 categories, no anomalous pixel: bolt"


def test_options_stand_below_their_part(tmp_path: Path) -> None:
    maker = BenchMaker(tmp_path, scales={"blunt": 3})
    maker.make()
    table = table_of(summary(open_source(maker.folder)), "Beside a part")
    notes = {row[0].text: row[3].note for row in table.rows}
    assert notes == {"sharp": "depth=1, stage=normed", "blunt": "scales=3, stage=normed"}


def test_a_grid_lists_the_combinations_that_there_are_not(tmp_path: Path) -> None:
    axes = GridAxes(
        combinations={"sharp": {}, "blunt": {}}, illegal={"bad": "no fit"}, same={"new": "old"}
    )
    maker = BenchMaker(tmp_path, shots=(0,), axes=axes)
    maker.make()
    section = summary(open_source(maker.folder))
    assert row_of(table_of(section, "Combinations that cannot be"), "bad")["why"] == "no fit"
    assert table_of(section, "Combinations that came out").rows[0][1].text == "old"


def test_groups_average_their_categories_and_the_rest_is_named(source: ResultSource) -> None:
    section = object_groups(source, read_groups())  # in it, it is called metal_nut
    table = table_of(section, "Averages over groups")
    of_category = source.metrics(0, "metal nut")["sharp"]["image_auroc"].value
    assert row_of(table, "rigid", "sharp", "zero-shot")["image AUROC"] == f"{of_category:.3f}"
    assert any(each.startswith("In no group") and "bolt;" in each for each in section.paragraphs)


def test_categories_of_no_group_have_no_averages(source: ResultSource) -> None:
    section = object_groups(source, Groups({}, {}))
    assert not section.blocks
    assert section.paragraphs[0].startswith("None of the categories is in a group")


@pytest.mark.slow
def test_classes_of_defects_are_measured_against_the_normal_images(
    bench: BenchMaker, study: ImageStudy
) -> None:
    [cell] = [c for c in study.detectors[0].cells if c.cell.category == "metal nut"]
    chosen = [s for s in cell.scored if s.sample.defect in ("scratch", "good")]
    labels = [each.sample.anomalous for each in chosen]
    pixels = [each.map() for each in chosen]
    expected = {
        **image_metrics(labels, [each.row.score for each in chosen]),
        **pixel_metrics([p.scores for p in pixels if p], [p.mask for p in pixels if p]).metrics,
    }
    found = cell.by_class[DEFECT, "scratch"]
    assert set(found) == {"image_auroc", "pixel_auroc", "pixel_aupro_30"}
    for name, (value, images) in found.items():
        assert images == 3
        assert value == pytest.approx(expected[name].value, abs=1e-3)


def test_curves_hold_the_areas_that_were_measured(study: ImageStudy) -> None:
    [cell] = [c for c in study.detectors[1].cells if c.cell.category == "metal nut"]
    area = np.trapezoid(*cell.curves["image_auroc"].T[::-1])
    assert area == pytest.approx(cell.cell.metrics["image_auroc"].value, abs=1e-6)
    overlap = np.trapezoid(*cell.curves["pixel_aupro_30"].T[::-1]) / 0.3
    assert overlap == pytest.approx(cell.cell.metrics["pixel_aupro_30"].value, abs=5e-3)


def test_contrast_and_size_put_each_defect_into_one_class(study: ImageStudy) -> None:
    for section, kind in ((contrasts(study), "contrast"), (sizes(study), "size")):
        table = table_of(section, f"Metrics by {kind}")
        own = [row[2].note for row in table.rows if row[1].text == "sharp"]
        counts = [int(note.removeprefix("n = ")) for note in own]
        assert sum(counts) == 6  # nuts; nobody knows where the defects of bolts are
        assert "3 of 9 anomalous images are left out: no mask." in section.paragraphs
    assert {d for d in study.defects.values() if isinstance(d, str)} == {"no mask"}
    faint, bright = (
        {s.defect for s, d in study.defects.items() if not isinstance(d, str) and d.contrast > 30},
        {s.defect for s, d in study.defects.items() if not isinstance(d, str) and d.contrast <= 30},
    )
    assert (faint, bright) == ({"spot"}, {"scratch"})


def test_limits_of_classes_belong_to_the_class_below() -> None:
    assert [SIZES.name_of(share) for share in (0.01, 0.02, 0.05, 0.051)] == [
        "small",
        "medium",
        "medium",
        "large",
    ]


def test_types_are_means_over_kinds_of_defects_and_own_names_without_a_type(
    study: ImageStudy,
) -> None:
    section = types(study, read_groups())
    table = table_of(section, "Metrics by type")
    assert {row[0].text for row in table.rows} == {"surface damage", "chip", "spot"}
    cells = [c for c in study.detectors[0].cells if c.cell.category == "bolt"]
    chip, _ = cells[0].by_class[DEFECT, "chip"]["image_auroc"]
    assert row_of(table, "chip", "sharp")["image AUROC"] == f"{chip:.3f}"
    assert any("spot" in each and "chip" in each for each in section.paragraphs)


@pytest.mark.slow
def test_sections_about_defects_say_what_they_lack(tmp_path: Path) -> None:
    maker = BenchMaker(tmp_path, categories={"bolt": {"good": 3, "chip": 2}}, shots=(0,))
    maker.make()
    study = ImageStudy(open_source(maker.folder))
    assert contrasts(study).paragraphs == sizes(study).paragraphs
    assert "no anomalous image has both: no mask" in contrasts(study).paragraphs[0]
    assert any("no curve of region overlap" in each for each in curves(study).paragraphs)
    assert few_shot(study.source).paragraphs[0].startswith("No detector was measured with")


def test_maps_that_are_gone_leave_the_figures_of_images(own: BenchMaker) -> None:
    for path in own.folder.rglob("maps/*.png"):
        path.unlink()
    study = ImageStudy(open_source(own.folder))
    section = contrasts(study)
    [table] = blocks_of(section, ResultTable)
    assert {row[3].text for row in table.rows} == {"\N{EN DASH}"}
    assert "\N{EN DASH}" not in {row[2].text for row in table.rows}
    assert any("no map is on disk" in each for each in section.paragraphs)


@pytest.mark.slow
def test_scores_that_are_gone_are_named(own: BenchMaker) -> None:
    for path in own.folder.rglob("scores.jsonl"):
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    problems = ImageStudy(open_source(own.folder)).problems
    assert any("has the scores of 11 of 12 measured images" in each for each in problems)


def test_gains_of_references_have_the_interval_of_the_paired_bootstrap(
    source: ResultSource,
) -> None:
    cells = over_seeds(source.stored(), 0.95)
    few, none = (cells["blunt", "metal nut", n]["pixel_auroc"].replicates for n in (1, 0))
    assert few is not None
    assert none is not None
    expected = compare_replicates(few, none, 0.95)
    section = few_shot(source)
    row = row_of(table_of(section, "pixel AUROC"), "metal nut", "blunt")
    assert row["1-shot, difference"] == f"{expected.difference:+z.3f}"


@pytest.mark.slow
def test_window_sizes_are_those_of_detectors_that_differ_in_nothing_else(tmp_path: Path) -> None:
    detectors = {"wide": 0.5, "narrow": 0.25, "both": 1.0}
    maker = BenchMaker(tmp_path, detectors, scales={"wide": 3, "narrow": 2})
    maker.make()
    section = windows(open_source(maker.folder))
    tables = list(blocks_of(section, ResultTable))
    assert [table.caption for table in tables] == [
        "pixel AUROC by window size, zero-shot.",
        "image AUROC by window size, 1-shot.",
        "pixel AUROC by window size, 1-shot.",
    ]
    assert list(tables[0].columns) == ["category", "size 2", "size 3"]


def test_without_window_sizes_the_command_that_makes_them_is_named(source: ResultSource) -> None:
    section = windows(source)
    assert not section.blocks
    assert "extractor.scales=1|2|3" in section.paragraphs[0]


def test_published_figures_stand_below_those_that_were_measured(tmp_path: Path) -> None:
    entry = PublishedEntry(
        detector="sharp",
        shots=0,
        label="Paper",
        source="a journal",
        notes=["published with ViT, measured here with tiny"],
        categories={"bolt": {"image_auroc": 0.9}},
        averages={"image_auroc": PublishedAverage(stated=0.91, recomputed=0.9)},
    )
    maker = BenchMaker(tmp_path, shots=(0,), published=[entry])
    maker.make()
    section = published(open_source(maker.folder))
    [table] = blocks_of(section, ResultTable)
    found = [(row[0].text, row[2].text) for row in table.rows if row[2].text != "blunt"]
    assert found == [
        ("metal nut", "sharp"),
        ("bolt", "sharp"),
        ("bolt", "Paper, published"),
        ("average", "sharp"),
        ("average", "Paper, published, stated"),
        ("average", "Paper, published, recomputed"),
    ]
    assert row_of(table, "bolt", "zero-shot", "Paper, published")["image AUROC"] == "0.900"
    assert any("measured here with tiny" in each for each in section.paragraphs)


@pytest.mark.slow
def test_failures_are_the_images_farthest_on_the_wrong_side(study: ImageStudy) -> None:
    section = failures(study, 2)
    alarms, misses = [
        gallery for gallery in blocks_of(section, CardGallery) if gallery.caption[:5] == "blunt"
    ]
    cells = [cell for detector in study.detectors[1:] for cell in detector.cells]
    verdicts = [
        (score >= cell.threshold) == label
        for cell in cells
        if cell.threshold is not None
        for score, label in zip(cell.scores, cell.labels, strict=True)
    ]
    wrong = len(verdicts) - sum(verdicts)
    assert wrong > 0
    words = "false alarm" if f"{wrong} false alarm" in alarms.caption else "a miss"
    shown = (alarms if words == "false alarm" else misses).cards[0]
    assert words in shown.sentences[0]
    assert [picture.caption for picture in shown.pictures][-1] == "map"


@pytest.mark.slow
def test_what_drove_a_score_is_unknown_without_the_detector(study: ImageStudy) -> None:
    galleries = list(blocks_of(failures(study, 1), CardGallery))
    texts = [t for g in galleries for t in (*g.remarks, *(s for c in g.cards for s in c.sentences))]
    assert any(text.startswith("What drove the score is not known: ") for text in texts)


def test_no_more_detectors_are_drawn_than_can_be_told_apart(tmp_path: Path) -> None:
    detectors = {f"d{index}": 0.1 * index for index in range(9)}
    maker = BenchMaker(tmp_path, detectors, {"bolt": {"good": 2, "chip": 2}}, (0,))
    maker.make()
    source = open_source(maker.folder)
    chosen = source.best(list(detectors))
    assert chosen[0] == "d0"  # with which the others are compared
    assert len(chosen) == 6
    [chart] = blocks_of(categories(source), BarChart)
    assert "Of 9 detectors the first and the best on average are drawn." in chart.caption
