"""Objects of a bucket as paths: whoever reads files reads them."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vlmad.images import MOST_BYTES
from vlmad_s3._client import as_of_files, client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.types import FileStatus

SCHEME = "s3://"
MOST_AHEAD = 64 << 20
"""Bytes of an object that is fetched before it is read; a larger one waits."""
NANO = 10**9


class BucketObject(type(Path())):  # type: ignore[misc]  # Path makes itself one of the platform
    """An object of a bucket, by its name ``s3://bucket/key``, which reads like a file."""

    __slots__ = ("_content", "_known")
    _content: bytes | None
    _known: FileStatus

    def __str__(self) -> str:
        return SCHEME + "/".join(self.parts[1:])

    def __fspath__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)

    @property
    def place(self) -> dict[str, str]:
        """Its bucket and key, as requests name them."""
        return {"Bucket": self.parts[1], "Key": "/".join(self.parts[2:])}

    def known_as(self, status: FileStatus) -> Self:
        """Return it with what a listing said of its size and time, so that nobody asks again."""
        self._known = status
        return self

    def absolute(self) -> Self:
        """Return itself: its name starts from no folder."""
        return self

    def is_absolute(self) -> bool:
        """Return that it is."""
        return True

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its size and time of change, as of a regular file that nobody may write.

        Raises:
            OSError: there is none, or S3 does not answer.
        """
        if getattr(self, "_known", None) is None:
            with as_of_files():
                self._remember(client().head_object(**self.place))
        size, modified = self._known
        seconds = modified // NANO
        sizes = (stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, size, seconds, seconds, seconds)
        return os.stat_result(sizes, {"st_mtime_ns": modified})

    def is_dir(self) -> bool:
        """Return that it is no folder."""
        return False

    def read_bytes(self) -> bytes:
        """Return its content: what was fetched before, once, else as it is now.

        Raises:
            OSError: there is none, S3 does not answer, or it is larger than any image.
        """
        fetched: bytes | None = getattr(self, "_content", None)
        self._content = None
        return self._download(MOST_BYTES) if fetched is None else fetched

    def fetch(self) -> None:
        """Keep its content for who reads it next, unless it is large; reading says what fails."""
        with suppress(OSError):
            self._content = self._download(MOST_AHEAD)

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> io.BytesIO:
        """Open it to be read as bytes.

        Raises:
            OSError: as of `read_bytes`, or it is to be written.
        """
        if mode != "rb":
            raise OSError(errno.EROFS, "objects of buckets are only read", str(self))
        return io.BytesIO(self.read_bytes())

    def iterdir(self) -> Iterator[Self]:
        """Yield one object below it, if there is any: whether its place is still there.

        Raises:
            OSError: the bucket is not there, or does not answer.
        """
        prefix = "".join(f"{part}/" for part in self.parts[2:])
        with as_of_files():
            asked = {"Bucket": self.parts[1], "Prefix": prefix, "MaxKeys": 1}
            found = client().list_objects_v2(**asked).get("Contents", ())
        yield from (type(self)(f"{SCHEME}{self.parts[1]}/{each['Key']}") for each in found)

    def _download(self, most: int) -> bytes:
        with as_of_files():
            answer = client().get_object(**self.place)
            with answer["Body"] as body:
                self._remember(answer)
                if answer["ContentLength"] <= most:
                    content: bytes = body.read()
                    return content
        raise OSError(errno.EFBIG, f"is larger than {most >> 20} MiB", str(self))

    def _remember(self, answer: Any) -> None:
        self._known = status_of(answer["ContentLength"], answer)


def status_of(size: int, said: Any) -> FileStatus:
    """Return what S3 says of an object's size and time as one says it of files.

    It tells whole seconds; below them stands a digest of the entity tag, so that an object that was
    replaced within its second is another one.
    """
    from vlmad.types import FileStatus

    tag = hashlib.sha256(str(said.get("ETag")).encode()).digest()
    below = int.from_bytes(tag[:8], "big") % NANO
    return FileStatus(size, round(said["LastModified"].timestamp()) * NANO + below)
