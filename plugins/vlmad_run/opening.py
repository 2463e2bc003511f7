"""Opening a data set: a folder finds its reader, and what the reader gives is checked."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.datasets import LABELS, SPLITS, Contents, Dataset, Problem, Sample, Split
from vlmad.errors import InputError, OptionError, PluginError, VlmadError, blaming, did_you_mean
from vlmad.options import REQUIRED, check_options, options_of
from vlmad.registry import installed
from vlmad_run.unrecognised import why_unrecognised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vlmad.plugin import Registration
    from vlmad.registry import Registry


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

    @property
    def wrong_lines(self) -> tuple[Problem, ...]:
        """Lines of the table that it is which are left out; a folder has none."""
        wrong = (p for p in self.problems if p.path == self.root and p.severity == "warning")
        return tuple(wrong) if self.root.is_file() else ()

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
        chosen = set(categories or self.categories)
        for category in sorted(chosen - set(self.categories)):
            hint = did_you_mean(category, self.categories)
            raise InputError(f"{self.root} has no category '{category}'; {hint}")
        return tuple(s for s in self.samples if s.category in chosen and split in (None, s.split))


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
    registry = registry or installed()
    found = registry.get("dataset", name) if name else _recognise(root, registry)
    factory, checked = found.resolve(), _check_options(found, options or {})
    with _blaming(found):
        reader: Dataset = factory(root, **checked)
        contents = reader.read()
    _check(found, contents)
    if not contents.samples:
        first = f"; {contents.problems[0]}" if contents.problems else ""
        raise InputError(f"{root} holds no samples for the reader '{found.name}'{first}")
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


def recognising(root: Path, registry: Registry) -> list[Registration]:
    """Return the readers that recognise a folder or file."""
    candidates = []
    for found in registry.of_kind("dataset"):
        with suppress(VlmadError):  # a broken reader must not stop the ones that work
            reader = found.resolve()
            with blaming(f"{found} failed"):
                candidates += [found] if reader.recognises(root) else []
    return candidates


def _recognise(root: Path, registry: Registry) -> Registration:
    candidates = recognising(root, registry)
    if not candidates:
        readers = registry.of_kind("dataset")
        raise InputError(why_unrecognised(root, readers, lambda at: recognising(at, registry)))
    if len(candidates) > 1:
        names = " or ".join(f"{r.distribution}:{r.name}" for r in candidates)
        raise InputError(f"{root} could be read by several; choose with --dataset: {names}")
    return candidates[0]


def _check_options(found: Registration, given: Mapping[str, Any]) -> dict[str, Any]:
    options = options_of(found.resolve(), found)
    options.pop("root", None)
    checked = check_options(f"dataset '{found.name}'", options, given)
    for name, option in options.items():
        if option.default is REQUIRED and name not in checked:
            place = f"--set dataset.{name}=…"
            raise OptionError(f"dataset '{found.name}' needs option '{name}': {place}")
    return checked


@contextmanager
def _blaming(found: Registration) -> Iterator[None]:
    """Name the reader where its code fails, and the file where the system refuses one."""
    try:
        with blaming(f"{found} failed"):
            yield
    except PluginError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise InputError(f"{cause.filename or found.name}: {cause.strerror or cause}") from cause


def _check(found: Registration, contents: object) -> None:
    """Refuse what a reader may not give."""
    blame = f"dataset '{found.name}' of {found.origin} gave"
    if not (isinstance(contents, Contents) and isinstance(contents.samples, tuple | list)):
        raise PluginError(f"{blame} no vlmad.Contents")
    for fault in filter(None, map(_fault, contents.samples)):
        raise PluginError(f"{blame} {fault}")


def _fault(sample: object) -> str:
    """Return what is wrong with a sample; an empty text if nothing is."""
    if not isinstance(sample, Sample):
        return f"a {type(sample).__name__}, not a vlmad.Sample"
    if not isinstance(sample.image, Path) or not isinstance(sample.mask, Path | None):
        return f"an image or mask that is no pathlib.Path: {sample.image!r}, {sample.mask!r}"
    if sample.label not in LABELS:
        return f"the label {sample.label!r}, not {' or '.join(LABELS)}"
    if sample.split not in SPLITS:
        return f"the split {sample.split!r}, not {' or '.join(SPLITS)}"
    return ""
