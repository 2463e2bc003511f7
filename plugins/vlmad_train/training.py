"""Epochs of gradient descent on tensors of parts, with the state on disk after each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad.loading import chunks
from vlmad.watching import track
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_train.history import Epoch, Losses, TrainingHistory
from vlmad_train.objectives import LOSSES, Considered, Weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from vlmad_train._frozen import Drawn, FrozenImages
    from vlmad_train._learner import Learner
    from vlmad_train.schedule import Schedule

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history"
MEMORY = "optimizer."
"""Before the number of a tensor and the name of what the optimiser remembers of it."""
Order: TypeAlias = Callable[[int], Sequence[int]]
"""From the number of an epoch, from 1, to the images that it looks at, in turn."""


class NotFinite(InputError):
    """A loss or a tensor that is no number any more."""


class Training:
    """Learns the tensors of a learner, and keeps the state of the last whole epoch.

    Args:
        learner: the parts; its tensors change.
        material: the images, by their numbers.
        rows: the numbers of those to learn from.
        held_out: of those to judge each epoch by.
        loss: the name of the loss.
        weights: how its terms are weighted.
        schedule: how long and how fast.
        folder: where the state is kept.
        order: which images each epoch looks at; by default all of `rows`, shuffled by the seed.
    """

    def __init__(
        self,
        learner: Learner,
        material: FrozenImages,
        rows: Sequence[int],
        held_out: Sequence[int],
        loss: str,
        weights: Weights,
        schedule: Schedule,
        folder: Path,
        order: Order | None = None,
    ) -> None:
        self.learner, self.material, self.held_out = learner, material, held_out
        self.loss, self.weights, self.schedule = LOSSES[loss], weights, schedule
        self.folder, self.history = folder, TrainingHistory()
        self.order = order or shuffled(rows, schedule.seed)
        learner.start([material.images[row].class_name for row in (*rows, *held_out)])
        self.best = {name: t.detach().clone() for name, t in learner.tensors.items()}
        self._optimizer = schedule.descent(learner.tensors.values())
        self._rates = schedule.rates()

    @property
    def left(self) -> int:
        """How many epochs there are still to learn."""
        return self.schedule.epochs - len(self.history.epochs)

    def run(self, tell: Callable[[Epoch], None]) -> TrainingHistory:
        """Learn all epochs that are left, and load the best; `tell` is told of each.

        Raises:
            NotFinite: the loss is no number any more; the best epoch before is loaded.
        """
        try:
            for number in range(self.schedule.epochs - self.left + 1, self.schedule.epochs + 1):
                epoch = self._epoch(number)
                self.history = self.history.with_epoch(epoch)
                if self.history.best is epoch:
                    self.best = {n: t.detach().clone() for n, t in self.learner.tensors.items()}
                self._save()
                tell(epoch)
        finally:
            self.learner.load(self.best)
            self.learner.forget()
        return self.history

    def resume(self) -> bool:
        """Go on from the state in the folder, if there is one; return whether there is.

        Raises:
            InputError: it is damaged.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                history = (file.metadata() or {})[HISTORY]
            self._restore(found)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise InputError(f"{path} is damaged: {error}; delete it to begin anew") from error
        self.history = TrainingHistory.parse(history, path)
        return True

    def _restore(self, found: dict[str, Tensor]) -> None:
        self.learner.load({name: found[f"now.{name}"] for name in self.learner.tensors})
        self.best = {name: found[f"best.{name}"].clone() for name in self.learner.tensors}
        memory: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in found.items():
            if name.startswith(MEMORY):
                index, moment = name.removeprefix(MEMORY).split(".")
                memory[int(index)][moment] = tensor
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": memory})

    def _save(self) -> None:
        kept = {f"now.{name}": tensor for name, tensor in self.learner.tensors.items()}
        kept |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, memory in self._optimizer.state_dict()["state"].items():
            kept |= {f"{MEMORY}{index}.{moment}": tensor for moment, tensor in memory.items()}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}
        history = self.history.to_json(None).decode()
        write_atomically(self.folder / CHECKPOINT, save(plain, {HISTORY: history}))

    def _epoch(self, number: int) -> Epoch:
        started = time.perf_counter()
        with _seeded(self.schedule.seed, number):
            training = self._learn(number)
        self.learner.forget()
        held_out = self._judge() if self.held_out else None
        for name, tensor in self.learner.tensors.items():
            _check_finite(tensor.detach().sum(), f"'{name}' after epoch {number}")
        return Epoch(
            number=number,
            training=training,
            held_out=held_out,
            seconds=time.perf_counter() - started,
        )

    def _learn(self, number: int) -> Losses:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[number - 1]
        groups = list(chunks(self.order(number), self.schedule.batch))
        sums = _Means()
        for drawn in track(self.material.steps(groups), "learning", len(groups)):
            terms = self.gradients(drawn, f"the loss in epoch {number}")
            self._optimizer.step()
            sums.add(terms, len(drawn.images))
        return sums.losses()

    def gradients(self, drawn: Drawn, what: str = "the loss") -> dict[str, Tensor]:
        """Compute the gradients of the loss of some images, and return its terms.

        Raises:
            NotFinite: the loss, which messages call `what`, is no number.
        """
        terms = self.loss(self._judged(drawn), self.weights)
        loss = torch.stack([*terms.values()]).sum()
        _check_finite(loss.detach(), what)
        self._optimizer.zero_grad()
        loss.backward()
        return terms

    @torch.no_grad()
    def _judge(self) -> Losses:
        """Return the loss of the images held out, and how well their scores tell them apart."""
        sums, scores, labels = _Means(), [], []
        for drawn in self.material.steps(chunks(self.held_out, self.schedule.batch)):
            judged = self._judged(drawn)
            sums.add(self.loss(judged, self.weights), len(drawn.images))
            if self.learner.judges:
                scores += judged.predict().score.tolist()
                labels += [image.anomalous for image in drawn.images]
        losses = sums.losses()
        _check_finite(torch.tensor([losses.loss, *scores]).sum(), "the loss on what is held out")
        auroc = image_metrics(labels, scores)["image_auroc"].value if scores else None
        return losses.model_copy(update={"auroc": auroc})

    def _judged(self, drawn: Drawn) -> Considered:
        features = self.learner.features(drawn.frozen)
        text = self.learner.text(drawn.names, features)

        def predict():  # type: ignore[no-untyped-def]  # the scorer's own
            return self.learner.predict(features, text)

        return Considered(features, text, predict, drawn.labels, drawn.masks, drawn.known)


def shuffled(rows: Sequence[int], seed: int) -> Order:
    """Return an order that each epoch draws anew, by the seed and its number alone."""

    def order(epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed((seed << 20) + epoch)
        return [rows[place] for place in torch.randperm(len(rows), generator=generator).tolist()]

    return order


def shuffled_pairs(pairs: Sequence[Sequence[int]], seed: int) -> Order:
    """Return such an order of pairs, whose two follow each other."""
    places = shuffled(range(len(pairs)), seed)
    return lambda epoch: [row for place in places(epoch) for row in pairs[place]]


class _Means:
    """Terms, as means over images."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0

    def add(self, terms: dict[str, Tensor], count: int) -> None:
        self._count += count
        for name, value in terms.items():
            self._sums[name] += float(value.detach()) * count

    def losses(self) -> Losses:
        terms = {name: total / self._count for name, total in self._sums.items()}
        return Losses(loss=sum(terms.values()), terms=terms)


def _check_finite(value: Tensor, what: str) -> None:
    if not torch.isfinite(value):
        raise NotFinite(
            f"{what} is not a finite number; begin anew with a lower --learning-rate, and look "
            "at the images with: vlmad data"
        )


@contextmanager
def _seeded(seed: int, epoch: int) -> Iterator[None]:
    """Draw what parts draw, such as dropout, by the seed; leave the process's own state alone."""
    with torch.random.fork_rng():
        torch.manual_seed((seed << 20) + epoch)
        yield
