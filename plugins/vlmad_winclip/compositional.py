"""The compositional prompt ensemble: every state in every template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vlmad import Prompts
from vlmad.errors import InputError
from vlmad.files import read_toml
from vlmad.text import check_place, embed_sides
from vlmad_openclip.telling_words import note_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad import Backbone, Features, TextEmbeddings


@dataclass(frozen=True, slots=True)
class PromptList:
    """States that go into templates, each with one ``{}``."""

    normal_states: tuple[str, ...]
    anomalous_states: tuple[str, ...]
    templates: tuple[str, ...]

    def sentences(self, class_name: str) -> tuple[list[str], list[str]]:
        """Return the normal and the anomalous sentences for what the image shows."""
        return (
            self._fill(self.normal_states, class_name),
            self._fill(self.anomalous_states, class_name),
        )

    def _fill(self, states: tuple[str, ...], class_name: str) -> list[str]:
        # replaced, not formatted: a class name may itself hold braces
        named = [state.replace("{}", class_name) for state in states]
        return [template.replace("{}", name) for name in named for template in self.templates]


NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
PAPER_TEMPLATES = (
    "a cropped photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a bright photo of the {}.",
    "a dark photo of the {}.",
    "a dark photo of a {}.",
    "a jpeg corrupted photo of a {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of the {}.",
    "a blurry photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "a photo of a {} for anomaly detection.",
)
REPEATED = "a jpeg corrupted photo of the {}."
LEFT_OUT = ("a cropped photo of a {}.", "a jpeg corrupted photo of a {}.")
ANOMALIB_TEMPLATES = tuple(
    REPEATED if t == LEFT_OUT[1] else t for t in PAPER_TEMPLATES if t != LEFT_OUT[0]
)
LOOKS = (
    *("bad", "low resolution", "cropped", "bright", "dark", "close-up"),
    *("black and white", "jpeg corrupted", "blurry", "good"),
)
SORTS = (
    *("a", "the", "my", "one"),
    *("a cool", "the cool", "a small", "the small", "a large", "the large"),
)
PLACES = ("there is a", "there is the", "this is a", "this is the", "this is one")
APRILGAN_TEMPLATES = (
    *(f"a {look} photo of {article} {{}}." for look in LOOKS for article in ("a", "the")),
    *(f"a photo of {sort} {{}}." for sort in SORTS),
    *(f"{place} {{}} in the scene." for place in PLACES),
)
LISTS: Mapping[str, PromptList] = {
    "paper22": PromptList(NORMAL_STATES, ANOMALOUS_STATES, PAPER_TEMPLATES),
    "anomalib21": PromptList(NORMAL_STATES, ANOMALOUS_STATES, ANOMALIB_TEMPLATES),
    "comparison": PromptList(
        ("flawless {}", "perfect {}", "unblemished {}"),
        ("damaged {}", "{} with defect", "broken {}"),
        (
            "a photo of a {} for visual inspection",
            "a close-up photo of the {}",
            "a cropped photo of a {}",
        ),
    ),
    "april-gan": PromptList(NORMAL_STATES, (*ANOMALOUS_STATES, "broken {}"), APRILGAN_TEMPLATES),
}


class Compositional(Prompts):
    """Every state in every template (WinCLIP, section 4.1 and its table of prompts).

    Args:
        list: paper22 (the paper's 22 templates: 154 normal and 88 anomalous sentences),
            anomalib21 (that library's 21), comparison (three states to a side, three
            templates), april-gan (7 and 5 states in 35 templates).
        file: a TOML file with your own `normal_states`, `anomalous_states` and `templates`,
            lists of texts that each hold one {}; it takes the place of `list`.
    """

    def __init__(
        self,
        list: Literal["paper22", "anomalib21", "comparison", "april-gan"] = "paper22",
        file: Path | None = None,
    ) -> None:
        self.own = file is not None
        self.prompts = read_prompt_list(file) if file else LISTS[list]

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings:
        """Encode all sentences for what the images show, and say where a user's do not tell."""
        text = embed_sides(backbone, *self.prompts.sentences(class_name))
        if self.own:
            note_words(backbone, class_name, text)
        return text

    def states(self, class_name: str) -> list[str]:
        """Return the state that each sentence puts into a template, for explanations."""
        states = (*self.prompts.normal_states, *self.prompts.anomalous_states)
        return [s.replace("{}", class_name) for s in states for _ in self.prompts.templates]


def read_prompt_list(path: Path) -> PromptList:
    """Read a user's own states and templates.

    Raises:
        InputError: the file is missing, is no TOML, or a list is missing or malformed.
    """
    table = read_toml(path, "prompt list")
    names = ("normal_states", "anomalous_states", "templates")
    unknown = sorted(table.keys() - set(names))
    if unknown:
        raise InputError(
            f"prompt list {path}: unknown key '{unknown[0]}'; it takes {', '.join(names)}"
        )
    lists = []
    for name in names:
        texts = table.get(name)
        if not isinstance(texts, list) or not texts:
            raise InputError(f"prompt list {path}: '{name}' must be a list with at least one text")
        for text in texts:
            check_place(text, f"{path}, {name}")
        lists.append(tuple(texts))
    return PromptList(*lists)
