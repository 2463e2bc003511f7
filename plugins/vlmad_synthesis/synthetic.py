"""Synthetic defects: one drawn in a good image, with a mask that is exact by construction.

A `Defect` changes an image and says where. Whatever it does, outside of the mask no pixel differs
from the good image: what lies outside of its region, or differs by less than `LEAST` levels, is
put back; the mask is the region where something differs, small gaps closed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
from scipy import ndimage

from vlmad.errors import InputError, OptionError, PluginError, blaming, did_you_mean
from vlmad.options import check_options, options_of
from vlmad.registry import installed
from vlmad_synthesis.nuisances import disturb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from jaxtyping import Bool, UInt8
    from PIL import Image

Drawn: TypeAlias = "tuple[UInt8[np.ndarray, 'h w 3'], Bool[np.ndarray, 'h w']]"
"""A changed image, and the region in which it was changed."""
GOOD = "good"
LEAST, CLEAR = 3, 12
"""Levels by which a pixel differs at least, and the clearest of a defect at least."""
TRIES = 10
"""How often a defect is drawn until there is something to be seen."""
GAP = 0.01
"""Share of an image's shorter side over which gaps in a mask are closed."""


class Defect(Protocol):
    """Draws one kind of defect; made by its factory with the options of the kind."""

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> Drawn:
        """Return a changed image and where it may differ from the good one.

        Args:
            image: a copy of the good one, to be changed; of any size from one pixel on. Where
                nothing can be drawn in it, the region is empty.
            rng: where all chance comes from.
        """


class Synthetic(NamedTuple):
    """An image with a synthetic defect, or without one."""

    image: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"]
    """True where the image shows the defect; elsewhere it is, bit by bit, the good one."""
    kind: str
    """Of the defect; `GOOD` for none."""


def choose_defects(
    kinds: Iterable[str] | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Defect]:
    """Return the defects of some kinds, by name, ready to be drawn; None means all installed.

    Args:
        kinds: names as ``vlmad plugins`` lists them.
        options: texts or values; each goes to those of the kinds that have an option of that name.

    Raises:
        UnknownPartError: there is no such kind; the nearest are named.
        OptionError: none of the kinds has such an option, or it takes other values.
    """
    registry, given, chosen, offered = installed(), options or {}, {}, set[str]()
    for name in registry.names("defect") if kinds is None else kinds:
        found = registry.get("defect", name)
        factory = found.resolve()
        has = options_of(factory, found)
        offered |= has.keys()
        own = {option: value for option, value in given.items() if option in has}
        checked = check_options(f"defect '{name}'", has, own)
        with blaming(f"{found} failed"):
            chosen[name] = factory(**checked)
    for option in given.keys() - offered:
        hint = did_you_mean(option, sorted(offered))
        raise OptionError(f"no option '{option}' of {', '.join(chosen)}; {hint}")
    return chosen


def seeded(seed: int, *names: object) -> np.random.Generator:
    """Return what draws the same in every process for the same seed and names.

    With the name of an image among them, what is drawn in it depends on no other image.
    """
    words = "\0".join(map(str, (seed, *names)))
    return np.random.default_rng(np.frombuffer(hashlib.sha256(words.encode()).digest(), np.uint32))


def synthesise(
    image: Image.Image | UInt8[np.ndarray, "h w 3"],
    rng: np.random.Generator,
    defects: Mapping[str, Defect] | None = None,
) -> Synthetic:
    """Draw one defect in a good image, each kind as likely as any other.

    Args:
        image: RGB; it stays as it is.
        rng: where all chance comes from, as of `seeded`.
        defects: of `choose_defects`; None means all kinds with their published options.

    Raises:
        InputError: nothing that could be seen can be drawn in it.
        PluginError: a defect of a plugin breaks its contract.
    """
    good = pixels_of(image)
    left = dict(choose_defects() if defects is None else defects)
    while left:
        kind = list(left)[rng.integers(len(left))]
        defect = left.pop(kind)
        for _ in range(TRIES):
            changed, mask = _exact(good, _draw(kind, defect, good, rng))
            if mask.any():
                return Synthetic(changed, mask, kind)
    raise InputError(f"in an image of {good.shape[1]} x {good.shape[0]} pixels no defect shows")


def example(
    image: Image.Image | UInt8[np.ndarray, "h w 3"],
    rng: np.random.Generator,
    defects: Mapping[str, Defect] | None = None,
) -> Synthetic:
    """Return an image to learn from: one half of them have a defect.

    One half, independently, are changed before in a way that is no defect, so that nothing can
    be told from an image's being changed. The mask is exact for the image so changed.
    """
    pixels = pixels_of(image)
    if rng.random() < 0.5:
        pixels = disturb(pixels, rng)[0]
    if rng.random() < 0.5:
        return synthesise(pixels, rng, defects)
    return Synthetic(pixels, np.zeros(pixels.shape[:2], bool), GOOD)


def pixels_of(image: Image.Image | UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of an RGB image.

    Raises:
        InputError: it is of another mode, type or shape, or has no pixels.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        shown = f"{pixels.dtype} of shape {pixels.shape}"
        raise InputError(f"defects are drawn in RGB images of 8 bits (h, w, 3), not in {shown}")
    return pixels


def _draw(
    kind: str, defect: Defect, good: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> Drawn:
    """Let a defect draw in a copy, and refuse what is no answer."""
    with blaming(f"defect '{kind}' failed"):
        changed, region = defect(good.copy(), rng)
        fits = (changed.shape, region.shape) == (good.shape, good.shape[:2])
        fits = fits and changed.dtype == np.uint8 and region.dtype == np.bool_
    if not fits:
        answer = f"{changed.dtype} {changed.shape} and {region.dtype} {region.shape}"
        raise PluginError(f"defect '{kind}' gave {answer}, not an image of the same size and where")
    return changed, region


def _exact(good: UInt8[np.ndarray, "h w 3"], drawn: Drawn) -> Drawn:
    """Return the image, put back where nothing was to change, and the mask of what did."""
    changed, region = drawn
    image, mask = good.copy(), np.zeros_like(region)
    if region.any():
        rows, columns = (np.nonzero(region.any(axis))[0] for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        by = np.abs(changed[box].astype(np.int16) - good[box]).max(-1)
        differs = region[box] & (by >= LEAST)
        if (differs & (by >= CLEAR)).any():
            image[box][differs] = changed[box][differs]
            mask[box] = region[box] & _closed(differs, max(1, round(GAP * min(mask.shape))))
    return image, mask


def _closed(differs: Bool[np.ndarray, "h w"], gap: int) -> Bool[np.ndarray, "h w"]:
    """Close gaps of so many pixels to either side; beyond the edge of the piece is none."""
    size, levels = 2 * gap + 1, differs.astype(np.uint8)
    grown = ndimage.maximum_filter(levels, size, mode="constant", cval=0)
    shrunk = ndimage.minimum_filter(grown, size, mode="constant", cval=1)
    closed: Bool[np.ndarray, "h w"] = differs | (shrunk > 0)
    return closed
