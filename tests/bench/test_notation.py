"""How the figures of a bench are shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import printable
from vlmad_evaluation.metric import Metric
from vlmad_evaluation.notation import escaped, metric_text


@pytest.mark.parametrize(
    ("value", "low", "high", "deviation", "shown"),
    [
        (None, None, None, None, "\N{EN DASH}"),
        (0.0, None, None, None, "0.000"),
        (0.5, 0.25, 0.75, None, "0.500 [0.250, 0.750]"),
        (1.0, 1.0, 1.0, None, "1.000"),
        (0.5, 0.25, None, None, "0.500"),
        (0.5, 0.25, 0.75, 0.01, "0.500 ± 0.010 [0.250, 0.750]"),
    ],
)
def test_a_metric_is_shown_with_what_is_known_of_it(
    value: float | None, low: float | None, high: float | None, deviation: float | None, shown: str
) -> None:
    metric = Metric(value=value, low=low, high=high, deviation_over_seeds=deviation)
    assert metric_text(metric) == shown


@given(st.text())
def test_no_text_breaks_out_of_a_cell_of_a_table_or_reaches_the_terminal(text: str) -> None:
    assert len(escaped(text).splitlines()) <= 1
    assert "|" not in escaped(text).replace("\\|", "")
    hidden = ("Cc", "Cs", "Zl", "Zp")
    assert not [c for c in printable(text) if unicodedata.category(c) in hidden]
