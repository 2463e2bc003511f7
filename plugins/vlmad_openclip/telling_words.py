"""Whether a user's words tell good from bad for a model, asked of its text encoder alone.

Sentences whose quality is plain span a direction from good to bad. The two sides of words that tell
lie further apart along it than the sides of pairs that say nothing of quality ("red", "blue").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from vlmad.text import pool_sides
from vlmad.watching import note

if TYPE_CHECKING:
    from vlmad import TextEmbeddings
    from vlmad.text import SentenceEncoder

TEMPLATES = ("a photo of a {}.", "a close-up photo of the {}.")
GOOD = ("flawless {}", "perfect {}", "unblemished {}", "{} without defect", "{} without damage")
BAD = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
NEUTRAL = (
    ("orange {}", "purple {}"),
    ("pink {}", "turquoise {}"),
    ("big {}", "little {}"),
    ("long {}", "compact {}"),
    ("steel {}", "ceramic {}"),
    ("paper {}", "leather {}"),
    ("oval {}", "triangular {}"),
    ("German {}", "Japanese {}"),
    ("silver {}", "golden {}"),
    ("vertical {}", "horizontal {}"),
    ("striped {}", "dotted {}"),
    ("summer {}", "winter {}"),
    ("{} on the left", "{} on the right"),
    ("{} made in May", "{} made in June"),
    ("{} on a table", "{} on a shelf"),
    ("{} from above", "{} from the side"),
)
LEAST = 1.0
"""Deviations of neutral pairs: words that lie nearer, or the other way round, are noted. Chosen by
examples/weights/tuning_words.toml, so that of real pairs one in ten is."""


def telling(encoder: SentenceEncoder, class_name: str, text: TextEmbeddings) -> float:
    """Return how far apart the sides are from good to bad, in deviations of neutral pairs."""
    plain = [state for pair in NEUTRAL for state in pair]
    states = [state.replace("{}", class_name) for state in (*GOOD, *BAD, *plain)]
    sentences = [template.replace("{}", state) for state in states for template in TEMPLATES]
    units = F.normalize(encoder.encode_text(sentences).double(), dim=-1)
    means = units.unflatten(0, (len(states), len(TEMPLATES))).mean(1)
    good, bad, neutral = means.split([len(GOOD), len(BAD), len(plain)])
    axis = bad.mean(0) - good.mean(0)
    along = neutral.unflatten(0, (len(NEUTRAL), 2)).diff(dim=1)[:, 0] @ axis
    sides = pool_sides(text).double()
    return float((sides[1] - sides[0]) @ axis / along.square().mean().sqrt())


def note_words(encoder: SentenceEncoder, class_name: str, text: TextEmbeddings) -> None:
    """Say so where a user's words do not tell good from bad."""
    if telling(encoder, class_name, text) < LEAST:
        note(
            f"these words do not tell good from bad for this model: {_in_words(text)}; try words "
            "of what is wrong, such as 'damaged' or 'with defect', or leave them out"
        )


def _in_words(text: TextEmbeddings) -> str:
    """Return the first sentence of each side."""
    first = [
        next(s for s, own in zip(text.sentences, text.anomalous, strict=True) if own == side)
        for side in (False, True)
    ]
    return f"'{first[0]}' and '{first[1]}'" + (", …" if len(text.sentences) > 2 else "")
