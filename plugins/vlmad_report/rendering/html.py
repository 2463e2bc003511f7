"""A page as one HTML file that loads nothing from anywhere.

There are no scripts. Texts are escaped by the templates and made printable; the page forbids
itself, by its content security policy, everything but its own style sheet and the pictures that
it carries.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from vlmad.errors import printable
from vlmad_report.content import Figure, Gallery, Table
from vlmad_report.rendering.colours import rules
from vlmad_report.rendering.encoded import picture_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad_report.content import Page
    from vlmad_report.rendering.encoded import Rendered

TEMPLATES = Path(__file__).with_name("templates")


def to_html(page: Page, rendered: Mapping[str, Rendered]) -> str:
    """Return a page as HTML.

    Args:
        page: its sections, tables and figures have unique names.
        rendered: its figures and pictures by name, from `vlmad_report.rendering.encoded.render`.
    """
    sheet = (TEMPLATES / "page.css").read_text(encoding="utf-8") + rules()
    return _environment().get_template("page.html.jinja").render(
        page=page,
        rendered=rendered,
        picture_name=picture_name,
        markup=Markup,  # of drawings, which `Vector` wrote and escaped
        sheet=Markup(sheet),  # our own file, and no text of anybody's is in it
        policy=_policy(sheet),
    )


def _policy(sheet: str) -> str:
    """Return a content security policy that allows this style sheet and carried pictures only."""
    digest = base64.b64encode(hashlib.sha256(sheet.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    kinds = {"a_table": Table, "a_figure": Figure, "a_gallery": Gallery}
    for name, kind in kinds.items():
        environment.tests[name] = lambda block, kind=kind: isinstance(block, kind)
    return environment


def _finalize(value: object) -> object:
    """Make every text that a template shows printable, but not what is markup already."""
    return value if isinstance(value, Markup) else printable(value)
