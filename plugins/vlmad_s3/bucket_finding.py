"""Which objects of a bucket are images: by the rules for folders, page by page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, one_line
from vlmad_run.walking import is_readable, sort_out
from vlmad_s3._client import as_of_files, client
from vlmad_s3.bucket_objects import SCHEME, BucketObject, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vlmad.types import FileStatus
    from vlmad_run.passed_over import Reason

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class FoundObjects(list[Path]):
    """The images of a bucket, and what was passed over in it."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[tuple[Path, Reason]] = []
        self.odd = 0

    @property
    def notes(self) -> Iterable[str]:
        """What is to be known of objects that could not be taken."""
        if self.odd:
            parts = "with empty parts, or . or .. as one"
            yield f"{self.odd} names of objects or folders in buckets are not taken: {parts}"


class Buckets:
    """Finds images in buckets."""

    def __call__(self, argument: str) -> FoundObjects:
        """Return the images below ``s3://bucket/prefix``, in the order of a folder's.

        A name that ends as images do is taken for one object, and nothing is asked about it.

        Raises:
            InputError: it is no such name, boto3 is not installed, or S3 does not list it.
        """
        bucket, _, prefix = argument.removeprefix(SCHEME).partition("/")
        if not BUCKET.fullmatch(bucket):
            raise InputError(
                "after s3:// stands a bucket, of letters, digits, dots and hyphens; who may read "
                "it is told by the environment (AWS_PROFILE, …), never by the name"
            )
        client()
        found = FoundObjects()
        if is_readable(prefix):
            found.append(self.image(argument))
            return found
        try:
            start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
            _search(bucket, start, found)
        except OSError as error:
            raise InputError(f"{one_line(argument)}: {error.strerror}") from error
        return found

    def image(self, name: str) -> Path:
        """Return the object of a name, without asking whether there is one."""
        return BucketObject(name)


BUCKETS = Buckets()


def _search(bucket: str, prefix: str, found: FoundObjects) -> None:
    """Add what is below a prefix, in the order of names, files among folders."""
    folder = BucketObject(f"{SCHEME}{bucket}/{prefix}")
    files: dict[str, FileStatus] = {}
    folders = set[str]()
    for name, status in _listed(bucket, prefix):
        if name in ("", ".", ".."):
            found.odd += bool(name or status is None)  # an empty one stands for the folder
        elif status is None:
            folders.add(name)
        else:
            files[name] = status
    entries = [*((name, False) for name in files), *((name, True) for name in folders)]
    place = sort_out(folder, sorted(entries))
    inside = [*((name, kind, False) for name, kind in place.files)]
    inside += [(name, kind, True) for name, kind in place.folders]
    for name, kind, is_folder in sorted(inside):
        if kind != "image":
            found.left.append((folder / name, kind))
        elif is_folder:
            _search(bucket, f"{prefix}{name}/", found)
        else:
            found.append(BucketObject(folder / name).known_as(files[name]))


def _listed(bucket: str, prefix: str) -> Iterator[tuple[str, FileStatus | None]]:
    """Yield names right below a prefix with what is known of each; None for a folder."""
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
    with as_of_files():
        page: Any
        for page in client().get_paginator("list_objects_v2").paginate(**asked):
            for each in page.get("Contents", ()):
                known = status_of(each["Size"], each)
                yield each["Key"].removeprefix(prefix), known
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(prefix).removesuffix("/"), None
