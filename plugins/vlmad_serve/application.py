"""The server as an ASGI application: its routes, with what stands before them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from vlmad.errors import InputError, OutputError
from vlmad_serve import refusals
from vlmad_serve._asking import asking
from vlmad_serve._operating import operating
from vlmad_serve._scoring import scoring
from vlmad_serve.guarding import Guard

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from vlmad_serve.access import Access
    from vlmad_serve.offered_products import OfferedProducts
    from vlmad_serve.reviewing import Reviewing
    from vlmad_serve.served import Served

HANDLERS = {
    refusals.Refusal: refusals.refuse,
    InputError: refusals.refuse_input,
    OutputError: refusals.refuse_unwritten,
    HTTPException: refusals.refuse_unknown,
    RequestValidationError: refusals.refuse_invalid,
    ClientDisconnect: refusals.refuse_gone,
    Exception: refusals.refuse_fault,
}


def make_app(
    served: Served, offered: OfferedProducts, reviewing: Reviewing, access: Access
) -> ASGIApp:
    """Return the application that serves a station to whoever may ask."""
    app = FastAPI(
        title="vlmad serve",
        version=version("vlmad"),
        summary="A small inspection station: images in, OK or NG out.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # whoever sends an image does not follow
    )
    app.state.served, app.state.offered, app.state.access = served, offered, access
    app.state.reviewing = reviewing
    app.include_router(scoring)
    app.include_router(asking)
    app.include_router(operating)
    for error, answer in HANDLERS.items():
        app.add_exception_handler(error, answer)
    return Guard(app, access, served)
