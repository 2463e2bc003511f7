"""A part learns from judged mistakes: tried by folds, kept if it ranks images held out better."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlmad.files import digest, write_atomically
from vlmad.types import Patches
from vlmad_calibration.cuts import as_scores, choose_threshold
from vlmad_calibration.rules import Rule
from vlmad_documents.learned_file import LearnedOn, Learning, write_learned
from vlmad_evaluation.bootstrap import bootstrap_images
from vlmad_review._hard_examples import HardExamples, find_hard_examples
from vlmad_review._keeping import recipe_of
from vlmad_review._material import tracked
from vlmad_review._practice import Pupil
from vlmad_review._proposals import certainty, mostly_mistakes, too_few
from vlmad_review.gains import CONFIDENCE, REPLICATES, gain, interval_of, make_folds
from vlmad_review.review_document import LearnedReview, Lesson, RankingGain

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, Float, Int

    from vlmad_review._material import ReviewMaterial
    from vlmad_review._practice import Practice


@dataclass(frozen=True)
class MistakeTrials:
    """Lets a part of a run's detector learn from reviewed images, all of them or without a fold."""

    material: ReviewMaterial
    practice: Practice

    @cached_property
    def pupil(self) -> Pupil:
        """What learns."""
        assert len(self.as_it_is)  # scored before anything of the detector changes
        assembled = self.material.assembled
        images = [each.path for each in self.material.images]
        return Pupil(assembled.detector, assembled.class_name, images)

    @cached_property
    def called(self) -> Bool[np.ndarray, " n"]:
        """What the run called anomalous; without a threshold, by that of the largest F1."""
        if self.material.called is not None:
            return self.material.called
        anomalous = self.material.anomalous
        if anomalous.all() or not anomalous.any():
            return anomalous
        good, bad = as_scores(self.as_it_is[~anomalous]), as_scores(self.as_it_is[anomalous])
        called: Bool[np.ndarray, " n"] = self.as_it_is >= choose_threshold(good, bad, Rule.f1, None)
        return called

    @cached_property
    def as_it_is(self) -> Float[np.ndarray, " n"]:
        """The scores by the run's own detector."""
        return self.material.score(range(len(self.material.features)))

    @cached_property
    def hard(self) -> HardExamples:
        """Mistakes and their nearest opposites."""
        embeddings = torch.stack([each.image.mean(0) for each in self.material.features])
        truth, count = self.material.anomalous, self.practice.opposites
        return find_hard_examples(embeddings, truth, self.called, count)

    @cached_property
    def not_measured(self) -> str:
        """Why nothing is tried, if so."""
        reason = mostly_mistakes(self.material) or too_few(self.material.truth)
        return reason or ("" if self.hard.opposites else "the run was wrong about none of them")

    @cached_property
    def folds(self) -> Int[np.ndarray, " n"]:
        """The fold of each image, one for all views of a part."""
        folds = make_folds(self.material.truth)
        assert folds is not None
        return self.material.of_views(folds)

    def learn(self, left_out: int | None = None) -> list[float]:
        """Learn anew from all images but those of a fold; return the loss of each epoch."""
        kept = [*range(len(self.material.images))]
        if left_out is not None:
            kept = np.flatnonzero(self.folds != left_out).tolist()
        return self.pupil.learn(kept, self.material.anomalous, self.hard, self.practice)

    def out_of_fold(self) -> Float[np.ndarray, " n"]:
        """Return what each image scores by what was learned without its fold."""
        scores, count = np.full(len(self.folds), np.nan), int(self.folds.max()) + 1
        for fold in tracked(range(count), "learning without a fold", count):
            self.learn(fold)
            inside = np.flatnonzero(self.folds == fold)
            scores[inside] = self.pupil.scores(inside.tolist())
        return scores

    def measure(self) -> RankingGain:
        """Measure what is learned by the ranking of images held out, in paired draws of these."""
        truth, of_parts = self.material.truth, self.material.of_parts
        before, after = (
            bootstrap_images(truth, of_parts(scores), replicates=REPLICATES, seed=0)["image_auroc"]
            for scores in (self.as_it_is, self.out_of_fold())
        )
        return RankingGain(
            folds=int(self.folds.max()) + 1,
            confidence=CONFIDENCE,
            as_it_is=interval_of(before),
            learned=interval_of(after),
            gain=gain(after, before),
        )


def learn_from_mistakes(trials: MistakeTrials, verdicts: Path, out: Path | None) -> LearnedReview:
    """Let a part learn, and keep what ranks images held out better for certain.

    Args:
        trials: on the reviewed images.
        verdicts: the table, whose digest is kept with what was learned.
        out: the file to write; None only measures.

    Raises:
        IncompatiblePartsError: nothing of the detector learns.
        InputError: learning comes to no finite number.
    """
    material, pupil = trials.material, trials.pupil
    measured = None if trials.not_measured else trials.measure()
    lesson = _decide(trials, measured)
    found = LearnedReview(
        run=str(material.run.folder),
        class_name=material.assembled.class_name,
        normal=int((~material.anomalous).sum()),
        anomalous=int(material.anomalous.sum()),
        mistakes=len(trials.hard.opposites),
        hard=len(trials.hard.images),
        kind=pupil.kind,
        part=pupil.name,
        options=asdict(trials.practice),
        measured=measured,
        lesson=lesson,
        losses=trials.learn() if lesson.adopted else [],
        missing_or_changed=list(material.gone),
        left_out=list(material.left_out),
        wrong_lines=list(material.wrong_lines),
        notes=list(material.notes),
    )
    return _keep(trials, found, verdicts, out) if out is not None and lesson.adopted else found


def _decide(trials: MistakeTrials, measured: RankingGain | None) -> Lesson:
    what = f"{trials.pupil.kind} '{trials.pupil.name}' learned anew from all reviewed images"
    if measured is None:
        return Lesson(what=what, adopted=False, why=trials.not_measured)
    adopted, why = certainty(trials.material.truth, measured.gain, "AUROC")
    return Lesson(what=what, adopted=adopted, why=why)


def _keep(trials: MistakeTrials, found: LearnedReview, verdicts: Path, out: Path) -> LearnedReview:
    """Write what was learned and a recipe with it; return what was found with the command."""
    pupil, recipe = trials.pupil, out.with_suffix(".toml")
    write_learned(out, pupil.tensors, _learning(trials, found, verdicts))
    own = {pupil.kind: {"file": str(out.resolve())}}
    write_atomically(recipe, recipe_of(pupil.detector, own))
    words = ["--detector", str(recipe), "--class-name", found.class_name]
    words += ["--resize", str(pupil.detector.resizing)]
    files = [str(out), str(recipe)]
    return found.model_copy(update={"files": files, "use": "vlmad run NEW " + shlex.join(words)})


def _learning(trials: MistakeTrials, found: LearnedReview, verdicts: Path) -> Learning:
    detector, rows = trials.pupil.detector, [each.row for each in trials.material.images]
    images = hashlib.sha256("\n".join(sorted(str(row.sha256) for row in rows)).encode())
    prompts = detector.prompts
    return Learning(
        kind=found.kind,
        part=found.part,
        facts=dict(trials.pupil.part.facts()),
        backbone=LearnedOn.describe(detector.backbone),
        class_token=prompts.class_token(detector.backbone.spec) if prompts else None,
        layers=sorted({each.layer for each in detector.requests() if isinstance(each, Patches)}),
        data={"images": images.hexdigest(), "verdicts": digest(verdicts)},
        options={"from review of": found.run, **found.options},
        licence=trials.pupil.licence,
    )


def told(found: LearnedReview) -> list[str]:
    """Return in words what was found."""
    lines = [
        f"{found.normal} normal and {found.anomalous} anomalous images; the run was wrong about "
        f"{found.mistakes}, with nearest opposites {found.hard} hard images",
    ]
    if found.measured:
        measured = found.measured
        lines += [
            f"image AUROC as it is {measured.as_it_is.text()}, of images held out by what was "
            f"learned without them {measured.learned.text()}",
            f"gain {measured.gain.text('+')} ({measured.folds} folds, {measured.confidence:.0%})",
        ]
    kept = "kept" if found.files else "adopted" if found.lesson.adopted else "not kept"
    lines.append(f"{kept}: {found.lesson.what}: {found.lesson.why}")
    if found.use:
        lines.append(f"use it with: {found.use}")
        lines.append("choose a threshold anew: the scores are others (vlmad calibrate)")
    return lines
