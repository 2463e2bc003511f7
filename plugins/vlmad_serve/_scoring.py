"""`POST /score`: images in, a judgement of each out."""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from vlmad.errors import did_you_mean
from vlmad_formats.reading import Reading
from vlmad_line.endpoints import Arrival
from vlmad_serve._requests import served_of
from vlmad_serve.answers import RequestProblem, ScoreAnswer
from vlmad_serve.batching import Answered, Waiting
from vlmad_serve.refusals import Refusal
from vlmad_serve.sent_views import SentViews
from vlmad_serve.served import Served
from vlmad_serve.uploads import Upload, discard, pixels_of

scoring = APIRouter()
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "type": "object",
    "properties": {"image": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
BODY = {
    "required": True,
    "content": {"image/*": BINARY, "multipart/form-data": {"schema": FORM}},
}
STATUSES: dict[int | str, dict[str, object]] = {
    200: {"model": ScoreAnswer, "description": "a judgement of each image, at least one scored"},
    422: {"model": ScoreAnswer, "description": "no image could be scored: each is NG"},
    **{
        status: {"model": RequestProblem, "description": meaning}
        for status, meaning in {
            400: "no image in it",
            401: "a token is needed",
            403: "asked by another page, or under another name",
            404: "no such product",
            408: "not there in time",
            413: "too large",
            415: "no image",
            429: "too many images wait; see Retry-After",
            503: "the station is paused",
        }.items()
    },
}


@scoring.post(
    "/score",
    responses=STATUSES,
    openapi_extra={"requestBody": BODY},
    summary="Judge one or several images",
)
async def score(
    request: Request,
    product: Annotated[str | None, Query(description="As which; by default the chosen.")] = None,
    map: Annotated[
        Literal["png", "none"], Query(description="png puts each map into the answer.")
    ] = "none",
    name: Annotated[str, Query(description="What an image is called that is the body.")] = "",
    part: Annotated[
        str | None, Query(description="Of which part the images are views; one verdict on it.")
    ] = None,
    views: Annotated[
        int | None, Query(ge=1, description="How many it has; with another number it is NG.")
    ] = None,
) -> Response:
    """Answer when all images are judged.

    The body is an image, or a form with up to so many files as the server takes. An image that
    cannot be read or scored is NG, with the reason; so is the part that it is a view of.
    """
    sent, served = time.monotonic(), served_of(request)
    parting = served.views.asked(part, views)
    as_which = _Asked(_chosen(served, product), parting, sent)
    images = await _accept(request, served, as_which)
    judged = await asyncio.gather(*(asyncio.wrap_future(each.answer) for each in images))
    judgements = [each.judgement for each in judged]
    answer = ScoreAnswer(judgements=judgements, parts=parting.judge(judged))
    if answer.parts:
        await run_in_threadpool(served.conclude, answer.parts, sent)
    if map == "png":
        maps = await run_in_threadpool(_pictures, judged)
        answer = answer.model_copy(update={"maps": maps})
    if all(each.score is None for each in answer.judgements):
        said = {"error": "no image could be scored", "remedy": "see the reason of each"}
        content = answer.model_copy(update=said).to_json(indent=None)
        return Response(content, 422, media_type="application/json")
    content = answer.to_json(indent=None, without=("error", "remedy"))
    return Response(content, media_type="application/json")


def _chosen(served: Served, product: str | None) -> str:
    """Return the product by name, so that a change meanwhile does not change it."""
    if product is None:
        return served.station.chosen
    if product not in served.station.products:
        known = did_you_mean(product, served.station.products)
        raise Refusal(
            404, f"no product '{product}'", f"GET /products tells which there are; {known}"
        )
    return product


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request says of all its images."""

    product: str
    parting: SentViews
    sent: float
    """When it began to come, of the monotonic clock."""

    def prepare(self, uploads: list[Upload], reading: Reading) -> list[Waiting]:
        """Return images as they wait; one that is too large is not even decoded."""
        waiting = []
        for upload in uploads:
            pixels = pixels_of(upload, reading)
            refused, count = (pixels, 0) if isinstance(pixels, str) else ("", pixels)
            arrival = Arrival(upload.name, upload.path, upload.at, "http", fault=refused)
            part = self.parting.part_of(upload.name)
            waiting.append(Waiting(arrival, self.product, upload.size, count, part, self.sent))
        return waiting


async def _accept(request: Request, served: Served, asked: _Asked) -> list[Waiting]:
    """Read the images of a request and hand them over to be judged."""
    served.require_going()
    served.judging.begin()
    images: Sequence[Waiting] | None = None
    try:
        uploads = await served.spool.receive(request)
        try:
            reading = served.reading_of(asked.product)
            async with served.spool.looking:
                images = await run_in_threadpool(asked.prepare, uploads, reading)
            served.judging.add(images)
        except BaseException:
            discard(uploads)
            images = None
            raise
        return list(images)
    finally:
        if images is None:
            served.judging.end()


def _pictures(answers: Sequence[Answered]) -> dict[str, str]:
    found = {each.judgement.id: each.map for each in answers}
    return {
        name: base64.b64encode(heat.png()).decode()
        for name, heat in found.items()
        if heat is not None
    }
