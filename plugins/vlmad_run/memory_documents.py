"""What documents say of a memory: its references, views of them, a region, several products."""

from __future__ import annotations

from vlmad_documents.documents import Document, FileName


class Reference(Document):
    """An image that a detector was fitted on."""

    path: FileName
    sha256: str


class ProductIdentity(Document):
    """In what one of several products differs from the others."""

    sentences_sha256: str | None
    references_sha256: list[str]
    inside_sha256: str | None


class RegionMask(Document):
    """The file of a region of interest, which marks what counts, or is ignored."""

    path: FileName
    sha256: str
    ignored: bool


class ReferenceView(Document):
    """How each reference was mirrored and then turned, besides as it is."""

    degrees: float = 0.0
    """Counter-clockwise."""
    mirrored: bool = False
    """Left to right."""
