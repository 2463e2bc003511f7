"""The prompts `described`."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt, Len
from torch import Tensor
from vlmad import Backbone, Features, Prompts, TextEmbeddings

SIDES = ("flawless", "damaged")
WORDS = ("dark", "bright", "shiny", "dull", "smooth", "rough", "striped", "spotted")


class DescribedPrompts(Prompts):
    """Sentences with the adjectives that fit each image: "a photo of a damaged dark screw".

    Args:
        words: the adjectives.
        temperature: the lower, the more the best ones count.
    """

    looks_at_image = True

    def __init__(
        self,
        words: Annotated[tuple[str, ...], Len(1, 100)] = WORDS,
        temperature: Annotated[float, Gt(0)] = 0.02,
    ) -> None:
        self.words, self.temperature = words, temperature
        self._known: dict[str, list[Tensor]] = {}

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Return one sentence of each side for each image, (b, 2, d)."""
        assert features is not None  # as it looks at the image
        looks, *embedded = self._encode(backbone, class_name)
        cosines = F.normalize(features.image, dim=-1) @ F.normalize(looks, dim=-1).T
        shares = (cosines / self.temperature).softmax(-1)
        mixed = torch.stack([shares @ side for side in embedded], dim=1)
        sentences = [f"a photo of a {side} … {class_name}" for side in SIDES]
        return TextEmbeddings.of(mixed, (False, True), sentences)

    def _encode(self, backbone: Backbone, class_name: str) -> list[Tensor]:
        """Return what is encoded once for each class name: both sides follow the plain words."""
        if class_name not in self._known:
            kinds = ("", *(f"{side} " for side in SIDES))
            sentences = [f"a photo of a {k}{w} {class_name}" for k in kinds for w in self.words]
            self._known[class_name] = list(backbone.encode_text(sentences).chunk(len(kinds)))
        return self._known[class_name]
