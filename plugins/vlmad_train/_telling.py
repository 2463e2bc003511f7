"""What a person is told of a training: before it begins, after each epoch, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_run.part_options import replaced_parts
from vlmad_train._frozen import GIGABYTE
from vlmad_train._synthetic_images import TRIES
from vlmad_train.visible_drawings import defective

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vlmad_train._frozen import Cost
    from vlmad_train._preparing import Prepared
    from vlmad_train.category_curve import CategoryCurve
    from vlmad_train.history import Epoch, Losses, TrainingHistory
    from vlmad_train.visible_drawings import VisibleDrawings

OPTIONS = {"prompts": "--prompt", "extractor": "--extractor", "attention": "--attention"}


def plan_lines(prepared: Prepared, cost: Cost, step: float | None = None) -> Iterator[str]:
    """Yield what is learned from what, and what it takes.

    Args:
        prepared: the training.
        cost: of encoding, for each image.
        step: how many seconds a step takes, if that was measured.
    """
    learner, images = prepared.learner, prepared.material.images
    parts = learner.detector.assembly.parts
    for kind in learner.kinds:
        numbers = sum(tensor.numel() for tensor in learner.values(kind).values())
        yield f"learns: {parts[kind]}, {numbers:,} numbers, by the loss '{prepared.loss}'"
    yield f"from: {_described(prepared, prepared.rows)}"
    if prepared.held_out:
        yield f"held out: {_described(prepared, prepared.held_out)}"
    else:
        yield "held out: nothing, so that the last epoch is kept"
    drawn = len(defective(images))
    if drawn:
        takes = f", about {duration(2 * drawn * cost.seconds)}" if cost.seconds else ""
        yield f"before: are the {drawn} drawn defects seen by the backbone{takes}"
    count, folder = len(images), prepared.material.folder
    seconds = duration(cost.seconds * count)
    if learner.stage == "images":
        yield "encoding: in every epoch, because attention learns"
    elif folder is None:
        yield f"encoding: in every epoch, about {seconds}"
    else:
        size = cost.bytes * count / GIGABYTE
        yield f"encoding: once, about {seconds}; {size:.2g} GB in {folder} until all is done"
    schedule = prepared.learning.schedule()
    steps = -(-len(prepared.rows) // schedule.batch)
    takes = "" if step is None else f", about {duration(step * steps * schedule.epochs)}"
    yield f"then: {schedule.epochs} epochs of {steps} steps{takes}"


def _described(prepared: Prepared, rows: Sequence[int]) -> str:
    chosen = [prepared.material.images[row] for row in rows]
    bad = sum(image.anomalous for image in chosen)
    names = ", ".join(prepared.categories(rows))
    return f"{len(chosen)} images, {bad} of them defective, of {names}"


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    >>> duration(0.2), duration(90), duration(7200)
    ('1 s', '90 s', '120 min')
    """
    return f"{seconds / 60:.0f} min" if seconds > 100 else f"{max(1, seconds):.0f} s"


def drawings_line(found: VisibleDrawings) -> str:
    """Return what became of defects that the backbone does not see."""
    if not found.judged:
        return "drawings: all are taken, because without regions nothing shows what is seen"
    return (
        f"drawings: of {len(found.taken)} defects {found.again} were drawn again until the "
        f"backbone saw them, and {found.left_out} left out that it saw in none of "
        f"up to {2 * TRIES} drawings"
    )


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """Return the losses of an epoch in one line."""
    line = f"epoch {epoch.number}/{epochs}: {_losses(epoch.training)}"
    return line if epoch.held_out is None else f"{line}; held out {_losses(epoch.held_out)}"


def _losses(losses: Losses) -> str:
    terms = " + ".join(f"{name} {value:.3f}" for name, value in losses.terms.items())
    auroc = "" if losses.auroc is None else f", image AUROC {losses.auroc:.3f}"
    return f"{losses.loss:.3f} = {terms}{auroc}"


def curve_lines(curve: CategoryCurve) -> Iterator[str]:
    """Yield what each point of a curve gave on what was held out."""
    for point in curve.points:
        names = ", ".join(point.categories)
        yield f"{len(point.categories)} categories ({names}): held out {_losses(point.held_out)}"


def result_lines(
    history: TrainingHistory, files: Mapping[str, Path], prepared: Prepared, folder: Path
) -> Iterator[str]:
    """Yield what was written, and how it is used."""
    best = history.best
    if best is not None:
        why = "the last" if best.held_out is None else "of the lowest loss on what was held out"
        yield f"kept: epoch {best.number}, {why}; losses: {folder}"
    assembly = prepared.learner.detector.assembly
    parts, replaced = assembly.parts, replaced_parts(assembly)
    others = {kind: name for kind, name in replaced.items() if kind not in files}
    words = [f"{OPTIONS.get(kind, f'--{kind}')} {name}" for kind, name in others.items()]
    for kind, path in files.items():
        name = parts[kind].registration.name
        if kind == "prompts":
            words.append(f"--prompt {name}:{path}")
        else:
            words.append(f"{OPTIONS.get(kind, f'--{kind}')} {name} --set {kind}.file={path}")
    yield f"use it with: vlmad run … --detector {assembly.recipe.name} {' '.join(words)}"
    yield "note: test it on other images; what it does on new products, another data set shows"
