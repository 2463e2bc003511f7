"""A backbone that encodes no image twice: what one request gives of one image is an entry.

Another detector that asks for the same of an image finds it, whatever its other parts are. So
entries are keyed by what changes a request's own numbers and by nothing else: attention beside
the stream does not change what is read from the plain path.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import PIL
import torch

from vlmad.caches.keys import backbone_facts, key_of, part_facts, state_facts, tensor_digest
from vlmad.caches.store import open_store
from vlmad.caches.tensors import pack, unpack
from vlmad.images import read_file
from vlmad.types import Patches, VisualFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad.assembly import Assembly
    from vlmad.caches.store import Store
    from vlmad.images import Source
    from vlmad.parts import Attention
    from vlmad.types import BackboneSpec, ImageBatch, Request

Answers = dict["Request", "Tensor"]
"""What is known of one image, without a batch dimension."""


class KeptFeatures:
    """Answers requests from disk where it can, and asks the backbone for the rest.

    Args:
        assembly: the backbone, the attention, and where they come from.
        store: where features are kept.
    """

    def __init__(self, assembly: Assembly, store: Store) -> None:
        self._assembly, self._store = assembly, store
        self._backbone = assembly.parts["backbone"].part

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; what is missing of a batch is encoded in one pass.

        Raises:
            InputError: an image that is not known cannot be read.
        """
        contexts = self._contexts(requests, batch.resize)
        if contexts is None:
            return self._backbone.encode(batch, requests, attention)  # type: ignore[no-any-return]
        images = [image_digest(source) for source in batch.sources]
        known = [self._read(image, contexts) for image in images]
        lacking = [i for i, answers in enumerate(known) if len(answers) < len(contexts)]
        if lacking:
            part = replace(batch, sources=tuple(batch.sources[i] for i in lacking))
            gaps = [known[i] for i in lacking]
            self._fill(part, [images[i] for i in lacking], gaps, contexts, attention)
        return self._join(known, requests)

    def _fill(
        self,
        batch: ImageBatch,
        images: Sequence[str],
        known: Sequence[Answers],
        contexts: Mapping[Request, str],
        attention: Attention,
    ) -> None:
        """Compute in one pass what is missing, add it to what is known, and keep it."""
        wanted = [r for r in contexts if any(r not in answers for answers in known)]
        before = list(map(is_unchanged, batch.sources, images))
        found = self._backbone.encode(batch, wanted, attention)
        after = list(map(is_unchanged, batch.sources, images))
        for row, answers in enumerate(known):
            new = {r: found[r][row] for r in wanted if r not in answers}
            if before[row] and after[row]:
                self._write(images[row], contexts, new)
            answers |= new

    def _join(self, known: Sequence[Answers], requests: Sequence[Request]) -> VisualFeatures:
        spec: BackboneSpec = self._backbone.spec
        device = getattr(self._backbone, "device", "cpu")
        tensors = {
            request: torch.stack([answers[request].to(device) for answers in known])
            for request in requests
        }
        return VisualFeatures(tensors, spec.grid, spec.preprocessing.size)

    def _read(self, image: str, contexts: Mapping[Request, str]) -> Answers:
        answers = {}
        for request, context in contexts.items():
            tensor = unpack(self._store.read(_key(image, context)))
            if tensor is not None and tensor.ndim:
                answers[request] = tensor
        return answers

    def _write(self, image: str, contexts: Mapping[Request, str], answers: Answers) -> None:
        for request, tensor in answers.items():
            content = pack(tensor)
            if content is not None:
                self._store.write(_key(image, contexts[request]), content)

    def _contexts(self, requests: Sequence[Request], resize: str) -> dict[Request, str] | None:
        """Return what each answer depends on besides the image, or None if that is unknown."""
        facts, attention = self._facts
        if facts is None or attention is None:
            return None
        part, depth = self._assembly.parts["attention"].part, self._backbone.spec.depth
        attention = attention | {"state": state_facts(part)}  # it may learn between two calls
        return {
            request: key_of(
                {
                    "backbone": facts,
                    "attention": attention if feels(request, part, depth) else None,
                    "request": [type(request).__name__, asdict(request)],
                    "resize": resize,
                }
            )
            for request in requests
        }

    @cached_property
    def _facts(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        facts = backbone_facts(self._assembly.parts["backbone"])
        if facts is not None:
            facts["pillow"] = PIL.__version__
        return facts, part_facts(self._assembly.parts["attention"])


def keep_features(assembly: Assembly) -> Any:
    """Return what keeps features on disk, or the plain backbone where there are no caches."""
    store = open_store("visual")
    return assembly.parts["backbone"].part if store is None else KeptFeatures(assembly, store)


def feels(request: Request, attention: Attention, depth: int) -> bool:
    """Tell whether an attention modifier can change the answer to a request.

    One that acts on no block changes nothing; one beside the stream only the second path.
    """
    if not len(attention.blocks(depth)):
        return False
    if attention.path == "beside":
        return isinstance(request, Patches) and request.path == "beside"
    return True


def image_digest(source: Source) -> str:
    """Return the SHA-256 of a file's bytes (and the place of a part), or of an image's pixels.

    Raises:
        InputError: the file cannot be read.
    """
    if source.prepared is not None:
        return tensor_digest(source.prepared)
    if source.path is not None and source.whole is None:
        return hashlib.sha256(read_file(source.path)).hexdigest()
    if source.sha256 is not None and source.whole is not None:
        return key_of({"content": source.sha256, "box": list(source.whole[1])})
    image = source.open()
    return hashlib.sha256(f"RGB {image.size}\n".encode() + image.tobytes()).hexdigest()


def is_unchanged(source: Source, digest: str) -> bool:
    """Tell whether a source, as far as it was decoded, is what has this digest.

    A file may change after its pixels were made ready, or between them and crops of it.
    """
    if source.path is None:
        return True
    if source.whole is not None:
        return source.whole[0].sha256 == source.sha256
    return source.sha256 in (None, digest)


def _key(image: str, context: str) -> str:
    return key_of({"image": image, "context": context})
