"""Synthetic defects: masks are exact, and a seed draws the same anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmad.errors import InputError, OptionError, PluginError, UnknownPartError
from vlmad.options import options_of
from vlmad.registry import installed
from vlmad.testing import check_part
from vlmad_synthesis.noise_fields import rough_noise
from vlmad_synthesis.nuisances import NUISANCES, disturb
from vlmad_synthesis.surface import find_product
from vlmad_synthesis.synthetic import (
    CLEAR,
    GOOD,
    choose_defects,
    example,
    seeded,
    synthesise,
)

KINDS = installed().names("defect")
SIDES = st.one_of(st.integers(1, 8), st.integers(1, 70), st.just(160))


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a rough grey surface."""
    rng = np.random.default_rng(seed)
    levels = 120 + 25 * rough_noise((height, width), max(height, width) / 6, rng)
    return np.clip(levels[..., None] + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(
        np.uint8
    )


def disc(side: int = 96, colour: tuple[int, int, int] = (190, 120, 60)) -> np.ndarray:
    """Draw a round thing on dark ground."""
    rows, columns = np.indices((side, side))
    inside = np.hypot(rows - side / 2, columns - side / 2) < side / 3
    return np.where(inside[..., None], np.uint8(colour), np.uint8(20)) + texture(side, side) // 16


def check_exact(kind: str, height: int, width: int, seed: int) -> None:
    """Compare an image with the one it was made of, pixel by pixel."""
    good = texture(height, width, seed)
    before = good.copy()
    try:
        made = synthesise(good, seeded(seed), choose_defects([kind]))
    except InputError:  # it says that nothing can be seen in so small an image
        assert min(height, width) < 16
        return
    by = np.abs(made.image.astype(int) - good).max(-1)
    assert made.image.shape == good.shape
    assert made.mask.shape == good.shape[:2]
    assert not by[~made.mask].any()
    assert by[made.mask].max() >= CLEAR
    assert made.kind == kind
    assert (good == before).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 3), (7, 90), (33, 20), (64, 64)])
def test_outside_of_the_mask_not_a_pixel_differs(kind: str, size: tuple[int, int]) -> None:
    check_exact(kind, *size, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
def test_masks_are_exact_at_any_size(kind: str, height: int, width: int, seed: int) -> None:
    check_exact(kind, height, width, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_of_an_object_shows(kind: str) -> None:
    for seed in range(5):
        made = synthesise(disc(), seeded(seed), choose_defects([kind]))
        assert made.mask.any()
        assert made.mask.mean() < 0.6


DRAWN = """
import hashlib
import numpy as np
from vlmad_synthesis.synthetic import choose_defects, example, seeded

good = np.random.default_rng(0).integers(90, 160, (48, 64, 3), dtype=np.uint8)
digest = hashlib.sha256()
for index in range(30):
    made = example(good, seeded(7, "part", index))
    digest.update(made.image.tobytes() + made.mask.tobytes() + made.kind.encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_another_process_draws_the_same() -> None:
    """Neither the hashing of texts nor what was drawn before decides."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", DRAWN],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 65


def test_a_seed_and_a_name_draw_the_same_and_others_something_else() -> None:
    good, defects = texture(64, 48), choose_defects()
    one, same, other = (synthesise(good, seeded(3, name), defects) for name in ("a", "a", "b"))
    assert (one.image == same.image).all()
    assert (one.mask == same.mask).all()
    assert one.kind == same.kind
    assert (one.image != other.image).any()


def test_every_kind_is_as_likely_as_any_other() -> None:
    kinds = ["cutpaste", "scar", "smoothblend", "perlin"]
    defects = choose_defects(kinds)
    counts = Counter(synthesise(texture(32, 32), seeded(i), defects).kind for i in range(160))
    assert counts.keys() == set(kinds)
    assert all(abs(count - 40) < 28 for count in counts.values())  # five deviations


def test_half_of_the_examples_are_good_and_half_are_disturbed() -> None:
    good, defects = texture(32, 32), choose_defects(["cutpaste"])
    made = [example(good, seeded(i), defects) for i in range(200)]
    normal = [each for each in made if each.kind == GOOD]
    assert 65 < len(normal) < 135
    assert not any(each.mask.any() for each in normal)
    assert all(each.mask.any() for each in made if each.kind != GOOD)
    disturbed = [(each.image != good)[~each.mask].any() for each in made]
    assert 65 < sum(disturbed) < 135


@pytest.mark.parametrize("kind", NUISANCES)
def test_a_nuisance_changes_an_image_a_little(kind: str) -> None:
    good = texture(80, 50)
    changed, name = disturb(good, seeded(1), [kind])
    assert name == kind
    assert (changed != good).any()
    assert np.abs(changed.astype(int) - good).mean() < 30
    assert changed.shape == good.shape


@settings(max_examples=20)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_nuisances_take_images_of_any_size(height: int, width: int, seed: int) -> None:
    assert disturb(texture(height, width), seeded(seed))[0].shape == (height, width, 3)


def test_the_product_is_the_object_on_plain_ground_or_everything() -> None:
    rows, columns = np.indices((96, 96))
    inside = np.hypot(rows - 48, columns - 48) < 32
    found = find_product(disc())
    assert (found != inside).mean() < 0.05
    assert find_product(texture(96, 96)).all()


def test_images_of_other_kinds_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"RGB images of 8 bits \(h, w, 3\), not in uint8 of shape"
    ):
        synthesise(Image.new("L", (9, 9)), seeded(0))


def test_an_image_in_which_nothing_shows_is_refused() -> None:
    black = Image.new("RGB", (9, 7))  # of which no piece is anything but black
    with pytest.raises(InputError, match="in an image of 9 x 7 pixels no defect shows"):
        synthesise(black, seeded(0), choose_defects(["cutpaste", "scar"]))


def test_unknown_kinds_and_options_are_named() -> None:
    with pytest.raises(UnknownPartError, match="did you mean 'cutpaste'"):
        choose_defects(["cutpast"])
    with pytest.raises(OptionError, match="no option 'jiter' of cutpaste; did you mean 'jitter'"):
        choose_defects(["cutpaste"], {"jiter": "1"})
    with pytest.raises(OptionError, match="option 'area' takes"):
        choose_defects(["cutpaste"], {"area": "1"})


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("hole", "radius", "0.3,0.2"),
        ("hole", "radius", "0.1,1.1"),
        ("hole", "radius", "-1,0.2"),
        ("hole", "radius", "0.1,nan"),
        ("cutpaste", "aspect", "0,1"),
        ("perlin", "cells", "0,11"),
        ("perlin", "cells", "3,2"),
    ],
)
def test_spans_that_hold_nothing_or_too_much_are_refused(
    kind: str, option: str, value: str
) -> None:
    with pytest.raises(OptionError, match=f"option '{option}' takes"):
        choose_defects([kind], {option: value})


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_keep_the_protocol_and_their_widest_spans_can_be_drawn(kind: str) -> None:
    check_part("defect", kind)
    factory = installed().get("defect", kind).resolve()
    options = [name for name, option in options_of(factory).items() if "radius" in name]
    defect = choose_defects([kind], dict.fromkeys(options, "1,1"))
    assert synthesise(disc(40), seeded(0), defect).mask.any()


def test_an_option_goes_to_the_kinds_that_have_it() -> None:
    chosen = choose_defects(["cutpaste", "hole"], {"radius": "0.2,0.3"})
    assert vars(chosen["hole"])["radius"] == (0.2, 0.3)
    assert vars(chosen["cutpaste"])["area"] == (0.02, 0.15)


def test_an_answer_of_another_form_is_blamed_on_the_defect() -> None:
    def wrong(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return image[1:], np.ones(image.shape[:2], bool)

    with pytest.raises(PluginError, match="defect 'wrong' gave"):
        synthesise(texture(9, 9), seeded(0), {"wrong": wrong})
