"""What the operator's page asks beside what every client does, and the page itself."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from vlmad_line.line_products import LineProduct
from vlmad_serve._requests import (
    MOST_PAGE,
    answered,
    kept_image,
    not_kept,
    product_of,
    served_of,
)
from vlmad_serve.answers import (
    KnownRows,
    PausedStation,
    ProductScores,
    RequestProblem,
    ReviewState,
    SaidTruth,
    StationHealth,
)
from vlmad_serve.refusals import Refusal
from vlmad_serve.reviewing import Reviewing

operating = APIRouter()
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PAGE: Mapping[str, tuple[bytes, str]] = {
    each.name: (each.read_bytes(), f"{TYPES[kind]}; charset=utf-8")
    for each in files("vlmad_serve").joinpath("page").iterdir()
    if (kind := f".{each.name.rpartition('.')[2]}") in TYPES
}
POLICY = {
    "Content-Security-Policy": "default-src 'none'; img-src data: blob: 'self'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
"""Nothing that the page shows comes from elsewhere, and no text in it can become a script."""
MISSING: dict[int | str, dict[str, object]] = {404: {"model": RequestProblem}}


def _body(document: type[SaidTruth] | type[PausedStation]) -> dict[str, object]:
    content = {"application/json": {"schema": document.model_json_schema()}}
    return {"requestBody": {"content": content}}


@operating.get("/", include_in_schema=False)
def page() -> Response:
    """Return the operator's page."""
    return piece("index.html")


@operating.get("/page/{name}", include_in_schema=False)
def piece(name: str) -> Response:
    """Return what the page is made of."""
    if name not in PAGE:
        raise Refusal(404, "there is nothing here", "the page is at /")
    content, kind = PAGE[name]
    return Response(content, headers={**POLICY, "Content-Type": kind})


@operating.put("/paused", response_model=StationHealth, openapi_extra=_body(PausedStation))
async def pause(request: Request) -> Response:
    """Judge nothing until told to go on: whoever sends an image is told so, with 503."""
    served = served_of(request)
    served.pause(PausedStation.parse(await request.body(), "the body").paused)
    health = await run_in_threadpool(served.health)
    return answered(health.to_json(indent=None))


@operating.post(
    "/judgements/{name}/truth",
    response_model=ReviewState,
    responses=MISSING,
    openapi_extra=_body(SaidTruth),
)
async def say_truth(request: Request, name: str) -> Response:
    """Say of a judged image whether the part is good, and keep both for a review."""
    said = SaidTruth.parse(await request.body(), "the body")
    return await run_in_threadpool(_keep, request, name, said)


def _keep(request: Request, name: str, said: SaidTruth) -> Response:
    kept = kept_image(request, name)
    if kept.map is None:
        raise Refusal(409, "this image was not scored", "nothing can be learned from it")
    product = product_of(request, kept.product)
    try:
        _reviewing(request).verdicts.say(product, kept.path, kept.name, said.truth)
    except FileNotFoundError as error:  # forgotten just now
        raise not_kept() from error
    return _told(request, product)


@operating.get("/products/{name}/scores", response_model=ProductScores, responses=MISSING)
def scores(request: Request, name: str) -> Response:
    """Tell which scores good, defective and unknown images of a product have."""
    product = product_of(request, name)
    known = _reviewing(request).verdicts.scores(product)
    found = ProductScores(
        product=name,
        threshold=product.threshold.value if product.threshold else None,
        good=[*product.good_scores, *known.good],
        bad=known.bad,
        open=served_of(request).recent.scores(product),
        adjustable=not product.thresholds_differ,
    )
    return answered(found.to_json(indent=None))


@operating.get("/products/{name}/rows", response_model=KnownRows, responses=MISSING)
def rows(
    request: Request,
    name: str,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST_PAGE)] = 50,
) -> Response:
    """Return the rows of a product's images that a person said something of, in pages."""
    product, verdicts = product_of(request, name), _reviewing(request).verdicts
    truth = verdicts.said(product)
    known = sorted(verdicts.rows(product), key=lambda row: row.image)
    rest = [row for row in known if row.image > after]
    page = rest[:limit]
    found = KnownRows(
        product=name,
        rows=page,
        truth={row.image: truth[row.image] for row in page if row.image in truth},
        more=page[-1].image if len(rest) > limit else "",
    )
    return answered(found.to_json(indent=None))


@operating.get("/products/{name}/review", response_model=ReviewState, responses=MISSING)
def review(request: Request, name: str) -> Response:
    """Tell what was said of a product's images, and what learning from it would gain."""
    return _told(request, product_of(request, name))


@operating.post("/products/{name}/review", response_model=ReviewState, responses=MISSING)
def start_review(request: Request, name: str) -> Response:
    """Find out what learning would gain, on images held out (`vlmad review`)."""
    product = product_of(request, name)
    _reviewing(request).start(product)
    return _told(request, product)


@operating.post("/products/{name}/review/adopt", response_model=ReviewState, responses=MISSING)
def adopt_review(request: Request, name: str) -> Response:
    """Judge by what was learned from now on."""
    with request.app.state.offered.changing():
        _reviewing(request).adopt(product_of(request, name))
    return _told(request, product_of(request, name))


def _reviewing(request: Request) -> Reviewing:
    found: Reviewing = request.app.state.reviewing
    return found


def _told(request: Request, product: LineProduct) -> Response:
    return answered(_reviewing(request).state(product).to_json(indent=None))
