"""The file of a fitted detector of several products.

Tensors of the first have the names that a single detector's have; those of others begin with their
number. Files that are options are kept once. What the references look like as a whole is ``looks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad.errors import WeightsError, one_line
from vlmad_run.fitted import (
    BESIDE,
    FILE,
    LOOKS,
    MEMORY,
    fill,
    load_fitted,
    read_fitted,
    tensors_of,
    write_fitted,
)
from vlmad_run.products import Product, ProductLine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from vlmad_run.manifest import Manifest
    from vlmad_run.references import Assembled

NEARLY = 1e-3
"""How far the length of a unit vector is from 1 at most."""


def open_fitted(path: Path, options: Mapping[str, Mapping[str, Any]]) -> Assembled | ProductLine:
    """Build what a file holds; the engine of ``--model FILE.safetensors``; see `load_fitted`."""
    document, tensors = read_fitted(path)
    if LOOKS not in tensors:
        if document.more:
            raise WeightsError(f"{path} cannot be used: it does not tell its products apart")
        return load_fitted(path, options)
    manifests = [document.manifest, *document.more]
    of = [_own(tensors, number, len(manifests), path) for number in range(len(manifests))]
    first = load_fitted(path, options, of[0])
    others = [
        fill(first.detector.on(first.detector.backbone), manifest, own, path)
        for manifest, own in zip(manifests[1:], of[1:], strict=True)
    ]
    pairs = zip([first, *others], of, strict=True)
    products = [Product(each, _looks(own, each, path)) for each, own in pairs]
    named = {each.assembled.class_name: each for each in products}
    if len(named) < len(products) or len({each.looks.shape[1] for each in products}) > 1:
        raise WeightsError(f"{path} cannot be used: it does not tell its products apart")
    return ProductLine(named, path)


def save_products(line: ProductLine, manifests: Sequence[Manifest], path: Path) -> None:
    """Write a detector of several products to a file, with what each of them is.

    Raises:
        OutputError: the file cannot be written.
    """
    write_fitted(tensors_of_products(line), manifests, path)


def tensors_of_products(line: ProductLine) -> dict[str, Tensor]:
    """Return what a file keeps of several products, by name."""
    tensors: dict[str, Tensor] = {}
    for number, product in enumerate(line.products.values()):
        own = {**tensors_of(product.assembled.detector), LOOKS: product.looks.cpu().contiguous()}
        if number:
            own = {f"{number}/{n}": kept for n, kept in own.items() if not n.startswith(FILE)}
        tensors |= own
    return tensors


def _own(tensors: Mapping[str, Tensor], number: int, count: int, path: Path) -> dict[str, Tensor]:
    """Return the tensors of one of several products, by the names that a single one has."""
    if not number:
        others = tuple(f"{each}/" for each in range(1, count))
        return {n: kept for n, kept in tensors.items() if not (others and n.startswith(others))}
    prefix = f"{number}/"
    own = {n.removeprefix(prefix): kept for n, kept in tensors.items() if n.startswith(prefix)}
    for name in own:
        if not name.startswith(MEMORY) and name not in BESIDE:
            shown = one_line(prefix + name)
            raise WeightsError(f"{path} holds '{shown}', of which nothing is recorded")
    return own


def _looks(own: Mapping[str, Tensor], fitted: Assembled, path: Path) -> Tensor:
    looks = own.get(LOOKS)
    if looks is None or looks.ndim != 2 or str(looks.dtype) != "torch.float32":
        raise WeightsError(f"{path} cannot be used: '{LOOKS}' holds no vectors")
    apart = (looks.norm(dim=-1) - 1).abs()
    if len(looks) != len(fitted.references) or not bool((apart < NEARLY).all()):
        raise WeightsError(f"{path} cannot be used: '{LOOKS}' has no unit vector of each reference")
    return looks
