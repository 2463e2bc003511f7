"""Words that tell good from bad for a model, and words that do not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from vlmad.text import embed_sides
from vlmad_baselines._plain_prompts import Plain
from vlmad_openclip.telling_words import telling
from vlmad_winclip.compositional import Compositional

from .conftest import Ended, noise

BAD = ("damage", "broken", "flaw", "defect", "rusty")
SURELY_GOOD = ("flawless", "without", "perfect", "unblemished", "clean")
NOTE = "these words do not tell good from bad for this model"


class Encoder:
    """One number of quality, a small one of it for any word, and others of their own."""

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        return torch.stack([self.one(sentence) for sentence in prompts])

    def one(self, sentence: str) -> torch.Tensor:
        good = any(word in sentence for word in SURELY_GOOD)
        bad = any(word in sentence for word in BAD) and not good
        drawn = torch.Generator().manual_seed(zlib.crc32(sentence.encode()))
        numbers = 0.1 * torch.randn(16, generator=drawn)
        return numbers + torch.eye(16)[0] * (bad - good) + torch.eye(16)[1]


def of(good: str, bad: str) -> float:
    return telling(Encoder(), "gear", embed_sides(Encoder(), [good], [bad]))


def test_words_of_quality_tell_and_others_do_not() -> None:
    assert of("a clean gear", "a rusty gear") > 5
    assert abs(of("a red gear", "a blue gear")) < 3


def test_exchanged_sides_do_not_tell() -> None:
    assert of("a rusty gear", "a clean gear") < -5


def test_a_class_name_may_hold_braces() -> None:
    text = embed_sides(Encoder(), ["a clean {x}"], ["a rusty {x}"])
    assert telling(Encoder(), "{x}", text) > 5


def test_own_words_that_do_not_tell_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    Plain("a red {}", "a blue {}")(Encoder(), "gear", None)  # type: ignore[arg-type]
    assert f"{NOTE}: 'a red gear' and 'a blue gear'; try " in capsys.readouterr().err


def test_nothing_is_noted_of_words_that_tell(capsys: pytest.CaptureFixture[str]) -> None:
    Plain("a clean {}", "a rusty {}")(Encoder(), "gear", None)  # type: ignore[arg-type]
    Plain()(Encoder(), "gear", None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


def test_a_list_of_own_states_is_looked_at_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        'normal_states = ["red {}", "green {}"]\nanomalous_states = ["blue {}"]\n'
        'templates = ["a {}"]\n'
    )
    Compositional(file=file)(Encoder(), "gear", None)  # type: ignore[arg-type]
    assert f"{NOTE}: 'a red gear' and 'a blue gear', …; try " in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_notes_words_that_do_not_tell(command: Callable[..., Ended], tmp_path: Path) -> None:
    own = ("--set", "prompts.normal=a large {}", "--set", "prompts.anomalous=a small {}")
    ended = command("run", noise(tmp_path / "photos", 1), "--detector", "clip", *own)
    assert ended.error.count(NOTE) == 1
    assert ended.status == 0
