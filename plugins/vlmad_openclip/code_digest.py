"""What tells the code of one version of a distribution from that of another."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def distribution_digest(name: str) -> str | None:
    """Return the SHA-256 of the Python files of an installed distribution, or None.

    They are those that its RECORD names or, of an editable install, those below the folders that
    it adds to the path. A result belongs to the code that made it: this tells one from another.
    """
    try:
        files = sorted(_python_files(Distribution.from_name(name)))
        digest = hashlib.sha256()
        for label, path in files:
            content = path.read_bytes()
            digest.update(f"{label} {len(content)}\n".encode() + content)
    except (OSError, PackageNotFoundError, ValueError):
        return None
    return digest.hexdigest() if files else None


def _python_files(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        if path.suffix == ".py":
            yield str(file), path
        elif path.suffix == ".pth":
            for folder in map(Path, path.read_text().splitlines()):
                if folder.is_dir():
                    yield from ((str(p.relative_to(folder)), p) for p in folder.rglob("*.py"))
