"""Products drawn for training: repeatable, of every family, with defects that can be trusted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "weights"))
from products.drawing import FAMILIES, draw_product, draw_set, flawed
from products.fields import SIZE
from products.flaws import KINDS
from products.structure import LEAST

from vlmad_synthesis.synthetic import seeded


@pytest.mark.slow
def test_a_set_is_the_same_in_any_order() -> None:
    first = draw_set(3, 5)
    draw_set(3, 4)
    for one, other in zip(first, draw_set(3, 5), strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
        assert one.kind == other.kind
    assert not np.array_equal(first[0].image, draw_set(4, 5)[0].image)


def test_the_last_two_of_a_set_have_defects_of_two_kinds_inside_of_the_product() -> None:
    pictures = draw_set(0, 1)
    assert [picture.kind for picture in pictures[:4]] == ["good"] * 4
    assert not any(picture.mask.any() for picture in pictures[:4])
    assert pictures[4].kind != pictures[5].kind
    for picture in pictures:
        assert picture.image.shape == (SIZE, SIZE, 3)
        assert picture.image.dtype == np.uint8
        assert picture.product.any()
    for picture in pictures[4:]:
        assert picture.mask.any()
        assert not (picture.mask & ~picture.product).any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_of_every_kind_changes_nothing_outside_of_its_mask(kind: str) -> None:
    product = draw_product(0, 0, "label" if "print" in kind else "tray")
    rng = seeded(0, kind)
    piece = product.piece(rng)
    flaw, good = flawed(product, piece, rng, kind), piece.render()
    assert flaw.kind == kind
    assert np.array_equal(flaw.image[:, ~flaw.mask], good[:, ~flaw.mask])
    by = np.abs(np.clip(flaw.image, 0, 255) - np.clip(good, 0, 255)).max(0)
    assert (by[flaw.mask] >= LEAST).mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_of_every_family_are_pictures_that_differ(family: str) -> None:
    product = draw_product(0, 1, family)
    one, other = (product.piece(seeded(0, family, index)).render() for index in range(2))
    assert one.shape == (3, SIZE, SIZE)
    assert np.isfinite(one).all()
    assert np.abs(one - other).mean() > 0
    assert one.std() > 1


def test_products_differ_in_family_and_name() -> None:
    products = [draw_product(0, number) for number in range(12)]
    assert len({product.family for product in products}) > 6
    assert len({product.name for product in products}) > 6
