"""What is watched of each image, and how a change of it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["score", "brightness", "contrast", "sharpness", "colour", "place"]
DriftSide: TypeAlias = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of each image."""

    name: str
    kind: Kind
    more: str
    """What it is when it rises, in words."""
    less: str
    share: bool = True
    """Whether a change is a share of what was usual; otherwise of the image's longer side."""

    def rounded(self, value: float) -> float:
        """Return a value with so few digits that few different ones are to be kept.

        That is done to each by itself, so that what is exchangeable remains so.
        """
        return float(f"{value:.4g}") if self.share else round(value, 4)

    def in_words(self, usual: float, now: float) -> str:
        """Say a change.

        >>> QUANTITIES["brightness"].in_words(100, 112)
        'brighter by 12 %'
        """
        direction = self.more if now >= usual else self.less
        if self.share and usual <= 0:
            return f"{direction} by {abs(now - usual):.3g}"
        percent = 100 * abs(now - usual) / (usual if self.share else 1)
        of = "" if self.share else " of the image"
        return f"{direction} by {percent:.{0 if percent >= 9.5 else 1}f} %{of}"


QUANTITIES = {
    each.name: each
    for each in (
        Quantity("score", "score", "scores higher", "scores lower"),
        Quantity("brightness", "brightness", "brighter", "darker"),
        Quantity("contrast", "contrast", "more contrast", "less contrast"),
        Quantity("sharpness", "sharpness", "more fine detail (sharper, or noise)", "less sharp"),
        Quantity("red", "colour", "more red", "less red"),
        Quantity("blue", "colour", "more blue", "less blue"),
        Quantity("right", "place", "further right", "further left", share=False),
        Quantity("down", "place", "further down", "further up", share=False),
    )
}
"""By name; all but the first are statistics of the image (`vlmad_drift.image_statistics`)."""
