"""Reading image files: what Pillow does right, and by tifffile and imagecodecs what it does not.

- `vlmad_formats.reading`: what a user decides of how files are read
- `vlmad_formats.stored_values`: what a file states and stores; the kind `format`
- `vlmad_formats.orientation`: how stored pixels are turned
- `vlmad_formats.rendering`: from values to RGB; `Rendered`, for formats of others
- `vlmad_formats.ranges`: which values are white, decided once for a run
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_formats(register: Register) -> None:
    """Register what reads image files."""
    register("memory", "vlmad_formats.rendering:Memory", "images of Pillow, which are no files")
    summary = "TIFF and PNG of more than 8 bits, floats, planes; needs vlmad[formats]"
    register("wide", "vlmad_formats._wide_format:WideFormat", summary)
    summary = "PNG, JPEG, BMP, GIF, WebP, PNM, and TIFF of 8 bits"
    register("pillow", "vlmad_formats._pillow_format:PillowFormat", summary)
