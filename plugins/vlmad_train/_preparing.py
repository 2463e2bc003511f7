"""From the words of a command to what is trained on what."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, did_you_mean
from vlmad.images import as_source
from vlmad.options import options_of
from vlmad.recipes import find_recipe, read_recipe
from vlmad.registry import installed
from vlmad_run.choosing import parse_settings
from vlmad_run.opening import open_dataset
from vlmad_synthesis.visibility import LEAST
from vlmad_train._frozen import FrozenImages
from vlmad_train._images import check_classes, labelled_images
from vlmad_train._learner import Learner
from vlmad_train._synthetic_images import pairs_of, synthetic_images
from vlmad_train._training_facts import TrainingFacts, gather_facts
from vlmad_train.objectives import find_loss
from vlmad_train.spot_the_difference import SPD
from vlmad_train.training import Training, shuffled_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.detector import Detector
    from vlmad.images import Source as ImageSource
    from vlmad.recipes import Recipe
    from vlmad_run.choosing import Choice
    from vlmad_train._frozen import Cost
    from vlmad_train._images import TrainingImage
    from vlmad_train._options import LearningOptions, TrainingOutput, TrainingSource
    from vlmad_train.objectives import Weights

TEMPERATURE = 0.07
"""Of losses, where the scorer has none."""
PAIRED = "smoothblend"
"""What is drawn for the loss of pairs where nobody says."""
ANEW = "anew"
"""The option by which a part that would refuse to work untrained agrees to be trained."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a training needs; nothing is written yet."""

    learner: Learner
    material: FrozenImages
    rows: list[int]
    held_out: list[int]
    loss: str
    weights: Weights
    learning: LearningOptions
    facts: TrainingFacts

    def training(self, folder: Path, rows: Sequence[int] | None = None) -> Training:
        """Return the training, of all images or of some, before its first epoch."""
        rows = self.rows if rows is None else rows
        images, schedule, held_out = self.material.images, self.learning.schedule(), self.held_out
        check_classes([images[row] for row in rows])
        order = None
        if self.loss == SPD:
            order = shuffled_pairs(pairs_of(images, rows), schedule.seed)
            held_out = [row for pair in pairs_of(images, held_out) for row in pair]
        return Training(
            self.learner,
            self.material,
            rows,
            held_out,
            self.loss,
            self.weights,
            schedule,
            folder,
            order,
        )

    def step_seconds(self, cost: Cost) -> float:
        """Return how long a step takes, measured on the first images."""
        training = self.training(Path())
        training.gradients(cost.first)  # the first is slower than all others
        started = time.perf_counter()
        training.gradients(cost.first)
        return time.perf_counter() - started

    def of_images(self, images: Sequence[TrainingImage]) -> Prepared:
        """Return the same of some of the images, or of others; each category stays where it is."""
        away, own = set(self.categories(self.held_out)), self.material
        return replace(
            self,
            material=FrozenImages(self.learner, images, own.folder, own.batch),
            rows=[row for row, image in enumerate(images) if image.category not in away],
            held_out=[row for row, image in enumerate(images) if image.category in away],
        )

    def categories(self, rows: Sequence[int]) -> list[str]:
        """Return the categories of some images, in their order."""
        return [*dict.fromkeys(self.material.images[row].category for row in rows)]


def prepare(
    data: Path,
    choice: Choice,
    source: TrainingSource,
    learning: LearningOptions,
    kept: TrainingOutput,
) -> Prepared:
    """Assemble the detector, start the parts that learn, and find the images.

    Raises:
        VlmadError: something cannot be used; see the parts of this module.
    """
    choice, others = split_off(choice)
    learner = Learner(assembled(choice), learning.seed, learning.learn or ())
    detector = learner.detector
    if detector.resizing.mode in ("tiles", "auto"):
        raise InputError("parts learn from whole images: --resize takes squash or pad here")

    loss = find_loss(learning.loss, learner)
    learning = learning.suiting(loss)
    if loss == SPD:
        source = replace(source, synthesise=source.synthesise or PAIRED)
        if learning.batch_size % 2:
            raise InputError("--batch-size is even where pairs of images are compared")
    elif others["defect"] and source.synthesise is None:
        raise InputError("--set defect.… is of what is drawn: add --synthesise")

    def sourced(path: object) -> ImageSource:
        return as_source(path, reading=detector.reading)

    if source.synthesise is None:
        opened = open_dataset(data, source.dataset, others["dataset"])
        images = labelled_images(opened, source.split, source.category or (), sourced)
    else:
        images = synthetic_images(data, source, learning.seed, sourced, others["defect"])
    held_out = choose_held_out([image.category for image in images], source, learning.seed)
    material = FrozenImages(
        learner, images, kept.folder / "features" if kept.disk else None, learning.batch_size
    )
    rows = [row for row, image in enumerate(images) if image.category not in held_out]
    check_classes([images[row] for row in rows])
    weights = learning.weights(getattr(detector.scorer, "temperature", TEMPERATURE))
    options = {"loss": loss, **asdict(weights), **asdict(learning.schedule())}
    options |= {"betas": [*learning.schedule().betas], "curve": learning.counts()}
    if source.synthesise is not None:
        options |= {"synthesise": source.synthesise, "drawings": source.drawings}
        options |= {"least_change": LEAST, "defect": {**others["defect"]}}
    return Prepared(
        learner,
        material,
        rows,
        [row for row in range(len(images)) if row not in set(rows)],
        loss,
        weights,
        learning,
        gather_facts(learner, images, held_out, options),
    )


def choose_held_out(categories: Sequence[str], source: TrainingSource, seed: int) -> list[str]:
    """Return which categories are held out, whole ones.

    Raises:
        InputError: one does not exist, or none is left to learn from.
    """
    known = [*dict.fromkeys(categories)]
    named = source.held_out
    if named == ["none"] or (named is None and len(known) < 3):
        return []
    if named is None:
        return sorted(random.Random(seed).sample(known, max(1, len(known) // 5)))
    for name in named:
        if name not in known:
            raise InputError(f"--held-out: no category '{name}'; {did_you_mean(name, known)}")
    if set(named) == set(known):
        raise InputError("--held-out names all categories, and none is left to learn from")
    return sorted(set(named))


def split_off(choice: Choice) -> tuple[Choice, dict[str, dict[str, str]]]:
    """Return the choice with the settings of parts, and those of reader and defects."""
    words, kinds = choice.settings or [], ("dataset", "defect")
    others = [word for word in words if word.startswith(tuple(f"{kind}." for kind in kinds))]
    of_parts = [word for word in words if word not in others]
    options = parse_settings(others, kinds)
    return replace(choice, settings=of_parts), {kind: options.get(kind, {}) for kind in kinds}


def assembled(choice: Choice) -> Detector:
    """Return the detector, by default AnomalyCLIP or, with windows, the hybrid, to be trained."""
    windows = (choice.extractor or "").partition(":")[0] == "window"
    usual = "hybrid" if windows else "anomalyclip"
    choice = replace(choice, detector=choice.detector or usual)
    registry = installed()
    of_recipe, settings = _recipe(choice.detector or usual).parts, []
    own = {"prompts": choice.prompt, "extractor": choice.extractor, "scorer": choice.scorer}
    for kind, part in (own | {"attention": choice.attention}).items():
        named = part or of_recipe.get(kind)
        if named is not None:
            factory = registry.get(kind, registry.split(kind, named)[0]).resolve()
            settings += [f"{kind}.{ANEW}=true"] if ANEW in options_of(factory) else []
    return replace(choice, settings=[*settings, *(choice.settings or [])]).load()


def _recipe(name: str) -> Recipe:
    registry = installed()
    is_file = name.endswith(".toml")
    return read_recipe(registry, Path(name)) if is_file else find_recipe(registry, name)
