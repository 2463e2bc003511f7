"""The simplest prompts: one sentence to a side, and none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Prompts
from vlmad.text import check_place, embed_sides
from vlmad_openclip.telling_words import note_words

if TYPE_CHECKING:
    from vlmad import Backbone, Features, TextEmbeddings


NORMAL, ANOMALOUS = "a photo of a normal {}.", "a photo of an anomalous {}."


class Plain(Prompts):
    """One normal and one anomalous sentence, each with one {} for what the image shows.

    Args:
        normal: the normal one.
        anomalous: the anomalous one.
    """

    def __init__(self, normal: str = NORMAL, anomalous: str = ANOMALOUS) -> None:
        check_place(normal, "option 'normal'")
        check_place(anomalous, "option 'anomalous'")
        self.normal, self.anomalous = normal, anomalous

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode the two sentences, and say where a user's do not tell good from bad."""
        sides = (self.normal, self.anomalous)
        text = embed_sides(backbone, *([side.replace("{}", class_name)] for side in sides))
        if sides != (NORMAL, ANOMALOUS):
            note_words(backbone, class_name, text)
        return text
