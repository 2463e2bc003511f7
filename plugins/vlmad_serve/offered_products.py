"""Products that may be made of fitted files while the server runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, VlmadError, did_you_mean
from vlmad_line.line_products import open_product
from vlmad_run.products import ProductLine
from vlmad_run.references import Assembled, References
from vlmad_run.thresholds import Threshold
from vlmad_serve.answers import ProductList, ServedProduct
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmad_line.line_products import LineProduct
    from vlmad_line.station import Station
    from vlmad_run.choosing import Choice
    from vlmad_serve.answers import ProductChange

SUFFIX = ".safetensors"
MOST_PRODUCTS, MOST_NAME = 100, 80


@dataclass(frozen=True, slots=True)
class OfferedProducts:
    """What changes the products of a station, by fitted files of one folder.

    Args:
        station: whose.
        folder: of the files; None offers none.
        choice: where weights are and on which device they compute.
        changed: is called after a change.
    """

    station: Station
    folder: Path | None
    choice: Choice
    changed: Callable[[], None]
    _busy: threading.Lock

    def tell(self) -> ProductList:
        """Return which there are and which files may become some."""
        products = [_served(each) for each in self.station.products.values()]
        return ProductList(
            chosen=self.station.chosen, products=products, files=sorted(self._files())
        )

    def change(self, name: str, change: ProductChange) -> None:
        """Add or change a product; images are judged meanwhile as before.

        Raises:
            Refusal: it cannot be, and nothing has changed.
        """
        with self.changing():
            try:
                self.station.add(self._made(name, change))
                if change.chosen:
                    self.station.choose(name)
            except VlmadError as error:
                raise Refusal(422, str(error), "the products stay as they were") from error

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let nobody else change products meanwhile, so that none puts back an old one.

        Raises:
            Refusal: somebody does.
        """
        if not self._busy.acquire(blocking=False):
            remedy = "ask again after Retry-After seconds"
            raise Refusal(429, "another product is being changed", remedy, 1)
        try:
            yield
            self.changed()
        finally:
            self._busy.release()

    def remove(self, name: str) -> None:
        """Forget a product.

        Raises:
            Refusal: there is none, or images are judged as it by default.
        """
        with self.changing():
            self._require(name)
            if name == self.station.chosen:
                raise Refusal(409, f"'{name}' is the chosen product", "choose another one before")
            self.station.remove(name)

    def _made(self, name: str, change: ProductChange) -> LineProduct:
        if change.file is not None:
            self._check_new(name)
            file = self._found(change.file)
            value = None if change.threshold is None else repr(change.threshold)
            return open_product(self.choice, References(model=file), value, name)
        self._require(name)
        product = self.station.products[name]
        if change.threshold is None:
            return product
        return judging_at(product, Threshold(value=change.threshold))

    def _check_new(self, name: str) -> None:
        if not name.isprintable() or not name.strip() or "/" in name or len(name) > MOST_NAME:
            raise Refusal(
                422, f"'{name}' is no name of a product", f"take up to {MOST_NAME} letters"
            )
        known = self.station.products
        if name not in known and len(known) >= MOST_PRODUCTS:
            raise Refusal(409, f"there are {len(known)} products", "remove one before")

    def _require(self, name: str) -> None:
        if name not in self.station.products:
            known = did_you_mean(name, self.station.products)
            raise Refusal(404, f"no product '{name}'", f"PUT it with a file, or: {known}")

    def _files(self) -> dict[str, Path]:
        """Return the fitted files by name: those that lie in the folder themselves, no links."""
        if self.folder is None:
            return {}
        try:
            inside = [*self.folder.iterdir()]
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror or error}") from error
        usable = (p for p in inside if p.suffix == SUFFIX and p.is_file() and not p.is_symlink())
        return {path.name: path for path in usable if path.name.isprintable()}

    def _found(self, name: str) -> Path:
        if self.folder is None:
            raise Refusal(403, "no files are offered", "start the server with --products FOLDER")
        files = self._files()
        if name not in files:  # compared with what lies there: no path leads out of the folder
            raise Refusal(404, f"no file '{name}' is offered", did_you_mean(name, files))
        return files[name]


def offer(
    station: Station, folder: Path | None, choice: Choice, changed: Callable[[], None]
) -> OfferedProducts:
    """Return what changes the products of a station."""
    return OfferedProducts(station, folder, choice, changed, threading.Lock())


def judging_at(product: LineProduct, threshold: Threshold) -> LineProduct:
    """Return a product with another threshold."""
    identity = product.manifest.identity.model_copy(update={"threshold": threshold.value})
    manifest = product.manifest.model_copy(update={"identity": identity})
    return replace(product, threshold=threshold, manifest=manifest)


def _served(product: LineProduct) -> ServedProduct:
    found: object = product.detector
    model = found.model if isinstance(found, Assembled | ProductLine) else None
    limit = product.threshold
    return ServedProduct(
        name=product.name,
        class_name=product.detector.class_name,
        file=model.name if model else "",
        detector=product.manifest.recipe,
        threshold=limit.value if limit else None,
        rule=limit.rule if limit else "",
        judges=product.judges,
        digest=product.digest,
        notes=list(product.notes),
    )
