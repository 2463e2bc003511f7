"""Pictures as the bytes of files, for a page that carries them or lies beside them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad_report.content import Figure, Gallery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from vlmad_report.content import Picture, Section

PNG, JPEG = "image/png", "image/jpeg"
SUFFIXES = {PNG: ".png", JPEG: ".jpg"}
QUALITY = 90


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of a picture's file."""

    content: bytes
    media: str

    @property
    def uri(self) -> str:
        """The whole picture as an address."""
        return f"data:{self.media};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def suffix(self) -> str:
        """How the name of its file ends."""
        return SUFFIXES[self.media]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A figure or a picture, in all forms that a page needs."""

    plain: Encoded
    """As a file, on white."""
    width: int
    height: int
    """In CSS pixels, at its natural size."""
    vectors: tuple[str, ...] = ()
    """A figure as elements of SVG: for a wide page, and for a narrow one."""


def render_picture(picture: Picture) -> Rendered:
    """Encode a picture of a card as PNG or JPEG, whichever is shorter."""
    image = picture.image
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if has_alpha or image.mode not in ("L", "RGB"):
        image = image.convert("RGBA" if has_alpha else "RGB")
    forms = [Encoded(_saved(image, format="PNG", optimize=True), PNG)]
    if not has_alpha:
        # 4:4:4, or the thin lines of a heat map's colours would run
        forms.append(Encoded(_saved(image, format="JPEG", quality=QUALITY, subsampling=0), JPEG))
    best = min(forms, key=lambda form: len(form.content))
    return Rendered(best, *image.size)


def _saved(image: Image.Image, **how: object) -> bytes:
    bare = image.copy()
    bare.info.clear()  # profiles, comments and the place where a photograph was taken
    buffer = io.BytesIO()
    bare.save(buffer, **how)  # type: ignore[arg-type]  # the options of two formats
    return buffer.getvalue()


def render(section: Section) -> dict[str, Rendered]:
    """Draw the figures and encode the pictures of a section, by name.

    Raises:
        Exception: whatever a figure's own `draw` raises.
    """
    # here, because matplotlib takes a second and pages without figures do not need it
    from vlmad_report.rendering.drawing import render_figure

    made = {
        block.name: render_figure(block) for block in section.blocks if isinstance(block, Figure)
    }
    return made | {name: render_picture(picture) for name, picture in pictures(section)}


def pictures(section: Section) -> Iterator[tuple[str, Picture]]:
    """Yield the pictures of a section's cards with their names."""
    for place, block in enumerate(section.blocks):
        if isinstance(block, Gallery):
            for card, each in enumerate(block.cards):
                for number, picture in enumerate(each.pictures):
                    yield picture_name(section, place, card, number), picture


def picture_name(section: Section, block: int, card: int, number: int) -> str:
    """Name a card's picture; no figure has an underscore in its name.

    Args:
        section: the card's.
        block: the place of its gallery among the section's blocks, from 0.
        card: its place in the gallery, from 0.
        number: the picture's place on the card, from 0.
    """
    return f"{section.name}_{block + 1}_{card + 1}_{number + 1}"
