"""What can be asked of the server beside judgements of images."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from vlmad.errors import InputError
from vlmad_drift.drift_documents import StationDriftReport
from vlmad_run.manifest import Manifest
from vlmad_serve.access import COOKIE, SESSION_SECONDS, Access
from vlmad_serve.answers import (
    History,
    ProductChange,
    ProductList,
    RequestProblem,
    StationHealth,
)
from vlmad_serve.recent import KeptImage
from vlmad_serve.refusals import Refusal
from vlmad_serve.served import Served

asking = APIRouter()
Statuses = dict[int | str, dict[str, Any]]
PNG: Statuses = {200: {"content": {"image/png": {}}}, 404: {"model": RequestProblem}}
JPEG: Statuses = {200: {"content": {"image/jpeg": {}}}, 404: {"model": RequestProblem}}
EVENTS: Statuses = {200: {"content": {"text/event-stream": {}}}}
CHANGE = {"content": {"application/json": {"schema": ProductChange.model_json_schema()}}}
UNREADY: Statuses = {503: {"model": StationHealth}}
MOST_PAGE = 200
Id = Annotated[str, Query(pattern=r"^[0-9A-Za-z-]{0,64}$")]


@asking.get("/health", response_model=StationHealth, responses=UNREADY)
def health(request: Request) -> Response:
    """Tell whether images are judged now (else 503), and what a person should look at."""
    said = _served(request).health()
    return _json(said.to_json(indent=None), 200 if said.ready else 503)


@asking.get("/metrics")
def metrics(request: Request) -> Response:
    """Return counts and times as Prometheus reads them."""
    return Response(_served(request).metrics(), media_type="text/plain; version=0.0.4")


@asking.get("/history", response_model=History)
def history(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 50,
    before: Id = "",
    answer: Literal["OK", "NG", ""] | None = None,
    product: str | None = None,
) -> Response:
    """Return the latest judgements, the newest first, or with `before` those after a page."""
    found = _served(request).history(limit, before, answer, product)
    return _json(found.to_json(indent=None))


@asking.get("/maps/{name}.png", responses=PNG)
def heat_map(request: Request, name: str) -> Response:
    """Return the map of a judgement: 16 bits of grey, from the low to the high of its headers."""
    heat = _kept(request, name).map
    if heat is None:
        raise Refusal(404, "the image has no map", "it was not scored: see its reason")
    headers = {"X-Map-Low": repr(heat.low), "X-Map-High": repr(heat.high)}
    return Response(heat.png(), headers=headers, media_type="image/png")


@asking.get("/images/{name}.jpg", responses=JPEG)
async def image(request: Request, name: str) -> Response:
    """Return the image of a judgement, small; its headers tell its size."""
    try:
        picture = await _served(request).thumbnails.of(name, _kept(request, name))
    except InputError as error:
        raise Refusal(404, "the image cannot be shown", "see its reason") from error
    size = {"X-Image-Width": str(picture.width), "X-Image-Height": str(picture.height)}
    return Response(picture.jpeg, headers=size, media_type="image/jpeg")


@asking.get("/events", responses=EVENTS)
async def events(request: Request) -> Response:
    """Send each judgement as it is made, as server-sent events, and a beat in between."""
    told = _served(request).events.listen()
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(told, headers=headers, media_type="text/event-stream")


@asking.get("/products", response_model=ProductList)
def products(request: Request) -> Response:
    """Tell which products there are, and which fitted files may become some."""
    return _told(request)


@asking.get("/products/{name}", response_model=Manifest)
def product(request: Request, name: str) -> Response:
    """Tell what a product's detector is, as the manifest of a run does."""
    found = _served(request).station.products.get(name)
    if found is None:
        raise Refusal(404, f"no product '{name}'", "GET /products tells which there are")
    return _json(found.manifest.to_json(indent=None))


@asking.put("/products/{name}", response_model=ProductList, openapi_extra={"requestBody": CHANGE})
async def change_product(request: Request, name: str) -> Response:
    """Make a product of a fitted file, give it another threshold, or choose it."""
    change = ProductChange.parse(await request.body(), "the body")
    await run_in_threadpool(request.app.state.offered.change, name, change)
    return await run_in_threadpool(_told, request)


@asking.delete("/products/{name}", response_model=ProductList)
def remove_product(request: Request, name: str) -> Response:
    """Forget a product; not the chosen one."""
    request.app.state.offered.remove(name)
    return _told(request)


@asking.get("/drift", response_model=StationDriftReport)
def drift(request: Request) -> Response:
    """Tell whether images are still like the usual ones of each product."""
    return _json(_served(request).drift.report().to_json(indent=None))


@asking.delete("/drift/{name}", response_model=StationDriftReport)
def forget_drift(request: Request, name: str) -> Response:
    """Begin anew with a product, as after its lamp was exchanged; its alarm ends."""
    if not _served(request).drift.forget(name):
        raise Refusal(404, f"no image of '{name}' was watched", "GET /drift tells which were")
    return drift(request)


@asking.post("/session", status_code=204)
async def open_session(request: Request) -> Response:
    """Give a page a cookie that stands for the token, for pictures and events."""
    access: Access = request.app.state.access
    response = Response(status_code=204)
    name = access.open_session(request.headers)
    response.set_cookie(COOKIE, name, SESSION_SECONDS, httponly=True, samesite="strict")
    return response


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


def _kept(request: Request, name: str) -> KeptImage:
    found = _served(request).recent.kept(name)
    if found is None:
        remedy = "the last few are kept; start the server with a larger --keep"
        raise Refusal(404, "this image is not kept", remedy)
    return found


def _told(request: Request) -> Response:
    found: ProductList = request.app.state.offered.tell()
    return _json(found.to_json(indent=None))


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
