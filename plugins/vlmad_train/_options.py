"""The options of ``vlmad train`` beside those that choose the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vlmad.errors import InputError

if TYPE_CHECKING:
    from vlmad_train.objectives import Weights
    from vlmad_train.schedule import Schedule


def _option(panel: str, *names: str, help: str, **settings: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


FROM, HOW, KEPT = "From which images", "How it learns", "What is kept"

USUAL = {"": (15, 1e-3), "spd": (3, 1e-4)}
"""Epochs and rate by loss: adapters that learn more find the drawn pieces alone (docs/log.md)."""


@dataclass(frozen=True, slots=True)
class TrainingSource:
    """Which images are learned from, as the command line has it."""

    dataset: Annotated[
        str | None, _option(FROM, help="The reader; by default the one that recognises the data.")
    ] = None
    category: Annotated[list[str] | None, typer.Option(help="Only this category; repeatable.")] = (
        None
    )
    split: Annotated[
        Literal["train", "validation", "test"],
        _option(FROM, help="Which images; test has the masks. Test on another data set then."),
    ] = "test"
    synthesise: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,…",
            help="Draw defects of these kinds, or all, on good images, and learn from those: the "
            "images for training of a data set, or a folder.",
        ),
    ] = None
    drawings: Annotated[
        int, _option(FROM, min=1, help="How often each good image is drawn with, and without.")
    ] = 1
    held_out: Annotated[
        list[str] | None,
        _option(
            FROM,
            metavar="CATEGORY",
            help="Judge epochs by it, not learn from it; repeatable; none for none. By default a "
            "fifth of three or more categories, drawn by the seed.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """How is learned, as the command line has it; the defaults are AnomalyCLIP's."""

    learn: Annotated[
        list[str] | None,
        _option(HOW, metavar="KIND", help="Only parts of this kind; by default all that can."),
    ] = None
    loss: Annotated[
        str | None,
        _option(
            HOW,
            help="anomalyclip, april-gan, image, windows, score or spd; by default what fits.",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="How often all images are looked at; by default 15, in spd 3."),
    ] = None
    batch_size: Annotated[int, _option(HOW, min=1, help="Images in each step.")] = 8
    rate: Annotated[
        float | None,
        _option(HOW, "--learning-rate", help="Of each step; by default 1e-3, in spd 1e-4."),
    ] = None
    decay: Annotated[
        Literal["none", "cosine", "steps"],
        _option(HOW, help="How the rate falls; steps: to a fifth after 80 and 90 % of epochs."),
    ] = "none"
    warm_up: Annotated[int, _option(HOW, min=0, help="So many first epochs at a rate of 1e-5.")] = 0
    optimizer: Annotated[Literal["adam", "sgd"], _option(HOW, help="What takes the steps.")] = (
        "adam"
    )
    beta1: Annotated[float, _option(HOW, min=0, max=1, help="Adam's memory of gradients.")] = 0.5
    beta2: Annotated[float, _option(HOW, min=0, max=1, help="And of their squares.")] = 0.999
    momentum: Annotated[float, _option(HOW, min=0, max=1, help="Of sgd.")] = 0.9
    weight_decay: Annotated[
        float, _option(HOW, min=0, help="How strongly numbers are drawn towards 0.")
    ] = 0.0
    temperature: Annotated[
        float | None, _option(HOW, help="Of the softmax over both sides; by default the scorer's.")
    ] = None
    map_weight: Annotated[
        float, _option(HOW, help="Of focal and dice loss beside the image's.")
    ] = 4.0
    focal_gamma: Annotated[float, _option(HOW, min=0, help="Of the focal loss.")] = 2.0
    window_weight: Annotated[
        float, _option(HOW, help="Of the windows' loss beside the image's.")
    ] = 0.1
    window_label: Annotated[
        str,
        _option(
            HOW,
            help="A window's label: share, of its defective pixels, or a number, above which that "
            "share makes it defective.",
        ),
    ] = "share"
    repel: Annotated[
        float, _option(HOW, min=0, help="Of parting where defects are drawn, in the loss spd.")
    ] = 0.1
    curve: Annotated[
        str | None,
        _option(
            HOW,
            metavar="N,…",
            help="Learn from so many categories, each more with those before, and compare.",
        ),
    ] = None
    seed: Annotated[int, _option(HOW, min=0, metavar="N", help="Of all that is drawn.")] = 0

    def suiting(self, loss: str) -> LearningOptions:
        """Return the same with what was left out as it suits a loss."""
        epochs, rate = USUAL.get(loss, USUAL[""])
        return replace(
            self,
            epochs=epochs if self.epochs is None else self.epochs,
            rate=rate if self.rate is None else self.rate,
        )

    def weights(self, scorers: float) -> Weights:
        """Return how the terms of the loss are weighted; `scorers` is the scorer's temperature.

        Raises:
            InputError: a number is none that works.
        """
        from vlmad_train.objectives import Weights

        temperature = scorers if self.temperature is None else self.temperature
        if not (temperature > 0 and min(self.map_weight, self.window_weight) >= 0):
            raise InputError("--temperature, --map-weight, --window-weight take positive numbers")
        return Weights(
            temperature,
            self.map_weight,
            self.window_weight,
            self._threshold(),
            self.focal_gamma,
            self.repel,
        )

    def schedule(self) -> Schedule:
        """Return how long and how fast is learned, of options that suit their loss.

        Raises:
            InputError: a number is none that works.
        """
        from vlmad_train.schedule import Schedule

        assert self.epochs is not None
        assert self.rate is not None
        memories = (self.beta1, self.beta2, self.momentum)
        if not 0 < self.rate < float("inf") or not max(memories) < 1:
            raise InputError(
                "--learning-rate takes a positive number, --beta1, --beta2 and --momentum "
                "0 to below 1"
            )
        if self.warm_up >= self.epochs:
            raise InputError(f"--warm-up takes fewer than the {self.epochs} of --epochs")
        return Schedule(
            self.epochs,
            self.batch_size,
            self.rate,
            (self.beta1, self.beta2),
            self.seed,
            self.optimizer,
            self.momentum,
            self.weight_decay,
            self.decay,
            self.warm_up,
        )

    def counts(self) -> list[int]:
        """Return of how many categories the points of a curve are; none without one.

        Raises:
            InputError: these are no whole numbers from 1.
        """
        words = [] if self.curve is None else self.curve.split(",")
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            raise InputError(f"--curve takes whole numbers from 1, as 1,2,4; not '{self.curve}'")
        return sorted({int(word) for word in words})

    def _threshold(self) -> float | None:
        if self.window_label == "share":
            return None
        try:
            share = float(self.window_label)
        except ValueError:
            share = -1.0
        if not 0 <= share < 1:
            raise InputError(
                f"--window-label takes share, or a number from 0 to below 1, not "
                f"'{self.window_label}'"
            )
        return share


@dataclass(frozen=True, slots=True)
class TrainingOutput:
    """What is written where, as the command line has it."""

    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path(
        "learned.safetensors"
    )
    licence: Annotated[
        str, _option(KEPT, metavar="WORDS", help="Of what was learned, as the file is to say.")
    ] = "unknown"
    disk: Annotated[
        float,
        _option(KEPT, min=0, help="Gigabytes that features may take; 0 encodes in every epoch."),
    ] = 20.0
    keep_features: Annotated[
        bool, _option(KEPT, "--keep-features", help="Leave the features when all is done.")
    ] = False

    @property
    def folder(self) -> Path:
        """Where the state of the training is."""
        return self.out.with_name(f"{self.out.stem}-training")
