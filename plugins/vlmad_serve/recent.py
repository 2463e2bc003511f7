"""What can still be asked for: the latest judgements, and of fewer the image and the map."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vlmad_serve.answers import History
from vlmad_serve.written import fits, parts_among

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jaxtyping import Float, UInt16

    from vlmad_formats.reading import Reading
    from vlmad_line.judgements import Judgement, PartJudgement
    from vlmad_line.line_products import LineProduct

MOST_JUDGEMENTS = 1000
MOST_BYTES = 256 << 20
"""Of the images that are kept, however few these are."""
LONGEST_SIDE = 640
"""Of maps and pictures that are given out, in pixels."""


@dataclass(frozen=True, slots=True)
class StoredMap:
    """A map in 16 bits, of at most `LONGEST_SIDE` pixels."""

    values: UInt16[np.ndarray, "h w"]
    low: float
    """What 0 stands for."""
    high: float
    """What 65535 stands for."""

    @classmethod
    def of(cls, heat: Float[np.ndarray, "H W"]) -> StoredMap:
        """Make it of a map; maps are smooth, so that pixels can be left out."""
        step = -(-max(heat.shape) // LONGEST_SIDE)
        coarse = heat[::step, ::step]
        low, high = float(coarse.min()), float(coarse.max())
        share = (coarse - low) * (65535 / (high - low) if high > low else 0.0)
        return cls(np.rint(share).astype(np.uint16), low, high)

    def png(self) -> bytes:
        """Return it as a PNG that says what its darkest and its brightest value stand for."""
        said, file = PngInfo(), io.BytesIO()
        said.add_text("map_low", repr(self.low))
        said.add_text("map_high", repr(self.high))
        Image.fromarray(self.values).save(file, "PNG", pnginfo=said, compress_level=1)
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image that can still be asked for."""

    path: Path
    size: int
    reading: Reading | None
    map: StoredMap | None
    """None if it was not scored."""
    name: str
    """What it is called."""
    product: str
    """As which product of the station it was judged."""


class Recent:
    """The latest judgements, images and maps; several threads may use it.

    Args:
        keep: of how many the image and the map are kept.
    """

    def __init__(self, keep: int) -> None:
        self._keep, self._lock = keep, threading.Lock()
        self._judgements: deque[Judgement] = deque(maxlen=MOST_JUDGEMENTS)
        self._parts: deque[PartJudgement] = deque(maxlen=MOST_JUDGEMENTS)
        self._scores: deque[tuple[str, str, float]] = deque(maxlen=MOST_JUDGEMENTS)
        """Of the latest images, with the product as which each was judged, and its detector."""
        self._kept: OrderedDict[str, KeptImage] = OrderedDict()
        self._bytes = 0

    def add(
        self, judgement: Judgement, image: KeptImage, product: LineProduct | None = None
    ) -> None:
        """Remember a judgement; the file of its image is deleted when it is forgotten.

        Args:
            judgement: what was said.
            image: of what.
            product: by which product, if there was one.
        """
        with self._lock:
            self._judgements.append(judgement)
            if product is not None and judgement.score is not None:
                self._scores.append((product.name, product.scoring, judgement.score))
            self._kept[judgement.id] = image
            self._bytes += image.size
            gone = []
            while len(self._kept) > self._keep or (self._kept and self._bytes > MOST_BYTES):
                gone.append(self._kept.popitem(last=False)[1])
                self._bytes -= gone[-1].size
        for each in gone:
            each.path.unlink(missing_ok=True)

    def add_parts(self, parts: Iterable[PartJudgement]) -> None:
        """Remember what was said of parts."""
        with self._lock:
            self._parts += parts

    def kept(self, name: str) -> KeptImage | None:
        """Return the image of a judgement's id, if it is still there."""
        with self._lock:
            return self._kept.get(name)

    def scores(self, product: LineProduct) -> list[float]:
        """Return the scores that a product's detector gave to the latest images."""
        with self._lock:
            known = [*self._scores]
        own = product.name, product.scoring
        return [score for name, scoring, score in known if (name, scoring) == own]

    def history(
        self,
        limit: int,
        before: str = "",
        answer: str | None = None,
        product: str | None = None,
    ) -> History:
        """Return the latest judgements, or those before one, of an answer or a product."""
        with self._lock:
            newest, kept = list(reversed(self._judgements)), set(self._kept)
            parts = list(reversed(self._parts))
        if before:
            place = next((n for n, each in enumerate(newest) if each.id == before), len(newest))
            newest = newest[place + 1 :]
        whole = {view: part.answer for part in parts for view in part.views}
        chosen = [each for each in newest if fits(each, whole, answer, product)]
        shown = chosen[:limit]
        more = shown[-1].id if len(chosen) > limit else ""
        ids = [each.id for each in shown if each.id in kept]
        return History(judgements=shown, parts=parts_among(shown, parts), more=more, kept=ids)
