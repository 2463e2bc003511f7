"""What an explanation says: the addends of a score, sentences, places and nearest references.

`vlmad_explain._explaining.explain` makes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from jaxtyping import Float

    from vlmad.attribution import Judge
    from vlmad_explain._shown_regions import Place


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one sentence said.

    `cosine` is that between it and the image or region. `push` is its addend to what was
    concluded (see `Explanation.unit`), above 0 for an anomaly; `share` (0 to 1) is the size of
    its push among the sizes of all pushes. Both are None where the scorer does not tell.
    `state` is what the sentence says of the object, where prompts tell: several templates say
    the same.
    """

    text: str
    anomalous: bool
    cosine: float
    push: float | None
    share: float | None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Nearest:
    """The region of the references that is nearest to one of the image.

    `number` counts the references from 0, in the order given, and `image` is the file; both are
    None, like `place`, where they are not known any more. `distance` is the scorer's measure.
    """

    number: int | None
    image: str | None
    place: Place | None
    distance: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A region that stands out.

    `by` says by what (text, references, map), `values` holds its value by each that judged it,
    `decided` whether it covers the place that decided the score.
    """

    number: int
    by: Judge
    level: str
    place: Place
    values: Mapping[str, float]
    decided: bool
    speaking_for: tuple[Sentence, ...]
    speaking_against: tuple[Sentence, ...]
    nearest: Nearest | None


@dataclass(frozen=True, slots=True)
class Covering:
    """A region that covers the place that decided, and its value."""

    level: str
    place: Place | None
    value: float


@dataclass(frozen=True, slots=True)
class Part:
    """One addend of the score: weight * value.

    If `whole_image`, `value` is a judgement of the whole image. If not, it is that of the cell
    at `place` (None if that lies in the margins of padding): the mean over levels of the
    `mean` of `regions`.
    """

    by: Judge
    weight: float
    value: float
    whole_image: bool
    place: Place | None = None
    mean: str | None = None
    regions: tuple[Covering, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What drove the score of one image.

    `score` is the sum of weight * value of `parts`. Where the image was cut into tiles it is that
    of the most anomalous one, `tile`, of which all else is said. The pushes of all `sentences`
    sum to what they concluded: with the unit log-odds to ln(p / (1 - p)) of the probability p
    that is the value of the part by text, with the unit cosine to that value itself.
    `sentences_on` says whether they speak of the whole (image or tile) or of the place that
    decided. `gap` says what is not known. `map` has the size of the original, as in `Result`.
    """

    image: str
    width: int
    height: int
    class_name: str
    score: float
    tile: Place | None
    parts: tuple[Part, ...]
    unit: str | None
    sentences_on: str | None
    sentences: tuple[Sentence, ...]
    findings: tuple[Finding, ...]
    gap: str | None
    map: Float[np.ndarray, "H W"] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the map, as JSON takes it."""
        table = asdict(replace(self, map=None))  # type: ignore[arg-type]  # never copied
        del table["map"]
        return table
