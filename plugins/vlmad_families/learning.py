"""Learning in `fit`: epochs of gradient descent on networks of a scorer's own, from good images.

What a family brings is a `FitLesson`: its networks, and for each step the terms of a loss.
Schedule, history and pictures are those of `vlmad train`.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median_low
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad.loading import chunks
from vlmad.watching import note, track
from vlmad_documents.documents import Document
from vlmad_run.learning_in_fit import LEARNED, LearnedInFit, NotLearned, circumstances
from vlmad_synthesis.synthetic import seeded
from vlmad_train.history import Epoch, Losses, TrainingHistory
from vlmad_train.training import shuffled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from torch import Tensor, nn

    from vlmad_train.schedule import Schedule

CHECKPOINT, DOCUMENT = "checkpoint.safetensors", "vlmad"
LEAST_DRAWN = 64
"""Images of an epoch: fewer are looked at several times."""
SPARING = 20
"""How many times as long as keeping its state took is learned before it is kept again."""
ASLEEP, AT_LEAST = 10, 10.0
"""A step of so many times the usual, and so many seconds, is one in which the machine slept."""


class FitLesson(Protocol):
    """What is learned."""

    networks: Mapping[str, nn.Module]
    """Each has an optimiser of its own."""

    def steps(
        self, rows: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield the networks that take a step, one after the other, and the terms of their loss.

        Args:
            rows: the numbers of the images of this step.
            rng: where all chance comes from.
        """


class FitState(Document):
    """What a checkpoint says beside its tensors."""

    format: Literal["vlmad fit state 1"] = "vlmad fit state 1"
    digest: str
    planned: int
    history: TrainingHistory


def awake(steps: Sequence[float]) -> float:
    """Return the seconds that steps took, less those that the machine slept in one of them."""
    longest = max(AT_LEAST, ASLEEP * median_low(steps))
    return sum(min(each, longest) for each in steps)


@dataclass(frozen=True, slots=True)
class Course:
    """How is learned."""

    part: str
    """What learns, for messages."""
    schedule: Schedule
    minutes: float
    """After which it ends, its rates having fallen as they would at its end."""
    digest: str
    """Of all that the outcome depends on."""


def digest_of(options: Sequence[object], tensors: Sequence[Tensor]) -> str:
    """Return a digest of options that show themselves whole, and of what is learned from."""
    words = repr(options) + torch.__version__
    total = hashlib.sha256(words.encode())
    for tensor in tensors:
        total.update(repr(tuple(tensor.shape)).encode())
        total.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return total.hexdigest()


class FitTraining:
    """A training that goes on where the same one was stopped.

    Args:
        lesson: what is learned; its networks change.
        count: how many images there are.
        course: how.
    """

    def __init__(self, lesson: FitLesson, count: int, course: Course) -> None:
        self.lesson, self.count, self.course = lesson, count, course
        around = circumstances()
        self.folder = None if around.folder is None else around.folder / course.digest[:16]
        self.most_steps = around.most_steps
        self._most = course.schedule.epochs if self.most_steps is None else 1
        self.planned = self._most
        self.history = TrainingHistory()
        self._optimizers = {
            name: course.schedule.descent(network.parameters())
            for name, network in lesson.networks.items()
        }
        self._saved, self._saving = time.perf_counter(), 0.0

    @torch.inference_mode(False)
    @torch.enable_grad()
    def run(self) -> TrainingHistory:
        """Learn; afterwards the networks are ready to be asked.

        Raises:
            NotLearned: the loss is no number any more.
            InputError: the state of a stopped training is damaged.
        """
        self._resume()
        for network in self.lesson.networks.values():
            network.train()
        for number in track(self._numbers(), f"learning {self.course.part}", self.planned):
            self.history = self.history.with_epoch(self._epoch(number))
            self._plan(number)
            since = time.perf_counter() - self._saved
            if since > SPARING * self._saving and number < self.planned:
                self._save()
        for network in self.lesson.networks.values():
            network.eval().requires_grad_(False)
        self._finish()
        return self.history

    def _numbers(self) -> Iterator[int]:
        while len(self.history.epochs) < self.planned:
            yield len(self.history.epochs) + 1

    @property
    def seconds(self) -> float:
        """How long was learned so far."""
        return sum(epoch.seconds for epoch in self.history.epochs)

    def _plan(self, number: int) -> None:
        """Plan as many epochs as the time that is left allows; the first is slow, others may be."""
        times = [epoch.seconds for epoch in self.history.epochs]
        left = self.course.minutes * 60 - self.seconds
        affordable = number + max(0, int(left / median_low(times)))
        if number > 1 or affordable == 1:
            self.planned = min(self._most, affordable)

    def _epoch(self, number: int) -> Epoch:
        seconds, seed = list[float](), self.course.schedule.seed
        rate = _rates(replace(self.course.schedule, epochs=self.planned))[number - 1]
        rng, terms = seeded(seed, "epoch", number), dict[str, float]()
        times = -(-LEAST_DRAWN // self.count) if self.most_steps is None else 1
        rows = [*range(self.count)] * times
        groups = list(chunks(shuffled(rows, seed)(number), self.course.schedule.batch))
        if len(groups) > 1 and len(groups[-1]) == 1:  # of which batch norm would know no spread
            groups[-2:] = [[*groups[-2], *groups[-1]]]
        groups = groups[: self.most_steps]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((seed << 20) + number)
            for group in groups:
                started = time.perf_counter()
                for name, value in self._step(group, rng, rate, number):
                    terms[name] = terms.get(name, 0.0) + value / len(groups)
                seconds.append(time.perf_counter() - started)
        losses = Losses(loss=sum(terms.values()), terms=terms)
        return Epoch(number=number, training=losses, held_out=None, seconds=awake(seconds))

    def _step(
        self, group: Sequence[int], rng: np.random.Generator, rate: float, number: int
    ) -> Iterator[tuple[str, float]]:
        for name, terms in self.lesson.steps(group, rng):
            loss = torch.stack([*terms.values()]).sum()
            self._check(loss, number)
            optimizer = self._optimizers[name]
            for own in optimizer.param_groups:
                own["lr"] = rate
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield from ((term, float(value.detach())) for term, value in terms.items())

    def _check(self, value: Tensor, number: int) -> None:
        if not torch.isfinite(value.detach()):
            lower = self.course.schedule.rate / 10
            raise NotLearned(
                f"{self.course.part}: the loss in epoch {number} is not a finite number; learn "
                f"with a lower rate: --set scorer.rate={lower:g}"
            )

    def _finish(self) -> None:
        asked, done = self.course.schedule.epochs, len(self.history.epochs)
        for network in self.lesson.networks.values():
            for value in network.state_dict().values():
                self._check(value.double().sum(), done)
        if self.most_steps is not None:
            return
        if done < asked:
            part, minutes = self.course.part, self.course.minutes
            note(f"{part} learned for {done} of {asked} epochs in its {minutes:g} minutes")
        if self.folder is not None and not (self.folder / LEARNED).exists():
            self._save(finished=True)
            self.history.write_all(self.folder)
            facts = LearnedInFit(
                part=self.course.part, epochs=done, planned=asked, seconds=self.seconds
            )
            facts.write(self.folder / LEARNED)

    def _save(self, finished: bool = False) -> None:
        """Write networks, and unless all is done what their optimisers remember."""
        if self.folder is None or self.most_steps is not None:
            return
        started = time.perf_counter()
        kept = {
            f"network.{name}.{key}": value
            for name, network in self.lesson.networks.items()
            for key, value in network.state_dict().items()
        }
        for name, optimizer in {} if finished else self._optimizers.items():
            for index, memory in optimizer.state_dict()["state"].items():
                kept |= {f"optimizer.{name}.{index}.{m}": t for m, t in memory.items()}
        state = FitState(digest=self.course.digest, planned=self.planned, history=self.history)
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}
        text = state.to_json(None).decode()
        write_atomically(self.folder / CHECKPOINT, save(plain, {DOCUMENT: text}))
        self._saved = time.perf_counter()
        self._saving = self._saved - started

    def _resume(self) -> None:
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is None or not path.exists() or self.most_steps is not None:
            return
        try:
            with safe_open(path, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                state = FitState.parse((file.metadata() or {})[DOCUMENT], path)
            if state.digest == self.course.digest:
                self._restore(found)
                self.planned, self.history = state.planned, state.history
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, InputError) as error:
            raise InputError(f"{path} is damaged: {error}; delete it to begin anew") from error

    def _restore(self, found: Mapping[str, Tensor]) -> None:
        for name, network in self.lesson.networks.items():
            network.load_state_dict(_below(f"network.{name}.", found))
            memory: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(f"optimizer.{name}.", found).items():
                index, moment = key.split(".")
                memory.setdefault(int(index), {})[moment] = tensor
            optimizer = self._optimizers[name]
            optimizer.load_state_dict({**optimizer.state_dict(), "state": memory})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t.clone() for k, t in tensors.items() if k.startswith(prefix)}


@lru_cache(maxsize=8)
def _rates(schedule: Schedule) -> list[float]:
    return schedule.rates()
