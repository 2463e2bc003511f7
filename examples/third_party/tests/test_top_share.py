"""The parts keep their promises, and the scorer averages what it says."""

from collections.abc import Callable

import pytest
import torch
from vlmad import load_detector
from vlmad.errors import OptionError
from vlmad.testing import example_features, example_text, parametrize_parts

from vlmad_top_share.scorer import TopShare


@parametrize_parts("vlmad-top-share", {"scorer:top-share": {"share": 0.1}})
def test_part_keeps_its_promises(check: Callable[[], None]) -> None:
    check()


def test_the_whole_share_is_the_mean_of_the_map() -> None:
    prediction = TopShare(1.0)(example_features(), example_text(), None)
    torch.testing.assert_close(prediction.score, prediction.map.mean((1, 2)))


def test_a_share_of_nearly_nothing_is_the_highest_pixel() -> None:
    prediction = TopShare(1e-9)(example_features(), example_text(), None)
    torch.testing.assert_close(prediction.score, prediction.map.amax((1, 2)))


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_shares_outside_their_range_are_refused(share: float) -> None:
    with pytest.raises(OptionError, match="takes number above 0 to 1"):
        load_detector(scorer="top-share", options={"scorer": {"share": share}})
