"""What parts of several kinds promise alike, each in trials of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from vlmad_conformance.facts import (
    require_close,
    require_equal,
    require_pure,
    require_quick,
    tensors_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Kind = TypeVar("Kind", bound="Trial")


@dataclass(frozen=True)
class Trial:
    """A part and images that it is given; as a text, what images they are."""

    called: ClassVar[str]
    make: Callable[[], Any]
    part: Any
    images: Any
    """In the part's form, with a row for each."""

    def answer(self) -> Any:
        """Return what the part answers, with a row for each image."""
        return self.part(self.images)

    def beside(self) -> tuple[Any, ...]:
        """Return what else it must leave as it is."""
        return ()

    def others(self: Kind) -> Iterable[Kind]:
        """Yield trials of the same part that might change what it answers here."""
        return ()

    def only(self: Kind, rows: Sequence[int]) -> Kind:
        """Return the trial with some of the images."""
        return replace(self, images=self.images[rows])

    def fresh(self: Kind) -> Kind:
        """Return the trial with a part made anew."""
        return replace(self, part=self.make())


def repeats(trial: Trial) -> None:
    """Asked again it gives the same bits, and it leaves what it is given as it is."""
    require_pure(trial.answer, trial.images, *trial.beside(), name=trial.called)


def is_quick(trial: Trial) -> None:
    """It is done soon with a few small images."""
    require_quick(trial.answer, trial.called)


def ignores_order(trial: Trial) -> None:
    """The order of the images changes nothing."""
    order = range(len(trial.images))[::-1]
    turned, known = trial.only([*order]).answer(), trial.answer()[[*order]]
    require_close(turned, known, f"the order of the images changes {trial.called}")


def takes_each_image_alone(trial: Trial) -> None:
    """What it answers for an image depends on no other."""
    together = trial.answer()
    count = len(trial.images)
    for row in sorted({0, count // 2, count - 1} & {*range(count)}):
        alone = trial.only([row]).answer()
        require_close(alone, together[[row]], f"other images change {trial.called}")


def keeps_no_state(trial: Trial) -> None:
    """What it was given before, of whatever size, changes nothing."""
    otherwise = f"what it was given before changes {trial.called}"
    before = trial.answer()
    kept = [tensor.clone() for tensor in tensors_in(before)]
    for other in trial.others():
        require_close(other.answer(), other.fresh().answer(), otherwise)
    require_equal(before, kept, f"{trial.called} writes to what it gave before")
    require_close(trial.answer(), before, otherwise)
