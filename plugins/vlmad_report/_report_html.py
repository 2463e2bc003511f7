"""A page as one HTML file that loads nothing from anywhere.

There are no scripts. Texts are escaped by the template and made printable; the page's content
security policy forbids everything but its own styles and the pictures that it carries.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from vlmad.errors import printable
from vlmad_evaluation.notation import figure
from vlmad_report._report_blocks import CardPicture

if TYPE_CHECKING:
    from PIL import Image

    from vlmad_report._report_blocks import ReportPage

TEMPLATES = Path(__file__).with_name("templates")
MARK = b'<meta name="generator" content="vlmad report">'
"""Stands near the beginning of every report."""


def to_html(page: ReportPage) -> bytes:
    """Return a page as the content of an HTML file."""
    return _environment().get_template("page.html.j2").render(page=page).lstrip().encode("utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(markup=Markup, number=figure, share=_share)  # of our own drawings
    return environment


def _share(value: float) -> str:
    """Return where on an axis from 0 to 1 a value lies, as CSS has it."""
    return f"{100 * min(max(value, 0), 1):.2f}%"


def _finalize(value: object) -> object:
    """Make every text that the template shows printable, but not what is markup already."""
    return value if isinstance(value, Markup) else printable(value)


def picture_of(image: Image.Image, caption: str, alternative: str) -> CardPicture:
    """Return an image that the page carries, as PNG if it is a mask and as JPEG otherwise."""
    buffer = io.BytesIO()
    if image.mode == "L":
        image.save(buffer, "PNG")
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=90)
    media = "png" if image.mode == "L" else "jpeg"
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return CardPicture(
        caption, alternative, f"data:image/{media};base64,{content}", image.width, image.height
    )
