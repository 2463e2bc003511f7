"""Answers of a backbone on disk: what one request gives of one image is an entry.

Another detector that asks for the same of an image finds it, whatever its other parts are. So
entries are keyed by what changes a request's own numbers and by nothing else: attention beside
the stream does not change what is read from the plain path.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import PIL

from vlmad.types import Patches
from vlmad_evaluation.conditions import ChangedSource
from vlmad_formats.reading import Reading
from vlmad_openclip.backbone_facts import backbone_facts
from vlmad_openclip.code_digest import distribution_digest
from vlmad_openclip.store import key_of, pack, tensor_digest, unpack
from vlmad_run.part_options import content_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vlmad.fitting import Chosen
    from vlmad.images import Source
    from vlmad.parts import Attention
    from vlmad.types import ImageBatch, Request
    from vlmad_openclip.store import Store

Answers: TypeAlias = "dict[Request, Tensor]"
"""What is known of one image, without a batch dimension."""


class FeatureCache:
    """Answers requests from disk where it can, and asks the backbone for the rest.

    Args:
        backbone: the backbone, and where it comes from.
        store: where entries are kept.
    """

    def __init__(self, backbone: Chosen, store: Store) -> None:
        self._chosen, self._backbone, self._store = backbone, backbone.part, store

    def answers(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Chosen
    ) -> list[Answers]:
        """Return what all requests give of each image; what is missing is encoded in one pass.

        Raises:
            InputError: an image cannot be read.
        """
        if self._facts is None:
            encoded = self._backbone.encode(batch, requests, attention.part)
            return [{r: encoded[r][row] for r in requests} for row in range(len(batch))]
        contexts = {r: self._context(r, attention, batch.resize) for r in requests}
        sources = cast("tuple[Source, ...]", batch.sources)
        images = [image_digest(source) for source in sources]
        known = [
            {r: found for r in requests if (found := self._read(image, contexts[r])) is not None}
            for image in images
        ]
        lacking = [row for row, answers in enumerate(known) if len(answers) < len(requests)]
        if lacking:
            missing = [r for r in requests if any(r not in known[row] for row in lacking)]
            some = replace(batch, sources=tuple(sources[row] for row in lacking))
            encoded = self._backbone.encode(some, missing, attention.part)
            for index, row in enumerate(lacking):
                new = {r: encoded[r][index] for r in missing if r not in known[row]}
                known[row] |= new
                if image_digest(sources[row]) == images[row]:  # and did not change meanwhile
                    for request, tensor in new.items():
                        self._write(images[row], contexts[request], tensor)
        return known

    def _read(self, image: str, context: str) -> Tensor | None:
        tensor = unpack(self._store.read(key_of({"image": image, "context": context})))
        return None if tensor is None else tensor.to(getattr(self._backbone, "device", "cpu"))

    def _write(self, image: str, context: str, tensor: Tensor) -> None:
        content = pack(tensor)
        if content is not None:
            self._store.write(key_of({"image": image, "context": context}), content)

    def _context(self, request: Request, attention: Chosen, resize: str) -> str:
        """Return what an answer depends on besides the image."""
        touched = is_touched(request, attention.part, self._backbone.spec.depth)
        facts = {
            "backbone": self._facts,
            "attention": [_facts_of(attention), _learned(attention.part)] if touched else None,
            "request": [type(request).__name__, asdict(request)],
            "resize": resize,
        }
        return key_of(facts)

    @cached_property
    def _facts(self) -> str | None:
        """All that the backbone's answers depend on, or None if that is not known."""
        facts = backbone_facts(self._backbone, self._chosen.registration.distribution)
        options, pillow = dict(self._chosen.options), PIL.__version__
        if facts is None:
            return None
        return key_of({"facts": facts, "options": options, "pillow": pillow})


def is_touched(request: Request, attention: Attention, depth: int) -> bool:
    """Return whether the answer to a request is an attention modifier's own.

    One that acts on no block changes nothing; one beside the stream only the second path, which
    is its own even where it writes nothing to it.
    """
    if isinstance(request, Patches) and request.path == "beside":
        return True
    return attention.path == "stream" and len(attention.blocks(depth)) > 0


def image_digest(source: Source) -> str:
    """Return a SHA-256 of a file's bytes as they were last read, or of an image's pixels.

    Raises:
        InputError: the file cannot be read.
    """
    if source.prepared is not None:
        return tensor_digest(source.prepared)
    file = source.original
    if file.path is None:
        image = source.open()
        return hashlib.sha256(f"RGB {image.size}\n".encode() + image.tobytes()).hexdigest()
    if file.sha256 is None:
        file.open()
    box = None if source.whole is None else source.whole[1]
    reading = str(file.reading or Reading())
    facts: dict[str, Any] = {"content": file.sha256, "box": box, "reading": reading}
    if file.fixture is not None:
        facts["fixture"] = file.fixture.digest
    if str(file.view):
        facts["view"] = str(file.view)
    if isinstance(file, ChangedSource):
        facts["change"] = file.change.model_dump()
    return key_of(facts)


def _facts_of(chosen: Chosen) -> dict[str, Any]:
    registration = chosen.registration
    return {
        "part": [registration.kind, registration.name, registration.distribution],
        "code": [registration.version, distribution_digest(registration.distribution)],
        "options": {
            name: content_of(value) if isinstance(value, Path) else value
            for name, value in chosen.options.items()
        },
    }


def _learned(part: Any) -> dict[str, str]:
    """Return the learned values of a part that has any: they may change between two calls."""
    state = part.state_dict() if hasattr(part, "state_dict") else {}
    return {name: tensor_digest(values) for name, values in state.items()}
