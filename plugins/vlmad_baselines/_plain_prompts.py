"""The simplest prompts: one sentence to a side, and none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Prompts
from vlmad.text import check_place, embed_sides

if TYPE_CHECKING:
    from vlmad import Backbone, Features, TextEmbeddings


class Plain(Prompts):
    """One normal and one anomalous sentence, each with one {} for what the image shows.

    Args:
        normal: the normal one.
        anomalous: the anomalous one.
    """

    def __init__(
        self,
        normal: str = "a photo of a normal {}.",
        anomalous: str = "a photo of an anomalous {}.",
    ) -> None:
        check_place(normal, "option 'normal'")
        check_place(anomalous, "option 'anomalous'")
        self.normal, self.anomalous = normal, anomalous

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode the two sentences."""
        return embed_sides(
            backbone,
            [self.normal.replace("{}", class_name)],
            [self.anomalous.replace("{}", class_name)],
        )
