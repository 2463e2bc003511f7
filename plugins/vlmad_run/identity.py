"""What scores depend on: the one place where runs, cells, fitted files and thresholds get it from.

The identity holds parts with their options and the code that they are made of, weights,
preprocessing, class name, references and threshold. Two commands of one identity are the same
run, however they are worded; where a file is an option, its content counts and not its name.

Code of others counts by the files of its distribution, whatever its version. Of vlmad's own,
which changes all the time, parts have a number, `scores_revision`, that rises when their scores
change: an upgrade that changes none keeps what was fitted and calibrated.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue
from pydantic_core import to_jsonable_python

from vlmad.errors import VlmadError
from vlmad.options import options_of
from vlmad.plugin import BUILT_IN
from vlmad.registry import installed
from vlmad.types import Level
from vlmad_documents.documents import Document
from vlmad_formats.reading import Reading
from vlmad_openclip.code_digest import distribution_digest
from vlmad_run.differences import differences
from vlmad_run.memory_documents import ProductIdentity
from vlmad_run.part_options import NOT_SUBSTANCE, content_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmad.detector import Detector
    from vlmad.fitting import Chosen
    from vlmad_run.memory_documents import Reference

REVISION = 1
"""Rises when a change of vlmad around the parts, such as in reading images, changes scores."""
CODE = {"version", "code", "revision"}
"""What tells of a part's code."""


class PartIdentity(Document):
    """A part, where it is from, and its options; for files their hashes stand."""

    name: str = Field(min_length=1)
    distribution: str = Field(min_length=1)
    version: str
    code: str | None = None
    """A digest of the distribution's files; None of built-in parts, and where it was not kept."""
    revision: int = 1
    """The part's `scores_revision`: of a built-in one, or one that inherits it."""
    options: dict[str, JsonValue]

    def changed(self, now: PartIdentity) -> str:
        """Return why code that is there now may give other scores; empty if it gives the same."""
        versions = f"{self.distribution} {self.version}, now {now.version}"
        if self.revision != now.revision:
            return f"gives other scores since (revision {self.revision}, now {now.revision})"
        if None in (self.code, now.code):
            own = self.distribution == BUILT_IN or self.version == now.version
            return "" if own else f"is of another version ({versions})"
        if self.code == now.code:
            return ""
        return "was edited since" + (f" ({versions})" if self.version != now.version else "")

    def remark(self, now: PartIdentity) -> str:
        """Return what there is to know of code that is taken for the same; empty if nothing."""
        if self.distribution == BUILT_IN:
            return ""
        if self.version != now.version:
            return f"is of {now.distribution} {now.version}, was {self.version}, with the same code"
        return "" if self.code else "may have been edited since: its code was not recorded"


class Identity(Document):
    """What the scores and verdicts of a detector depend on."""

    parts: dict[str, PartIdentity]
    weights_sha256: str
    precision: str
    preprocessing: dict[str, JsonValue]
    resize: str
    reading: str = "auto"
    """How files are read that leave it open (`vlmad_formats.reading.Reading`)."""
    align: str | None = None
    """What images are brought to, and how (`vlmad.resizing.Fixture.digest`)."""
    class_name: str
    sentences_sha256: str | None
    """Of the sentences in use; None where images change them or there are none."""
    references_sha256: list[str]
    inside_sha256: str | None = None
    """Of the region of interest; None where whole images count."""
    products: dict[str, ProductIdentity] = Field(default_factory=dict)
    """Of a detector of several, by name."""
    misses_sha256: list[str] = Field(default_factory=list)
    """Of anomalous images that it has learned from."""
    threshold: float | None
    revision: int = 1
    """See `REVISION`."""

    def differences(self, now: Identity, threshold: bool = True) -> list[str]:
        """Return in what another one differs in substance, in words."""
        left_out: dict[str, Any] = {"parts": {"__all__": CODE}, "threshold": not threshold}
        before = self._with_names_of_today()
        was, other = (each.model_dump(exclude=left_out) for each in (before, now))
        for kind in [kind for kind in before.parts if kind in now.parts]:
            for name in _came_since(kind, before.parts[kind], now.parts[kind]):
                del other["parts"][kind]["options"][name]
        return [*before._of_parts(now, PartIdentity.changed), *differences(was, other)]

    def remarks(self, now: Identity) -> list[str]:
        """Return what is to be known of the code of one that does not differ."""
        return list(self._with_names_of_today()._of_parts(now, PartIdentity.remark))

    def _with_names_of_today(self) -> Identity:
        """Return it with the names that renamed parts have now."""
        parts = {kind: _with_name_of_today(kind, part) for kind, part in self.parts.items()}
        return self.model_copy(update={"parts": parts})

    def _of_parts(
        self, now: Identity, say: Callable[[PartIdentity, PartIdentity], str]
    ) -> Iterator[str]:
        """Yield what is said of parts that are there in both."""
        for kind in [kind for kind in self.parts if kind in now.parts]:
            was, other = self.parts[kind], now.parts[kind]
            same = (was.name, was.distribution) == (other.name, other.distribution)
            if same and (said := say(was, other)):
                yield f"{kind} '{was.name}' {said}"


def _with_name_of_today(kind: str, part: PartIdentity) -> PartIdentity:
    try:
        found = installed().get(kind, f"{part.distribution}:{part.name}")
    except VlmadError:
        return part
    return part.model_copy(update={"name": found.name})


def _came_since(kind: str, was: PartIdentity, now: PartIdentity) -> Iterator[str]:
    """Yield options that an earlier version did not have, where they are as by default."""
    new = now.options.keys() - was.options.keys()
    if new and (was.name, was.distribution) == (now.name, now.distribution):
        registration = installed().get(kind, f"{now.distribution}:{now.name}")
        offered = options_of(registration.resolve(), registration)
        yield from (n for n in new if content_of(offered[n].default) == now.options[n])


def identity(
    detector: Detector,
    class_name: str,
    references: Sequence[Reference] = (),
    threshold: float | None = None,
    misses: Sequence[Reference] = (),
) -> Identity:
    """Return what the scores and verdicts of a detector depend on (loads the weights).

    Raises:
        WeightsError: the weights cannot be loaded.
        InputError: a file that is an option cannot be read.
    """
    backbone = detector.backbone
    return Identity(
        parts={kind: _part(chosen) for kind, chosen in detector.assembly.parts.items()},
        weights_sha256=_weights_digest(detector),
        precision=getattr(backbone, "precision", "float32"),
        preprocessing=to_jsonable_python(backbone.spec.preprocessing),
        resize=str(detector.resizing),
        reading=str(detector.reading or Reading()),
        align=None if detector.fixture is None else detector.fixture.digest,
        class_name=class_name.replace("_", " "),  # as prompts read it
        sentences_sha256=_sentences_digest(detector, class_name),
        references_sha256=[reference.sha256 for reference in references],
        inside_sha256=getattr(detector.inside, "sha256", None),
        misses_sha256=[miss.sha256 for miss in misses],
        threshold=threshold,
        revision=REVISION,
    )


def _weights_digest(detector: Detector) -> str:
    """Return that of the weights which are read: the backbone's, or those of levels, or both."""
    levels, asked = detector.backbone.spec.levels, detector.requests()
    digests = {levels[r.name].identity if isinstance(r, Level) else "" for r in asked}
    if detector.prompts is not None:
        digests.add("")
    if "" in digests:
        digests = digests - {""} | {detector.backbone.weights_hash}
    together = " ".join(sorted(digests))
    return hashlib.sha256(together.encode()).hexdigest() if len(digests) > 1 else together


def _sentences_digest(detector: Detector, class_name: str) -> str | None:
    changing = detector.prompts is not None and detector.prompts.looks_at_image
    text = None if changing else detector.text(class_name, None)
    if text is None:
        return None
    return hashlib.sha256("\n".join(text.sentences).encode("utf-8", "surrogatepass")).hexdigest()


def _part(chosen: Chosen) -> PartIdentity:
    registration, own = chosen.registration, chosen.registration.distribution == BUILT_IN
    left_out = NOT_SUBSTANCE.get(registration.kind, ())
    options = {name: value for name, value in chosen.options.items() if name not in left_out}
    return PartIdentity(
        name=registration.name,
        distribution=registration.distribution,
        version=registration.version,
        code=None if own else distribution_digest(registration.distribution),
        revision=getattr(chosen.part, "scores_revision", 1),
        options={name: content_of(value) for name, value in options.items()},
    )
