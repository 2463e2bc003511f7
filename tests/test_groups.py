"""Several views of one part: p-values as one, a verdict on the part, views that come one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import InputError
from vlmad_groups.collecting import REMEMBERED, PartCollector
from vlmad_groups.combining import (
    Combine,
    PartRule,
    combine_p_values,
    harmonic_factor,
    references_needed,
)
from vlmad_groups.part_rows import PartRow, PartView, judge_part

RULES = st.sampled_from([Combine.bonferroni, Combine.harmonic])
P_VALUES = st.lists(st.floats(1e-9, 1), min_size=1, max_size=12)
DRAWS = 4000


def rate_of(p_values: np.ndarray, rule: Combine, level: float) -> float:
    """Return how often combined p-values, a row for each part, are at most a level."""
    combined = [combine_p_values(row.tolist(), rule) for row in p_values]
    return float(np.mean(np.array(combined) <= level))


def allowed(level: float) -> float:
    """Return the level with six standard errors of its rate over `DRAWS` parts."""
    return level + 6 * math.sqrt(level * (1 - level) / DRAWS)


# p-values


@given(RULES, st.integers(2, 10), st.sampled_from([0.01, 0.05, 0.2]), st.integers(0, 99))
def test_independent_views_keep_the_level(rule: Combine, m: int, level: float, seed: int) -> None:
    drawn = 1 - np.random.default_rng(seed).random((DRAWS, m))
    few = drawn[:400]  # whoever fails there by much fails
    assert rate_of(few, rule, level) <= level + 6 * math.sqrt(level * (1 - level) / len(few))


@given(RULES, P_VALUES)
def test_views_that_are_all_the_same_keep_the_level_exactly(rule: Combine, p: list[float]) -> None:
    same = [p[0]] * len(p)
    assert combine_p_values(same, rule) >= p[0] * (1 - 1e-12)


@given(RULES, P_VALUES)
def test_a_combined_p_value_is_one_and_takes_no_order(rule: Combine, p: list[float]) -> None:
    combined = combine_p_values(p, rule)
    assert 0 < combined <= 1
    assert combine_p_values(p[::-1], rule) == pytest.approx(combined)
    lower = combine_p_values([p[0] / 2, *p[1:]], rule)
    assert lower <= combined * (1 + 1e-12)


def worst_coupling(views: int, parts: int = 4000) -> np.ndarray:
    """Return p-values, each evenly spread, that depend on each other as badly as can be.

    Rows are rearranged until the sums of 1 / p are as equal as possible, so that as many harmonic
    means as possible lie just below a level (Embrechts, Puccetti and Rüschendorf, 2013).
    """
    rng, even = np.random.default_rng(0), (np.arange(parts) + 0.5) / parts
    inverse = np.stack([rng.permutation(1 / even) for _ in range(views)], axis=1)
    for _ in range(12):
        for view in range(views):
            others = inverse.sum(1) - inverse[:, view]
            inverse[np.argsort(others), view] = np.sort(inverse[:, view])[::-1]
    return 1 / inverse


@pytest.mark.parametrize("views", [3, 5, 10])
def test_the_harmonic_factor_holds_in_the_worst_case_and_no_smaller_one_does(views: int) -> None:
    """In a share `level` of all parts p-values lie evenly below it; the rest does not count.

    All of that share are called anomalous, and would be a larger one if the factor was smaller.
    """
    inner = worst_coupling(views)  # in units of the level
    means = views / (1 / inner).sum(1)
    assert (harmonic_factor(views) * means).max() == pytest.approx(1, abs=0.002)


def test_the_harmonic_factor_is_below_the_published_bound_and_the_number_of_views() -> None:
    for views in range(3, 200):
        assert 1 < harmonic_factor(views) <= min(views, math.e * math.log(views))


def test_conformal_p_values_of_views_with_shared_references_keep_the_level() -> None:
    """Views are compared with the same references: their p-values depend on each other."""
    rng = np.random.default_rng(3)
    for rule in (Combine.bonferroni, Combine.harmonic):
        alarms = 0
        for _ in range(DRAWS):
            good, new = np.sort(rng.random(99)), rng.random(4)
            p = (1 + 99 - np.searchsorted(good, new)) / 100
            alarms += combine_p_values(p.tolist(), rule) <= 0.1
        assert alarms / DRAWS <= allowed(0.1)


@pytest.mark.parametrize("p_values", [[], [0.0], [0.5, 1.5], [math.nan]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(InputError, match="p-values lie above 0"):
        combine_p_values(p_values, Combine.harmonic)


@given(RULES, st.integers(1, 20), st.sampled_from([0.01, 0.05, 0.1]))
def test_so_many_references_are_needed_and_no_fewer(
    rule: Combine, views: int, level: float
) -> None:
    needed = references_needed(rule, views, level)
    view = [PartView(str(i), 1.0, "", 1 / (needed + 1)) for i in range(views)]
    assert judge_part("a", view, PartRule(rule, None, level)).verdict == "anomalous"
    view = [PartView(str(i), 1.0, "", 1 / needed) for i in range(views)]
    assert judge_part("a", view, PartRule(rule, None, level)).verdict == "ok"


# one verdict

OK, BAD = PartView("a.png", 0.1, "ok", 0.5), PartView("b.png", 0.9, "anomalous", 0.01)
LOST = PartView("c.png", reason="c.png: is no image")
ODD = PartView("d.png", 0.2, "unknown")


@given(
    st.lists(st.sampled_from([OK, BAD, LOST, ODD, PartView("e.png", 0.3)]), max_size=5),
    st.sampled_from(list(Combine)),
    st.sampled_from([None, 1, 2, 4]),
    st.sampled_from([(), ("without f.png",)]),
)
def test_a_part_is_ok_only_if_all_its_views_are_there_and_good(
    views: list[PartView], combine: Combine, count: int | None, faults: tuple[str, ...]
) -> None:
    row = judge_part("part", views, PartRule(combine, count), faults)
    assert PartRow.parse(row.to_json(), "row") == row
    if row.verdict == "ok":
        assert views
        assert not faults
        assert {LOST, ODD}.isdisjoint(views)
        assert count in (None, len({view.image for view in views}))
        assert combine.of_p_values or set(views) == {OK}
    if BAD in views and combine is Combine.worst:
        assert row.verdict == "anomalous"


def test_a_part_names_its_worst_view_and_what_it_lacks() -> None:
    row = judge_part("part 7", [OK, BAD, LOST], PartRule(views=4))
    assert (row.verdict, row.status, row.score, row.worst) == (
        "anomalous", "not whole", 0.9, "b.png",
    )  # fmt: skip
    assert row.reason == "3 of 4 views; c.png: is no image"
    assert judge_part("part 8", [OK, LOST], PartRule()).verdict == "unknown"
    assert judge_part("part 9", [OK, OK], PartRule(views=2)).reason == "1 of 2 views"
    assert judge_part("10", [PartView("a", 0.4), PartView("b", 0.5)], PartRule()).verdict == ""


def test_the_worst_view_of_two_products_is_that_of_the_smaller_p_value() -> None:
    views = [PartView("front", 0.9, "ok", 0.4), PartView("back", 0.2, "ok", 0.06)]
    assert judge_part("part", views, PartRule()).worst == "back"


def test_a_missing_view_makes_no_false_alarm_likelier() -> None:
    views = [PartView("a", 0.5, "ok", 0.02)]
    rule = PartRule(Combine.bonferroni, views=4)
    row = judge_part("part", views, rule)
    assert (row.p_value, row.verdict) == (pytest.approx(0.08), "unknown")
    certain = judge_part("part", [PartView("a", 0.5, "ok", 0.001)], rule)
    assert (certain.verdict, certain.status) == ("anomalous", "not whole")


@pytest.mark.parametrize("verdict", ["ok", ""])
def test_no_document_says_that_a_part_with_something_missing_is_good(verdict: str) -> None:
    row = judge_part("part", [OK], PartRule(views=2)).model_dump(mode="json")
    with pytest.raises(InputError, match="anomalous or unknown, never ok"):
        PartRow.of({**row, "verdict": verdict}, "row")


# one by one


def view(name: str, verdict: str = "ok") -> PartView:
    return PartView(name, 0.1, verdict)  # type: ignore[arg-type]


def test_a_part_is_judged_when_its_last_view_comes() -> None:
    parts = PartCollector(PartRule(views=2), patience=5)
    assert parts.add("1", view("1a"), now=0) is None
    assert parts.add("2", view("2a", "anomalous"), now=1) is None
    first, second = parts.add("1", view("1b"), now=2), parts.add("2", view("2b"), now=3)
    assert first is not None
    assert second is not None
    assert (first.verdict, second.verdict) == ("ok", "anomalous")
    assert (len(parts), parts.finish()) == (0, [])


def test_a_part_that_waits_too_long_or_when_the_line_stops_is_not_good() -> None:
    parts = PartCollector(PartRule(views=2), patience=5)
    parts.add("1", view("1a"), now=0)
    parts.add("2", view("2a"), now=3)
    assert parts.overdue(now=4.9) == []
    [late] = parts.overdue(now=5)
    [left] = parts.finish()
    assert [(row.part, row.verdict, row.reason) for row in (late, left)] == [
        ("1", "unknown", "1 of 2 views"),
        ("2", "unknown", "1 of 2 views"),
    ]


def test_a_view_that_comes_after_the_verdict_is_never_taken_for_a_good_part() -> None:
    parts = PartCollector(PartRule(views=1), patience=5)
    assert parts.add("1", view("1a"), now=0).verdict == "ok"  # type: ignore[union-attr]
    late = parts.add("1", view("1b"), now=1)
    assert late is not None
    assert late.verdict == "unknown"
    assert "1b came after its part was judged" in late.reason


def test_a_last_view_that_comes_too_late_makes_no_part_good() -> None:
    parts = PartCollector(PartRule(views=2), patience=5)
    parts.add("1", view("1a"), now=0)
    row = parts.add("1", view("1b"), now=60)  # before anybody asked which are overdue
    assert row is not None
    assert (row.verdict, row.reason) == ("unknown", "its last view came after 60 s")


def test_an_image_that_comes_twice_is_one_view() -> None:
    parts = PartCollector(PartRule(views=2), patience=5)
    assert parts.add("1", view("1a"), now=0) is None
    assert parts.add("1", view("1a", "anomalous"), now=1) is None
    row = parts.add("1", view("1b"), now=2)
    assert row is not None
    assert (row.verdict, row.status) == ("anomalous", "whole")


def test_the_names_of_judged_parts_are_forgotten_in_the_end() -> None:
    parts = PartCollector(PartRule(views=1), patience=5)
    for number in range(REMEMBERED + 50):
        parts.add(str(number), view("a"), now=number)
    assert len(parts._judged) == REMEMBERED


@pytest.mark.parametrize(("views", "patience"), [(None, 5), (2, 0), (2, math.nan)])
def test_a_collector_needs_a_number_of_views_and_time(views: int | None, patience: float) -> None:
    with pytest.raises(InputError, match=r"--views N|has to wait"):
        PartCollector(PartRule(views=views), patience)
