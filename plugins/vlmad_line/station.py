"""A station of a line: the detectors of its products, and a judgement of each image that comes.

Whatever happens to an image, there is a judgement of it; it is OK only if its score lies below a
threshold. Several threads may use one station; its detectors work one at a time.
"""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, VlmadError, did_you_mean, reason_of, shown
from vlmad.images import Source
from vlmad_line.judgements import Answer, Judgement, Standout
from vlmad_line.standing_places import standing_places
from vlmad_line.watched_folder import stamp_of
from vlmad_run.picked_product import ProductResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from jaxtyping import Float

    from vlmad.types import Result
    from vlmad_line.endpoints import Arrival
    from vlmad_line.line_products import LineProduct

DIGITS = 9
"""Of a score: judged as it is written, so that whoever reads it comes to the same answer."""
BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """A judgement, and what it was made of."""

    judgement: Judgement
    map: Float[np.ndarray, "H W"] | None = None
    """At the size of the image; None if it was not scored."""
    result: Result | None = None
    """What the detector made of it, if it was asked, and of this very image."""
    product: LineProduct | None = None
    """As which it was judged, if there was one."""


class Station:
    """Judges images by the detectors of its products, which may be exchanged meanwhile.

    Args:
        products: from `vlmad_line.line_products.open_product`; the first is the chosen one.
    """

    def __init__(self, products: Iterable[LineProduct] = ()) -> None:
        self._products = {product.name: product for product in products}
        self._chosen = next(iter(self._products), "")
        self._names = threading.Lock()
        self._working = threading.Lock()

    @property
    def products(self) -> dict[str, LineProduct]:
        """All products by their names, as they are now."""
        with self._names:
            return dict(self._products)

    @property
    def chosen(self) -> str:
        """As which product images are judged that come without one; empty if there is none."""
        return self._chosen

    def choose(self, name: str) -> None:
        """Judge images that come without a product as this one from now on.

        Raises:
            InputError: there is none of that name.
        """
        with self._names:
            self._require(name)
            self._chosen = name

    def add(self, product: LineProduct) -> None:
        """Add a product, or exchange the one of its name; images that are judged are not held up.

        The new one is loaded by then, so that a file that cannot be used changes nothing.
        """
        with self._names:
            self._products[product.name] = product
            self._chosen = self._chosen or product.name

    def remove(self, name: str) -> None:
        """Forget a product; if it was the chosen one, none is until one is chosen.

        Raises:
            InputError: there is none of that name.
        """
        with self._names:
            self._require(name)
            del self._products[name]
            self._chosen = "" if self._chosen == name else self._chosen

    def judge(
        self,
        arrivals: Sequence[Arrival],
        product: str | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> list[JudgedImage]:
        """Judge images and return what is said of each, in order; no image makes it raise.

        Args:
            arrivals: the images.
            product: as which; by default the chosen one.
            batch_size: images that are encoded together.
        """
        name = self._chosen if product is None else product
        found = self.products.get(name)
        if found is None:
            known = did_you_mean(name, self.products)
            reason = f"no product '{name}'; {known}" if name else "no product is chosen"
            return [_not_scored(each, name, reason) for each in arrivals]
        whole = [each for each in arrivals if not _fault(each)]
        outcomes = iter(self._outcomes(found, whole, batch_size))
        judged = (_judge(found, each, _fault(each) or next(outcomes)) for each in arrivals)
        return [replace(each, product=found) for each in judged]

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let nobody else use the detectors meanwhile: they work one at a time."""
        with self._working:
            yield

    def _outcomes(
        self, product: LineProduct, arrivals: Sequence[Arrival], batch_size: int
    ) -> list[Result | str]:
        """Return what a detector makes of each image, or why it makes nothing of it."""
        images = _images(product, arrivals)
        try:
            with self.working():
                results = list(product.detector.stream(images, batch_size))  # type: ignore[arg-type]
            if len(results) != len(images):
                raise InputError(f"{len(results)} results came of {len(images)} images")
        except Exception as error:  # whatever a part does, each image gets an answer
            if len(arrivals) > 1:
                return [self._outcomes(product, [each], 1)[0] for each in arrivals]
            return [str(error) if isinstance(error, VlmadError) else reason_of(error)]
        return list(results)

    def _require(self, name: str) -> None:
        if name not in self._products:
            raise InputError(f"no product '{name}'; {did_you_mean(name, self._products)}")


def _fault(arrival: Arrival) -> str:
    """Return why there is no image; empty if there is one."""
    return arrival.fault or ("there is no image" if arrival.content is None else "")


def _images(product: LineProduct, arrivals: Sequence[Arrival]) -> list[Path | Source]:
    """Return what a detector takes: files as they are, all else under names of their own.

    A detector of several products tells the images of a batch apart by their names.
    """
    paths = Counter(str(arrival.content) for arrival in arrivals)
    return [
        each.content
        if isinstance(each.content, Path) and paths[str(each.content)] == 1
        else Source(f"{each.name} ({number})", each.content, reading=product.reading)  # type: ignore[arg-type]
        for number, each in enumerate(arrivals, 1)
    ]


def _judge(product: LineProduct, arrival: Arrival, outcome: Result | str) -> JudgedImage:
    if isinstance(outcome, str):
        return _not_scored(arrival, product.name, outcome)
    if outcome.error is None and _was_replaced(arrival, outcome):
        return _not_scored(arrival, product.name, "it was replaced before it was judged")
    if outcome.error is not None or outcome.map is None or not math.isfinite(outcome.score):
        return _not_scored(arrival, product.name, outcome.error or "it got no score", outcome)
    try:
        regions = standing_places(outcome.map)
        return JudgedImage(_judgement(product, arrival, outcome, regions), outcome.map, outcome)
    except Exception as error:  # such as of references whose scores allow no threshold
        return _not_scored(arrival, product.name, reason_of(error), outcome)


def _was_replaced(arrival: Arrival, result: Result) -> bool:
    """Return whether another file was read than came, or may have been: it is another by now."""
    if arrival.stamp is None or not isinstance(arrival.content, Path):
        return False
    now = stamp_of(arrival.content)  # the status was taken before the content was read
    return (result.status or now) != arrival.stamp or now not in (None, arrival.stamp)


def _judgement(
    product: LineProduct, arrival: Arrival, result: Result, regions: list[Standout]
) -> Judgement:
    score, limit = float(f"{result.score:.{DIGITS}g}"), product.limit(result)
    picked = result.picked if isinstance(result, ProductResult) else None
    answer: Answer = "OK"
    reason = ""
    if picked is not None and not picked.known:
        answer, reason = "NG", f"it shows none of {product.detector.class_name}"
    elif limit is None:
        answer, reason = "", "nothing says from which score on an image is anomalous"
    elif score >= limit.value:
        answer, reason = "NG", f"its score is {limit.value:.4g} or more"
    return _said(
        arrival,
        answer,
        reason,
        picked.name if picked else product.name,
        score=score,
        threshold=limit.value if limit else None,
        p_value=product.p_value(result, score),
        regions=regions,
        sha256=result.sha256,
    )


def _not_scored(
    arrival: Arrival, product: str, reason: str, result: Result | None = None
) -> JudgedImage:
    return JudgedImage(_said(arrival, "NG", shown(reason), product), None, result)


def _said(arrival: Arrival, answer: Answer, reason: str, product: str, **known: Any) -> Judgement:
    now = time.time()
    at = arrival.at if 0 <= arrival.at <= now else now  # also where a source's clock is wrong
    return Judgement(
        id=uuid.uuid4().hex,
        at=datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        image=arrival.name.replace("\0", "\\0"),
        source=arrival.source.replace("\0", "\\0"),
        answer=answer,
        reason=reason,
        product=product,
        file=os.path.abspath(arrival.content) if isinstance(arrival.content, Path) else "",
        milliseconds=round((now - at) * 1000, 1),
        **known,
    )
