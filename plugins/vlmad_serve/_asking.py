"""What can be asked of the server beside judgements of images."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from vlmad.errors import InputError
from vlmad_drift.drift_documents import StationDriftReport
from vlmad_run.manifest import Manifest
from vlmad_serve._requests import MOST_PAGE, answered, kept_image, product_of, served_of
from vlmad_serve.access import SESSION_SECONDS, Access, cookie_of
from vlmad_serve.answers import (
    History,
    ProductChange,
    ProductList,
    RequestProblem,
    StationHealth,
)
from vlmad_serve.refusals import Refusal

asking = APIRouter()
Statuses = dict[int | str, dict[str, Any]]
PNG: Statuses = {200: {"content": {"image/png": {}}}, 404: {"model": RequestProblem}}
JPEG: Statuses = {200: {"content": {"image/jpeg": {}}}, 404: {"model": RequestProblem}}
EVENTS: Statuses = {200: {"content": {"text/event-stream": {}}}}
CHANGE = {"content": {"application/json": {"schema": ProductChange.model_json_schema()}}}
UNREADY: Statuses = {503: {"model": StationHealth}}
Id = Annotated[str, Query(pattern=r"^[0-9A-Za-z-]{0,64}$")]


@asking.get("/health", response_model=StationHealth, responses=UNREADY)
def health(request: Request) -> Response:
    """Tell whether images are judged now (else 503), and what a person should look at."""
    said = served_of(request).health()
    return answered(said.to_json(indent=None), 200 if said.ready else 503)


@asking.get("/metrics")
def metrics(request: Request) -> Response:
    """Return counts and times as Prometheus reads them."""
    return Response(served_of(request).metrics(), media_type="text/plain; version=0.0.4")


@asking.get("/history", response_model=History)
def history(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 50,
    before: Id = "",
    answer: Literal["OK", "NG", ""] | None = None,
    product: str | None = None,
) -> Response:
    """Return the latest judgements, the newest first, or with `before` those after a page."""
    found = served_of(request).history(limit, before, answer, product)
    return answered(found.to_json(indent=None))


@asking.get("/maps/{name}.png", responses=PNG)
def heat_map(request: Request, name: str) -> Response:
    """Return the map of a judgement: 16 bits of grey, from the low to the high of its headers."""
    heat = kept_image(request, name).map
    if heat is None:
        raise Refusal(404, "the image has no map", "it was not scored: see its reason")
    headers = {"X-Map-Low": repr(heat.low), "X-Map-High": repr(heat.high)}
    return Response(heat.png(), headers=headers, media_type="image/png")


@asking.get("/images/{name}.jpg", responses=JPEG)
async def image(request: Request, name: str) -> Response:
    """Return the image of a judgement, small; its headers tell its size."""
    try:
        picture = await served_of(request).thumbnails.of(name, kept_image(request, name))
    except InputError as error:
        raise Refusal(404, "the image cannot be shown", "see its reason") from error
    size = {"X-Image-Width": str(picture.width), "X-Image-Height": str(picture.height)}
    return Response(picture.jpeg, headers=size, media_type="image/jpeg")


@asking.get("/events", responses=EVENTS)
async def events(request: Request) -> Response:
    """Send each judgement as it is made, as server-sent events, and beats with the health."""
    access: Access = request.app.state.access
    told = served_of(request).events.listen(lambda: access.allows(request.scope))
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(told, headers=headers, media_type="text/event-stream")


@asking.get("/products", response_model=ProductList)
def products(request: Request) -> Response:
    """Tell which products there are, and which fitted files may become some."""
    return _told(request)


@asking.get("/products/{name}", response_model=Manifest)
def product(request: Request, name: str) -> Response:
    """Tell what a product's detector is, as the manifest of a run does."""
    return answered(product_of(request, name).manifest.to_json(indent=None))


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
    return answered(served_of(request).drift.report().to_json(indent=None))


@asking.post("/drift/{name}/anew", response_model=StationDriftReport)
def begin_anew(request: Request, name: str) -> Response:
    """Begin anew with a product, as after its lamp was exchanged; its alarm ends."""
    served, who = served_of(request), request.client.host if request.client else "a person"
    found = served.drift.begin_anew(name, who)
    served.tell_news()
    if not found:
        raise Refusal(404, f"no image of '{name}' was watched", "GET /drift tells which were")
    return drift(request)


@asking.post("/session", status_code=204)
async def open_session(request: Request) -> Response:
    """Give a page a cookie that stands for the token, for pictures and events."""
    access: Access = request.app.state.access
    response = Response(status_code=204)
    name = access.open_session(request.headers)
    response.set_cookie(
        cookie_of(request.scope), name, SESSION_SECONDS, httponly=True, samesite="strict"
    )
    return response


def _told(request: Request) -> Response:
    found: ProductList = request.app.state.offered.tell()
    return answered(found.to_json(indent=None))
