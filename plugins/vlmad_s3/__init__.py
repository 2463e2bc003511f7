"""Images in buckets of S3 and of what speaks its protocol.

- `vlmad_s3.bucket_objects`: an object as a path that is read like a file
- `vlmad_s3.bucket_finding`: which objects below ``s3://bucket/prefix`` are images

Who may read a bucket is told by the environment alone, as to every program of AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_sources(register: Register) -> None:
    """Register what finds the images of ``s3://bucket/prefix``."""
    register("s3", "vlmad_s3.bucket_finding:BUCKETS", "images in a bucket")
