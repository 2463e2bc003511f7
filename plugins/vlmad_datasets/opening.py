"""Opening a data set: a folder finds its reader, and what the reader gives is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.datasets import LABELS, SPLITS, Contents, Dataset, Problem, Sample, Split
from vlmad.errors import InputError, OptionError, PluginError, VlmadError, blaming, did_you_mean
from vlmad.options import REQUIRED, check_options, options_of
from vlmad.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vlmad.registry import Registration


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A data set that was read: its samples, and the problems met while reading."""

    name: str
    root: Path
    reader: Dataset
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, in the order of the samples."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    def class_name(self, category: str) -> str:
        """Return what prompts call the object of a category."""
        return self.reader.class_name(category)

    def select(
        self, categories: Iterable[str] | None = None, split: Split | None = None
    ) -> tuple[Sample, ...]:
        """Return the samples of some categories (None or none: all) and one split (or all).

        Raises:
            InputError: a category does not exist; the nearest are named.
        """
        wanted = set(categories or self.categories)
        for category in sorted(wanted - set(self.categories)):
            hint = did_you_mean(category, self.categories)
            raise InputError(f"{self.root} has no category '{category}'; {hint}")
        return tuple(
            sample
            for sample in self.samples
            if sample.category in wanted and split in (None, sample.split)
        )


def open_dataset(
    path: str | Path,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
) -> OpenDataset:
    """Read a data set with the reader of that name, or with the one that recognises it.

    Args:
        path: a folder, or the file of a table.
        name: a reader, as `vlmad plugins` lists them.
        options: the reader's, as texts or values.
        registry: what is installed; by default it is searched for.

    Raises:
        InputError: no reader, or several, recognise it; or it holds no samples.
        UnknownPartError: no reader has that name.
        OptionError: the reader has no such option, or it takes other values.
        PluginError: the reader breaks its contract.
    """
    root = Path(path)
    _check_root(root)
    registry = registry or Registry.discover()
    found = registry.get("dataset", name) if name else _recognise(root, registry)
    reader = _make(found, root, options or {})
    contents = _blame(found, reader.read)
    if not (isinstance(contents, Contents) and isinstance(contents.samples, tuple | list)):
        raise PluginError(f"dataset '{found.name}' of {found.origin} gave no vlmad.Contents")
    if not contents.samples:
        first = f"; {contents.problems[0]}" if contents.problems else ""
        raise InputError(f"{root} holds no samples for the reader '{found.name}'{first}")
    _check_samples(found, contents.samples)
    return OpenDataset(found.name, root, reader, contents.samples, contents.problems)


def _check_root(root: Path) -> None:
    """Refuse, with the true reason, what no reader could open."""
    try:
        if root.is_dir():
            next(root.iterdir(), None)
        else:
            root.stat()
    except FileNotFoundError:
        raise InputError(f"{root}: no such file or folder") from None
    except OSError as error:
        raise InputError(f"{root}: {error.strerror or error}") from error


def _recognise(root: Path, registry: Registry) -> Registration:
    candidates = [r for r in registry.of_kind("dataset") if _claims(r, root)]
    if not candidates:
        known = ", ".join(registry.names("dataset")) or "none"
        raise InputError(f"no reader recognises {root}; name one with --dataset: {known}")
    if len(candidates) > 1:
        names = " or ".join(f"{r.distribution}:{r.name}" for r in candidates)
        raise InputError(f"{root} could be read by several; choose with --dataset: {names}")
    return candidates[0]


def _claims(registration: Registration, root: Path) -> bool:
    """Ask a reader whether it knows the layout; one that fails to answer does not."""
    try:
        reader = registration.resolve()
        with blaming(f"{registration} failed"):
            return bool(reader.recognises(root))
    except VlmadError:
        return False  # a broken reader must not stop the ones that work


def _make(found: Registration, root: Path, given: Mapping[str, Any]) -> Dataset:
    factory = found.resolve()
    options = {n: o for n, o in options_of(factory, found).items() if n != "root"}
    checked = check_options(f"dataset '{found.name}'", options, given)
    for name, option in options.items():
        if option.default is REQUIRED and name not in checked:
            raise OptionError(
                f"dataset '{found.name}' needs option '{name}': --set dataset.{name}=…"
            )
    reader: Dataset = _blame(found, lambda: factory(root, **checked))
    return reader


def _blame(found: Registration, action: Callable[[], Any]) -> Any:
    """Run a plugin's code and name the plugin where it fails."""
    try:
        with blaming(f"{found} failed"):
            return action()
    except PluginError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        # a folder that may not be listed, for one
        raise InputError(f"{cause.filename or found.name}: {cause.strerror or cause}") from cause


def _check_samples(found: Registration, samples: tuple[Sample, ...]) -> None:
    for sample in samples:
        if not isinstance(sample, Sample):
            wrong = f"a {type(sample).__name__}, not a vlmad.Sample"
        elif not isinstance(sample.image, Path) or not isinstance(sample.mask, Path | None):
            wrong = f"an image or mask that is no pathlib.Path: {sample.image!r}, {sample.mask!r}"
        elif sample.label not in LABELS:
            wrong = f"the label {sample.label!r}, not {' or '.join(LABELS)}"
        elif sample.split not in SPLITS:
            wrong = f"the split {sample.split!r}, not {' or '.join(SPLITS)}"
        else:
            continue
        raise PluginError(f"dataset '{found.name}' of {found.origin} gave {wrong}")
