"""Fitting a detector for a file: on the references of one product or several, or on more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import class_name
from vlmad.errors import InputError
from vlmad_run.adding import add_references, refuse_repeated
from vlmad_run.choosing import OF_PARTS
from vlmad_run.finding import find_images
from vlmad_run.judged_references import judge_fitted
from vlmad_run.picked_product import UNKNOWN
from vlmad_run.products import Product, ProductLine, looks_of
from vlmad_run.references import References, assemble, check_unused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vlmad_run.choosing import Choice
    from vlmad_run.memory_documents import Reference
    from vlmad_run.references import Assembled


def fit_references(
    choice: Choice, references: References, paths: list[str], add_to: Path | None, keep_all: bool
) -> Assembled | ProductLine:
    """Fit on all images, of one product or several, or add them to what a file remembers."""
    named = by_product(paths)
    if add_to is not None:
        if named:
            raise InputError("--add-to adds to a file of one product: leave out NAME=")
        check_unused("--add-to", choice, "class_name", *OF_PARTS)
        before = assemble(choice, References(model=add_to))
        return judge_fitted(
            add_references(before, paths, references.shots, references.seed), keep_all=True
        )
    if named:
        return fit_products(choice, references, named, keep_all)
    shots = len(find_images(paths, "references")) if references.shots is None else references.shots
    whole = replace(references, references=paths, shots=shots)
    return judge_fitted(assemble(choice, whole), keep_all)


def by_product(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths of each product of ``NAME=PATH``; none where no product is named.

    Raises:
        InputError: only some have a name, or one is none.
    """
    named: dict[str, list[str]] = {}
    for text in paths:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            continue
        called = class_name(name)
        if not called or not called.isprintable() or called == UNKNOWN:
            raise InputError(f"'{text}': a product has printable words, but not '{UNKNOWN}'")
        named.setdefault(called, []).append(path)
    if named and sum(map(len, named.values())) < len(paths):
        raise InputError("name a product for each folder: NAME=PATH")
    return named


def fit_products(
    choice: Choice, references: References, named: dict[str, list[str]], keep_all: bool
) -> ProductLine:
    """Return a detector that is fitted on each product's references.

    Raises:
        InputError: an option is for one product alone, an image is of two products, or their
            files differ in what is white.
    """
    if choice.class_name is not None or choice.align:
        raise InputError("several products have names of their own, and no image to align to")
    check_masks([*(references.roi or ()), *(references.ignore or ())], named)
    fitted: dict[str, Assembled] = {}
    known: list[Reference] = []
    for name, paths in named.items():
        own = references.of_product(name, paths)
        assembled = assemble(replace(choice, class_name=name), own)
        refuse_repeated(known, assembled.references)
        known += assembled.references
        fitted[name] = judge_fitted(assembled, keep_all)
    first = next(iter(fitted.values())).detector
    for each in fitted.values():
        if str(each.detector.reading) != str(first.reading):
            raise InputError("the products' files differ in what is white; say it with --range")
        each.detector.backbone = first.backbone
    return ProductLine({name: Product(each, _looks(each)) for name, each in fitted.items()})


def check_masks(masks: Sequence[str], named: dict[str, list[str]]) -> None:
    """Refuse a mask that is not one of a product.

    Raises:
        InputError: it is not ``NAME=MASK``, or there is no such product.
    """
    for text in masks:
        if text.partition("=")[0] not in named or "=" not in text:
            raise InputError(f"'{text}': of several products a mask is given as NAME=MASK")


def _looks(assembled: Assembled) -> Tensor:
    detector = assembled.detector
    return looks_of(list(detector.encode([Path(each.path) for each in assembled.references])))
