"""Images that come in a request: read with limits, and put into files of the server's own."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from vlmad.errors import InputError, printable
from vlmad_formats.reading import TooLarge
from vlmad_formats.stored_values import read_size
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from vlmad_formats.reading import Reading
    from vlmad_serve.settings import ServeLimits

MOST_NAME, MOST_FIELDS = 255, 8
CHUNK = 1 << 20
LOOKING = 2
"""Requests whose images are looked at together: some formats tell no size without decoding."""
REMEDY = "send one image as the body, or several as multipart/form-data: curl -F image=@photo.png"


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that was sent, whole, in a file that nobody else knows of."""

    name: str
    path: Path
    size: int
    at: float = field(default_factory=time.time)


class Spool:
    """Where images lie from when they were sent until they are forgotten.

    Args:
        folder: of the server's own.
        limits: how much it takes.
    """

    def __init__(self, folder: Path, limits: ServeLimits) -> None:
        self._folder, self._limits = folder, limits
        self.looking = asyncio.Semaphore(LOOKING)
        """For whoever looks how large images are."""

    async def receive(self, request: Request) -> list[Upload]:
        """Read the images of a request.

        Raises:
            Refusal: it has none, too many, or something else.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._receive_form(request)
        if kind.startswith("image/") or kind == "application/octet-stream":
            return [await self._receive_body(request)]
        raise Refusal(415, f"'{kind}' is no type of an image", REMEDY)

    async def _receive_body(self, request: Request) -> Upload:
        name = request.query_params.get("name", "") or "image"
        with self._new_file() as (path, file):
            async for chunk in request.stream():
                file.write(chunk)
            size = file.tell()
            if not size:
                raise Refusal(400, "the body is empty", REMEDY)
        return Upload(_named(name), path, size)

    async def _receive_form(self, request: Request) -> list[Upload]:
        most = self._limits.most_images
        try:
            form = await request.form(max_files=most, max_fields=MOST_FIELDS, max_part_size=4096)
        except HTTPException as error:
            remedy = f"send up to {most} files and {MOST_FIELDS} fields as multipart/form-data"
            raise Refusal(400, str(error.detail), remedy) from error
        try:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if not parts:
                raise Refusal(400, "the form has no file", REMEDY)
            return await run_in_threadpool(self._copy_all, parts)
        finally:
            await form.close()

    def _copy_all(self, parts: list[UploadFile]) -> list[Upload]:
        uploads: list[Upload] = []
        try:
            for part in parts:
                uploads.append(self._copy(part))
        except BaseException:
            discard(uploads)
            raise
        return uploads

    def _copy(self, part: UploadFile) -> Upload:
        with self._new_file() as (path, file):
            while chunk := part.file.read(CHUNK):
                file.write(chunk)
            size = file.tell()
        return Upload(_named(part.filename or "image"), path, size)

    @contextmanager
    def _new_file(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield a file that is deleted if it does not become whole.

        Raises:
            Refusal: the disk takes no more.
        """
        path = self._folder / uuid4().hex
        try:
            with path.open("wb") as file:
                yield path, file
        except OSError as error:
            path.unlink(missing_ok=True)
            what = f"the image could not be kept: {error.strerror or error}"
            raise Refusal(507, what, "free space on the server's disk") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def discard(uploads: list[Upload]) -> None:
    """Delete the files of images that nobody judges."""
    for upload in uploads:
        upload.path.unlink(missing_ok=True)


def pixels_of(upload: Upload, reading: Reading) -> int | str:
    """Return how many pixels an image has, 0 if it does not say, or why it is refused unread."""
    try:
        width, height = read_size(upload.path, reading)
    except InputError as error:
        most = f"{reading.most_pixels // 1_000_000} million pixels (--most-megapixels)"
        is_large = isinstance(error.__cause__, TooLarge)
        return f"it has more than {most}" if is_large else 0  # reading it says what is wrong
    return width * height


def _named(name: str) -> str:
    """Return a name that can be shown, whatever a client calls its image."""
    return printable(name)[:MOST_NAME].strip() or "image"
