"""What a training depends on: two commands with equal facts learn the same to the bit."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from vlmad.errors import OutputError
from vlmad.types import Patches
from vlmad_documents.documents import Document
from vlmad_documents.learned_file import LearnedOn, Learning, write_learned
from vlmad_run.differences import differences
from vlmad_run.identity import Identity, identity
from vlmad_train._images import data_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmad_train._images import TrainingImage
    from vlmad_train._learner import Learner

FACTS = "training.json"


class TrainingFacts(Document):
    """What is learned, from which images, and how."""

    format: Literal["vlmad training facts 1"] = "vlmad training facts 1"
    identity: Identity
    learning: list[str]
    """The kinds of the parts that learn."""
    images: dict[str, str]
    """A digest of the images of each category."""
    held_out: list[str]
    options: dict[str, JsonValue]
    """Of the training: loss, weights and schedule."""
    versions: dict[str, str]


def gather_facts(
    learner: Learner,
    images: Sequence[TrainingImage],
    held_out: Sequence[str],
    options: dict[str, JsonValue],
) -> TrainingFacts:
    """Describe a training before it begins (loads the weights)."""
    categories = dict.fromkeys(image.category for image in images)
    own = {name: [i for i in images if i.category == name] for name in categories}
    return TrainingFacts(
        identity=identity(learner.detector, images[0].class_name),
        learning=[*learner.kinds],
        images={name: data_digest(some) for name, some in own.items()},
        held_out=[*held_out],
        options=options,
        versions={name: version(name) for name in ("vlmad", "torch")},
    )


def claim(folder: Path, facts: TrainingFacts) -> None:
    """Write the facts of a training to its folder, or find them the same.

    Raises:
        OutputError: another training was begun there.
    """
    path = folder / FACTS
    if path.exists():
        before = TrainingFacts.read(path)
        left_out = {"identity"}
        was, now = (each.model_dump(exclude=left_out) for each in (before, facts))
        differ = [*before.identity.differences(facts.identity), *differences(was, now)]
        if differ:
            raise OutputError(
                f"{folder} is of another training: {', '.join(differ[:3])}; delete it, or choose "
                "another --out"
            )
    facts.write(path)


def write_parts(out: Path, learner: Learner, facts: TrainingFacts, licence: str) -> dict[str, Path]:
    """Write what each part has learned, that of the main one to `out`; return the files by kind.

    Raises:
        WeightsError: it is not finite.
        OutputError: a file cannot be written.
    """
    written = {}
    parts, prompts = learner.detector.assembly.parts, learner.detector.prompts
    for kind in learner.kinds:
        path = out if kind == learner.main else out.with_name(f"{out.stem}.{kind}{out.suffix}")
        learning = Learning(
            kind=kind,
            part=parts[kind].registration.name,
            facts=dict(parts[kind].part.facts()),
            backbone=LearnedOn.describe(learner.detector.backbone),
            class_token=None if prompts is None else prompts.class_token(learner.spec),
            layers=_layers(learner),
            data=dict(facts.images),
            options=facts.options,
            licence=licence,
        )
        write_learned(path, learner.values(kind), learning)
        written[kind] = path
    return written


def _layers(learner: Learner) -> list[int]:
    """Return the layers of the backbone whose patches were looked at."""
    requests = learner.detector.requests()
    return sorted({r.layer for r in requests if isinstance(r, Patches)})
