"""Why a request is refused: a status, what is wrong and what to do, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from vlmad.errors import InputError, reason_of, shown
from vlmad_serve.answers import RequestProblem

if TYPE_CHECKING:
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

REMEDIES = {
    404: "the paths that there are stand in /openapi.json",
    405: "the methods of each path stand in /openapi.json",
}


class Refusal(Exception):
    """A request that is not carried out.

    Args:
        status: of HTTP.
        error: what is wrong.
        remedy: what whoever asks can do.
        retry_after: seconds after which it may be asked again.
    """

    def __init__(self, status: int, error: str, remedy: str, retry_after: int | None = None):
        super().__init__(f"{error}; {remedy}")
        self.status, self.error, self.remedy = status, shown(error), shown(remedy)
        self.retry_after = retry_after

    def response(self) -> Response:
        """Return the answer to whoever asked."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        content = RequestProblem(error=self.error, remedy=self.remedy).to_json(indent=None)
        return Response(content, self.status, headers, media_type="application/json")


def refuse(request: Request, refusal: Exception) -> Response:
    """Answer with what was raised."""
    assert isinstance(refusal, Refusal)
    request.app.state.served.count_refused(refusal, request.scope)
    return refusal.response()


def refuse_input(request: Request, error: Exception) -> Response:
    """Answer to what vlmad itself finds wrong with what was asked."""
    assert isinstance(error, InputError)
    what, _, remedy = str(error).partition("; ")
    return refuse(request, Refusal(422, what, remedy or "ask for something else"))


def refuse_unwritten(request: Request, error: Exception) -> Response:
    """Answer where a judgement could not be written down, and so was not made."""
    return refuse(request, Refusal(507, str(error), "free space on the server's disk"))


def refuse_unknown(request: Request, error: Exception) -> Response:
    """Answer to a path or a method that there is not."""
    fault: HTTPException = error  # type: ignore[assignment]
    remedy = REMEDIES.get(fault.status_code, "see /openapi.json")
    return refuse(request, Refusal(fault.status_code, str(fault.detail), remedy))


def refuse_invalid(request: Request, error: Exception) -> Response:
    """Answer to parameters that are wrong."""
    fault: RequestValidationError = error  # type: ignore[assignment]
    first = fault.errors()[0]
    place = ".".join(str(each) for each in first.get("loc", ()))
    said = f"{place}: {first.get('msg', 'is wrong')}"
    return refuse(request, Refusal(422, said, "what each path takes stands in /openapi.json"))


def refuse_gone(request: Request, error: Exception) -> Response:
    """Count a request whose client went away before it was there; nobody reads the answer."""
    return refuse(request, Refusal(400, "the request did not come whole", "send it again"))


def refuse_fault(request: Request, error: Exception) -> Response:
    """Answer where the server itself is at fault; what it was is in its log."""
    remedy = "see its log, and report it to the maintainers"
    refusal = Refusal(500, "the server failed", remedy)
    request.app.state.served.count_refused(refusal, request.scope, reason_of(error))
    return refusal.response()


def raw_problem(error: str, remedy: str) -> bytes:
    """Return a problem as JSON, for where there is no request yet."""
    return json.dumps({"error": error, "remedy": remedy}).encode()
