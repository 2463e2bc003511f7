"""Verdicts over time: what is steadied, how fast, and that nothing unscored is ever good."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmad.errors import InputError, OptionError, PluginError, UnknownPartError
from vlmad_video.steadiers import Moment, open_steadier

ALL = ["", "half-life:0.5", "median:1", "k-of-n:3/5", "k-of-n:2/4/1"]


def said(text: str, scores: Iterable[float | None], step: float = 0.1) -> list[bool]:
    """Return what a steadier says of scores beside a threshold of 1, one every `step` seconds."""
    steady = open_steadier(text)
    return [steady(Moment(number * step, score, 1.0)) for number, score in enumerate(scores)]


@pytest.mark.parametrize("text", ALL[1:])
def test_one_high_frame_among_low_ones_is_steadied_away(text: str) -> None:
    assert not any(said(text, [0.5] * 10 + [3.0] + [0.5] * 10))
    assert any(said("", [0.5] * 10 + [3.0] + [0.5] * 10))


@pytest.mark.parametrize("text", ALL)
def test_what_lasts_is_found_and_what_is_over_is_left(text: str) -> None:
    found = said(text, [0.5] * 10 + [2.0] * 20 + [0.5] * 20)
    assert not any(found[:10])
    assert found[29]
    assert not found[-1]
    assert sum(one != other for one, other in itertools.pairwise(found)) == 2


@pytest.mark.parametrize("text", ALL)
@settings(max_examples=25)
@given(
    scores=st.lists(st.none() | st.just(math.nan) | st.floats(0, 10), min_size=1, max_size=40),
    step=st.sampled_from([0.0, 0.04, 1.0, 100.0]),
)
def test_no_moment_without_a_score_is_ever_good(
    text: str, scores: list[float | None], step: float
) -> None:
    for score, anomalous in zip(scores, said(text, scores, step), strict=True):
        assert anomalous or (score is not None and not math.isnan(score))


def test_half_life_averages_log_odds_with_weights_that_halve() -> None:
    scores = [0.5, 0.7, 3.0, 1.2, 0.9, 2.0]
    odds = [max(-math.log(4), min(math.log(4), math.log(score))) for score in scores]
    level, expected = odds[0], [odds[0] >= 0]
    for each in odds[1:]:
        level = level / 2 + each / 2  # one half-life from one to the next
        expected.append(level >= 0)
    assert said("half-life:0.3", scores, step=0.3) == expected


def test_after_a_long_gap_half_life_remembers_nothing() -> None:
    steady = open_steadier("half-life:0.5")
    assert [steady(Moment(0.1 * n, 4.0, 1.0)) for n in range(20)][-1]
    assert not steady(Moment(60.0, 0.9, 1.0))


def test_the_median_looks_back_so_many_seconds_and_no_further() -> None:
    assert said("median:0.5", [2, 2, 2, 0, 0, 0, 0, 0]) == [True] * 5 + [False] * 3


def test_k_of_n_enters_at_k_and_leaves_below_its_other_count() -> None:
    assert said("k-of-n:2/3/1", [2, 0, 2, 0, 0, 0]) == [False, False, True, True, True, False]


def test_what_a_steadier_cannot_take_is_refused() -> None:
    for text in ("half-life:0", "median:soon"):
        with pytest.raises(OptionError, match="takes number above 0"):
            open_steadier(text)
    for text in ("k-of-n:5/3", "k-of-n:0/3", "k-of-n:3", "k-of-n:3/5/4"):
        with pytest.raises(OptionError, match="1 <= leave <= k <= n"):
            open_steadier(text)
    with pytest.raises(
        UnknownPartError, match="no steadier is called 'halflife:1'; did you mean 'half-life'"
    ):
        open_steadier("halflife:1")
    with pytest.raises(InputError, match="a threshold above 0, not -1; --steady median:1"):
        open_steadier("half-life:1")(Moment(0.0, 1.0, -1.0))


OWN = '''
from vlmad import hookimpl

class Deaf:
    """Never says anything, or fails."""
    def __init__(self, broken: bool = False):
        self.broken = broken
    def __call__(self, moment):
        return 1 / 0 if self.broken else False

@hookimpl
def register_steadiers(register):
    register("deaf", Deaf, "hears nothing")
'''


def test_one_of_a_plugin_cannot_make_an_unscored_moment_good(install: Callable[..., Path]) -> None:
    install("deaf", OWN)
    assert said("deaf", [5.0, None, math.nan]) == [False, True, True]
    with pytest.raises(PluginError, match=r"steadier 'deaf' of deaf 1\.0 failed"):
        said("deaf:yes", [5.0])
