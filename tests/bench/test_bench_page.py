"""How the figures of a bench are shown."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import printable
from vlmad_evaluation.notation import bracketed, escaped, value

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
from results import PARTS, RECIPES, WINDOWS, marks, with_tables  # noqa: E402  (the script is no package)


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ({"value": None, "low": None, "high": None}, "\N{EN DASH}"),
        ({"value": 0.0, "low": None, "high": None}, "0.000"),
        ({"value": 0.5, "low": 0.25, "high": 0.75}, "0.500 [0.250, 0.750]"),
        ({"value": 1.0, "low": 1.0, "high": 1.0}, "1.000"),
        (
            {"value": 0.5, "low": 0.25, "high": 0.75, "deviation_over_seeds": 0.01},
            "0.500 ± 0.010 [0.250, 0.750]",
        ),
    ],
)
def test_a_metric_is_shown_with_what_is_known_of_it(metric: dict, shown: str) -> None:
    assert value(metric) == shown


@given(st.text())
def test_no_text_breaks_out_of_a_cell_of_a_table_or_reaches_the_terminal(text: str) -> None:
    assert len(escaped(text).splitlines()) <= 1
    assert "|" not in escaped(text).replace("\\|", "")
    hidden = ("Cc", "Cs", "Zl", "Zp")
    assert not [c for c in printable(text) if unicodedata.category(c) in hidden]


@pytest.mark.parametrize(
    ("name", "holds"),
    [(RECIPES, "| **average** |"), (PARTS, "| compositional |"), (WINDOWS, "| cookie |")],
)
def test_the_page_of_results_has_tables_and_takes_new_ones_without_losing_words(
    name: str, holds: str
) -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    start, end = marks(name)
    before, _, rest = page.partition(start)
    tables, _, after = rest.partition(end)
    assert holds in tables
    changed = with_tables(page, name, "## new tables\n")
    assert changed == f"{before}{start}\n\n### new tables\n\n{end}{after}"
    assert with_tables(changed, name, tables.replace("###", "##")) == page


@pytest.mark.parametrize(("low", "high"), [(None, None), (0.5, None), (None, 0.5), (0.5, 0.5)])
def test_half_an_interval_is_none(low: float | None, high: float | None) -> None:
    assert bracketed({"low": low, "high": high}) == ""
