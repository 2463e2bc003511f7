"""From a prepared training to its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.console import console, messages
from vlmad_train._telling import curve_lines, drawings_line
from vlmad_train._training_facts import claim, write_parts
from vlmad_train.category_curve import learn_curve
from vlmad_train.training import NotFinite
from vlmad_train.visible_drawings import choose_visible, defective

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmad_train._options import TrainingOutput
    from vlmad_train._preparing import Prepared
    from vlmad_train.history import Epoch, TrainingHistory
    from vlmad_train.training import Training


def carry_out(
    prepared: Prepared, kept: TrainingOutput, tell: Callable[[Epoch], None]
) -> tuple[TrainingHistory, dict[str, Path]]:
    """Learn, or go on where the same training was stopped; write the files and return them.

    Raises:
        NotFinite: the loss is no number any more; the best epoch before is written.
        OutputError: the folder is of another training, or cannot be written.
    """
    claim(kept.folder, prepared.facts)
    prepared = leave_out_unseen(prepared, kept.folder)

    def finish(training: Training) -> TrainingHistory:
        return finish_training(training, kept, prepared, tell)

    counts = prepared.learning.counts()
    if counts:
        curve, history = learn_curve(prepared, kept.folder, counts, finish)
        for line in curve_lines(curve):
            console().print(line)
    else:
        history = finish(prepared.training(kept.folder))
    files = write_parts(kept.out, prepared.learner, prepared.facts, kept.licence)
    if not kept.keep_features:
        prepared.material.delete()
    return history, files


def leave_out_unseen(prepared: Prepared, folder: Path) -> Prepared:
    """Return the training without drawn defects that the backbone does not see, and say so."""
    material = prepared.material
    if not defective(material.images):
        return prepared
    found = choose_visible(prepared.learner, material.images, material.batch, folder)
    messages().print(drawings_line(found))
    return prepared.of_images(found.chosen_of(material.images))


def finish_training(
    training: Training, kept: TrainingOutput, prepared: Prepared, tell: Callable[[Epoch], None]
) -> TrainingHistory:
    """Run what is left of a training; leave its best values in the learner."""
    training.resume()
    if training.left:
        prepared.material.fill()
    try:
        return training.run(tell)
    except NotFinite as error:
        best = training.history.best
        if best is None:
            raise
        write_parts(kept.out, prepared.learner, prepared.facts, kept.licence)
        raise NotFinite(f"{error}; {kept.out} holds epoch {best.number}") from error
    finally:
        training.history.write_all(training.folder)
