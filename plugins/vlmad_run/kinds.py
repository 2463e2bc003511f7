"""What plugins can bring to a run: engines that open model files, sources of images, clusters.

A plugin brings them by the hooks `register_engines`, `register_sources` and `register_clusters`,
each given ``register(name, factory, summary)``. The name of an engine is the suffix of its files,
that of a source the scheme of its arguments, as in ``s3`` for ``s3://bucket/photos``, or the ending
of files that hold several images, as in ``mp4`` for ``clip.mp4``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from vlmad.types import BackboneSpec, Features, Result
    from vlmad_run.manifest import Manifest
    from vlmad_run.rows import ScoreRow


class Runnable(Protocol):
    """What ``vlmad run`` needs of a detector, whatever computes it."""

    @property
    def class_name(self) -> str:
        """What the images show."""

    @property
    def notes(self) -> Sequence[str]:
        """What was chosen for the user, to be printed."""

    @property
    def together(self) -> bool:
        """Whether the score of an image depends on the others."""

    def describe(
        self, images: Iterable[Path] | None = None, threshold: float | None = None
    ) -> Manifest:
        """Return what it is; two of one identity give the same scores."""

    def stream(self, images: Sequence[Path], batch_size: int) -> Iterator[Result]:
        """Yield a result for each image, in order; unreadable ones become results too."""


@runtime_checkable
class HasProducts(Protocol):
    """A `Runnable` of several products, of which it picks one for each image."""

    @property
    def class_name(self) -> str:
        """The names of all."""

    def only(self, name: str) -> Runnable:
        """Return the detector of one product.

        Raises:
            InputError: there is none of that name.
        """


@runtime_checkable
class JudgesMemory(Protocol):
    """A scorer that can tell a memory of its own from another, such as that of a damaged file."""

    def refuses_memory(self, memory: Mapping[str, Tensor], spec: BackboneSpec) -> str | None:
        """Return what no `fit` on features of that backbone gives: of names, types, shapes, values.

        None if it could be one.
        """


@runtime_checkable
class AddsReferences(Protocol):
    """A scorer that adds more references to a memory without those that it was fitted on."""

    adds_exactly: bool
    """Whether that is what fitting all at once gives; if not, such as of coresets, near to it."""

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return one memory for the references of two."""


@runtime_checkable
class LearnsMisses(Protocol):
    """A scorer whose memory can also hold what is to be scored higher."""

    learns_misses: bool
    """Whether it does."""

    def learn_miss(self, memory: Mapping[str, Tensor], miss: Features) -> Mapping[str, Tensor]:
        """Return a memory by which what resembles an anomalous image, in pieces, scores higher."""


@runtime_checkable
class TellsOddReferences(Protocol):
    """A scorer by which a reference with a defect stands out when the others judge it."""

    odd_reference: float
    """How many times the median of the others a good one of four exceeds one time in twenty.

    `examples/few_references.py --exchange` measures it; without it all references are kept.
    """


@runtime_checkable
class LooksCloser(Protocol):
    """A scorer that sees more of some references at other levels (`vlmad_run.closer_looks`)."""

    def closer_levels(
        self, memory: Mapping[str, Tensor], spec: BackboneSpec, references: int
    ) -> tuple[str, ...]:
        """Return these levels by what it remembers of so many references; none to leave it so."""


class Engine(Protocol):
    """Makes a detector of a model file, for ``--model FILE``."""

    def __call__(self, path: Path, options: Mapping[str, Mapping[str, Any]]) -> Runnable:
        """Open a file; `options` are those of ``--set``, by kind.

        Raises:
            VlmadError: the file is damaged, or an option is not to be had.
        """


class ImageFinder(Protocol):
    """Finds the images that an argument ``scheme://…`` names, or a file that holds several."""

    def __call__(self, argument: str) -> Iterable[Path]:
        """Return files on this machine, such as ones that it has fetched.

        The name of a file may be followed by ``#`` and what is asked of it. What is returned may
        have `notes`, texts that are printed, and `left`, pairs of what was passed over and why
        (`vlmad_run.passed_over.Reason`). One whose images are no files of this machine names them
        too (`vlmad_run.remote_images.NamesImages`).

        Raises:
            InputError: the argument names nothing.
        """


class Cluster(Protocol):
    """Scores images on several machines, for ``--engine NAME``."""

    def kept(self, folder: Path) -> Iterable[ScoreRow]:
        """Return rows that machines wrote before they, or the command, were stopped."""

    def score(
        self, folder: Path, images: Sequence[Path], batch_size: int, astray: Collection[Path]
    ) -> Iterator[Sequence[ScoreRow]]:
        """Score images into a run folder; yield their rows, each once, when their maps are there.

        Args:
            folder: its manifest says what scores them (`vlmad_run.repeating.repeat`).
            images: as they are named from the folder of the manifest.
            batch_size: images that are encoded together.
            astray: folders of images that are not there on this machine either.

        Raises:
            VlmadError: a machine cannot score them, or would score them otherwise.
        """


@runtime_checkable
class SpreadsWork(Protocol):
    """A cluster that also does other work than scoring the images of a run."""

    def spread(self, work: Callable[[str], None], items: Sequence[str]) -> Iterator[str]:
        """Call a function for each item, once, on some machine; yield each item that is done.

        Args:
            work: it can be pickled; each of some processes gets one copy for many items.
            items: such as categories of a bench.

        Raises:
            VlmadError: of the function, with the name of the machine, or of the cluster.
        """


@runtime_checkable
class Resembling(Protocol):
    """What a reader of data sets may also tell, of a folder that none recognises."""

    def lacks(self, root: Path) -> str | None:
        """Return in words what a folder lacks that resembles its layout; None if it does not."""


def engine_for(path: Path) -> Engine:
    """Return what opens files of this suffix.

    Raises:
        InputError: nothing does.
    """
    engine: Engine | None = _find("engine", path.suffix.removeprefix(".").lower())
    if engine is None:
        raise InputError(f"--model {path}: nothing installed opens files of type '{path.suffix}'")
    return engine


def finder_for(argument: str) -> ImageFinder | None:
    """Return what finds the images of an argument, or None if it is a path on this machine."""
    scheme, mark, _ = argument.partition("://")
    return _find("source", scheme) if mark else None


def finder_by_ending(path: Path) -> ImageFinder | None:
    """Return what finds the images that a file holds, or None if it is none that holds several."""
    return _find("source", path.suffix.lower()[1:]) if path.suffix else None


def cluster_for(text: str) -> Cluster:
    """Return a cluster by its name and options, such as ``ray:workers=4,gpus=0.5``.

    Raises:
        UnknownPartError: there is none of that name.
        OptionError: it has no such option, or it takes other values.
    """
    from vlmad.options import check_options, options_of
    from vlmad.registry import installed

    name, _, settings = text.partition(":")
    found = installed().get("cluster", name)
    given = dict(each.partition("=")[::2] for each in settings.split(",") if each)
    factory = found.resolve()
    cluster: Cluster = factory(**check_options(str(found), options_of(factory, found), given))
    return cluster


def _find(kind: str, name: str) -> Any:
    from vlmad.registry import installed

    registry = installed()
    return registry.get(kind, name).resolve() if name in registry.names(kind) else None
