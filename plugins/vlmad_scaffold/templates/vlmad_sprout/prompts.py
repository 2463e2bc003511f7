"""The prompts `sprout`."""

from vlmad import Backbone, Features, Prompts, TextEmbeddings
from vlmad.text import check_place, embed_sides


class SproutPrompts(Prompts):
    """One sentence for each side.

    Args:
        normal: of what is right; {} is the class name.
        anomalous: of what is wrong; {} likewise.
    """

    def __init__(
        self, normal: str = "a photo of a flawless {}", anomalous: str = "a photo of a damaged {}"
    ) -> None:
        check_place(normal, "option normal")
        check_place(anomalous, "option anomalous")
        self.normal, self.anomalous = normal, anomalous

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode both sentences for a class name."""
        normal, anomalous = (
            [sentence.replace("{}", class_name)] for sentence in (self.normal, self.anomalous)
        )
        return embed_sides(backbone, normal, anomalous)
