"""The section on conditions: what hurts whom most, at a glance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmad_evaluation._condition_entries import condition_entries
from vlmad_evaluation.bootstrap import bootstrap_images
from vlmad_evaluation.conditions import Change, changes_of, parse_conditions
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.result_folders import CellResult
from vlmad_evaluation.result_tables import ResultTable
from vlmad_report._condition_section import other_conditions
from vlmad_report._report_blocks import BarChart, ReportPage, ReportSection
from vlmad_report._report_html import to_html
from vlmad_report._result_source import ResultSource, open_source

from .conftest import REPLICATES, BenchMaker


def changed_result(result: CellResult, change: Change) -> CellResult:
    worse = change.condition == "light" and result.cell.detector == "sharp"
    scores = result.scores + 10.0 * (~result.labels & worse)
    metrics = {**result.metrics, **image_metrics(result.labels, scores)}
    found = bootstrap_images(result.labels, scores, replicates=REPLICATES)
    cell = result.cell.model_copy(update={"change": change, "metrics": metrics})
    return replace(result, cell=cell, scores=scores, replicates={**result.replicates, **found})


@pytest.fixture(scope="module")
def section(bench: BenchMaker) -> ReportSection:
    """Under light, the detector "sharp" scores normal images high; "blunt" stays as it was."""
    source = open_source(bench.folder)
    settings = source.document.settings.model_copy(
        update={"conditions": parse_conditions("light,noise")}
    )
    clean = [each for each in source.stored() if each.cell.shots == 0]
    changes = changes_of(settings.conditions)
    changed = [changed_result(each, change) for change in changes for each in clean]
    entries = condition_entries(clean, changed, source.categories, settings)
    document = source.document.model_copy(update={"conditions": entries, "settings": settings})
    return other_conditions(ResultSource(replace(source.results, document=document)))


def table_of(section: ReportSection, beginning: str) -> list[dict[str, tuple[str, str]]]:
    """Return text and mark of each entry, by column."""
    [table] = [
        block
        for block in section.blocks
        if isinstance(block, ResultTable) and block.caption.startswith(beginning)
    ]
    return [
        {name: (entry.text, entry.mark) for name, entry in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]


def test_false_alarms_are_counted_at_the_threshold_of_clean_images(section: ReportSection) -> None:
    rows = table_of(section, "At the strongest severities, zero-shot")
    found = {
        (r["category"][0], r["detector"][0]): (r["clean"], r["light"], r["noise"])
        for r in rows
        if r["zero-shot"][0] == "false alarms"
    }
    same = ("0%", ""), ("0%", ""), ("0%", "")
    for category in ("metal nut", "bolt", "average"):
        assert found[category, "blunt"] == same
        assert found[category, "sharp"] == (("0%", ""), ("100%", "*"), ("0%", ""))


def test_a_sentence_says_what_hurts_most_and_who_leads(section: ReportSection) -> None:
    [sharp, blunt, best] = section.paragraphs
    assert sharp.startswith(
        "sharp, zero-shot: image AUROC falls most under light (1 stops), from 1"
    )
    assert sharp.endswith("false alarms rise most under light (1 stops), from 0% to 100%.")
    assert blunt == "blunt, zero-shot: nothing hurts."
    assert best.endswith("zero-shot: sharp; blunt under light 1, light 2, light 3.")
    [table, _] = [block for block in section.blocks if isinstance(block, ResultTable)]
    assert "at most 5% of the clean normal test images" in table.caption


def test_every_severity_has_a_row_and_a_rank(section: ReportSection) -> None:
    rows = table_of(section, "Averages over categories at every severity")
    ranks = {
        (row["condition"][0], row["by"][0], row["detector"][0]): row["rank"][0] for row in rows
    }
    assert len(ranks) == 2 * (1 + 3 + 3)
    assert (ranks["clean", "", "sharp"], ranks["light", "0.25 stops", "sharp"]) == ("1", "2")


def test_the_way_from_clean_to_the_strongest_is_drawn_as_dots(section: ReportSection) -> None:
    [chart] = [block for block in section.blocks if isinstance(block, BarChart)]
    [auroc, *_] = chart.plots
    light = dict(auroc.rows)["light"][0]
    assert np.round(light.trail, 3).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert light.value == 0.0
    page = to_html(ReportPage("title", [], [section], [])).decode()
    assert '<i class="dot d0 s0" style="left:100.00%"></i>' in page
    assert '<i class="dot d3 s0" style="left:0.00%"></i>' in page
    assert '<span class="sample filled s0"></span>' in page


def test_without_conditions_it_says_what_makes_them(bench: BenchMaker) -> None:
    section = other_conditions(open_source(bench.folder))
    assert section.blocks == ()
    assert "vlmad bench DATA --conditions all" in section.paragraphs[0]
