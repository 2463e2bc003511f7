"""What a request is about, and answers as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import Response

from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from fastapi import Request

    from vlmad_line.line_products import LineProduct
    from vlmad_serve.recent import KeptImage
    from vlmad_serve.served import Served

MOST_PAGE = 200
"""Of what is answered in pages."""


def served_of(request: Request) -> Served:
    """Return the station that is asked."""
    served: Served = request.app.state.served
    return served


def product_of(request: Request, name: str) -> LineProduct:
    """Return a product of the station."""
    found = served_of(request).station.products.get(name)
    if found is None:
        raise Refusal(404, f"no product '{name}'", "GET /products tells which there are")
    return found


def not_kept() -> Refusal:
    """Return what is said of an image that was forgotten."""
    remedy = "the last few are kept; start the server with a larger --keep-images"
    return Refusal(404, "this image is not kept", remedy)


def kept_image(request: Request, name: str) -> KeptImage:
    """Return the image of a judgement's id."""
    found = served_of(request).recent.kept(name)
    if found is None:
        raise not_kept()
    return found


def answered(content: bytes, status: int = 200) -> Response:
    """Return an answer of a document's bytes."""
    return Response(content, status, media_type="application/json")
