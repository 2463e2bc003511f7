"""What was passed over where images were looked for: counted by reason, each with a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from vlmad_documents.documents import Document, FileName

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Reason: TypeAlias = Literal[
    "mask", "preview", "normal", "anomalous", "split", "unlabelled", "written", "format",
    "ending", "hidden",
]  # fmt: skip
WORDS: dict[Reason, str] = {
    "mask": "in folders of masks or as masks",
    "preview": "beside masks",
    "normal": "labelled normal",
    "anomalous": "labelled anomalous",
    "split": "not for training",
    "unlabelled": "without a label",
    "written": "written by vlmad",
    "format": "in formats that are not read",
    "ending": "by their endings",
    "hidden": "hidden",
}
"""As they stand in a summary, the weightiest last."""


class PassedOver(Document):
    """Files that were passed over for one reason."""

    reason: Reason
    count: int
    first: FileName
    """One of them."""


class PassedOverFiles(Document):
    """All that was passed over: the last line of what ``vlmad run --json`` prints, if any was."""

    passed_over: list[PassedOver]


def count_by_reason(left: Iterable[tuple[Path, Reason]]) -> list[PassedOver]:
    """Count files by the reason why they were passed over."""
    by_reason: dict[Reason, list[Path]] = {}
    for path, reason in left:
        by_reason.setdefault(reason, []).append(path)
    return [
        PassedOver(reason=reason, count=len(by_reason[reason]), first=str(by_reason[reason][0]))
        for reason in WORDS
        if reason in by_reason
    ]


def in_words(passed_over: Iterable[PassedOver]) -> str:
    """Return a line about what was passed over; an empty text if nothing was."""
    words = [f"{each.count} {WORDS[each.reason]} ({each.first})" for each in passed_over]
    return f"passed over: {', '.join(words)}" if words else ""
