"""The detector of a command: by its parts and normal references, or from a model file."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vlmad.errors import InputError
from vlmad.parts import TEXT
from vlmad_run.choosing import OF_PARTS, WHICH_PIXELS, option
from vlmad_run.remote_images import a_few_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmad.detector import Detector
    from vlmad.types import Result
    from vlmad_run.choosing import Choice
    from vlmad_run.finding import FoundImages
    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import GoodScores, Manifest
    from vlmad_run.memory_documents import Reference
    from vlmad_run.region_of_interest import RegionOfInterest

WHICH_REFERENCES = "Which references"
PUBLISHED_SHOTS = 4
"""Of a folder, where nobody says, for scorers of text: as WinCLIP's are published."""
MOST_WHOLE = 200
"""Likewise for scorers that have nothing but references: a folder of up to so many whole."""
MANY = 8
"""Of so many images it is said that there are other ways than to judge each by itself."""


@dataclass(frozen=True, slots=True)
class References:
    """Options: what a detector is fitted on, or the file in which it was kept."""

    references: Annotated[
        list[str] | None,
        option(metavar="PATH", help="Normal images: a folder, file or pattern; repeatable."),
    ] = None
    shots: Annotated[
        int | None,
        option(
            metavar="N",
            help=f"How many of them to draw; by default all (of folders at most {MOST_WHOLE}), by "
            f"scorers that compare with text too {PUBLISHED_SHOTS} of a folder.",
            panel=WHICH_REFERENCES,
        ),
    ] = None
    seed: Annotated[
        int, option(metavar="N", min=0, help="Which of them to draw.", panel=WHICH_REFERENCES)
    ] = 0
    roi: Annotated[
        list[str] | None,
        option(
            metavar="MASK",
            help="An image whose bright pixels alone count, for all images.",
            panel=WHICH_PIXELS,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        option(
            metavar="MASK", help="Likewise, one whose bright pixels do not.", panel=WHICH_PIXELS
        ),
    ] = None
    model: Annotated[
        Path | None, option(metavar="FILE", help="A detector in a file, as vlmad fit stores it.")
    ] = None

    def of_product(self, name: str, paths: list[str]) -> References:
        """Return the same for one of several products, whose masks are given as NAME=MASK."""
        roi, ignore = (
            [each.partition("=")[2] for each in masks or () if each.partition("=")[0] == name]
            for masks in (self.roi, self.ignore)
        )
        return replace(self, references=paths, roi=roi, ignore=ignore)

    def region(self) -> RegionOfInterest | None:
        """Return what counts of each image; None is all of it.

        Raises:
            InputError: there are several masks, or one cannot be used.
        """
        from vlmad_run.region_of_interest import read_region

        masks = [(name, False) for name in self.roi or ()]
        masks += [(name, True) for name in self.ignore or ()]
        if len(masks) > 1:
            raise InputError("there is one region of interest: give one --roi or --ignore")
        return read_region(Path(masks[0][0]), masks[0][1]) if masks else None


@dataclass(frozen=True, slots=True)
class Assembled:
    """A detector that is ready, and what goes with it; see `vlmad_run.kinds.Runnable`."""

    detector: Detector
    class_name: str
    references: list[Reference]
    model: Path | None = None
    """The file that it was read from."""
    seed: int = 0
    found: FoundImages | None = None
    """Among which the references were drawn."""
    good: GoodScores | None = None
    """What its references score when they are not remembered, if it is or will be stored."""
    left_out: Sequence[Reference] = ()
    """References that it was not fitted on, because they may show a defect."""
    remarks: tuple[str, ...] = ()
    misses: Sequence[Reference] = ()
    """Anomalous images that it has learned from."""
    """What was found to be white, where neither files nor user say it, and what was drawn."""

    @property
    def notes(self) -> Sequence[str]:
        """What was chosen for the user."""
        found = self.found.said() if self.found else ()
        return [*self.detector.assembly.notes, *found, *self.remarks]

    @property
    def region(self) -> RegionOfInterest | None:
        """What counts of each image; None is all of it."""
        from vlmad_run.region_of_interest import RegionOfInterest

        inside = self.detector.inside
        return inside if isinstance(inside, RegionOfInterest) else None

    def region_of(self, product: str) -> RegionOfInterest | None:
        """Return `region`, whatever the product: there is one."""
        return self.region

    @property
    def together(self) -> bool:
        """Whether the score of an image depends on the others."""
        return bool(self.detector.scorer.scope == "set")

    def describe(
        self, images: Iterable[Path] | None = None, threshold: float | None = None
    ) -> Manifest:
        """Describe it (loads the weights); refuse what would keep every image from a score."""
        from vlmad_run.manifest import describe_run

        self.detector.requests()
        self.detector.check_ready(self.class_name)
        manifest = describe_run(
            self.detector, self.class_name, self.references, threshold,
            misses=self.misses, images=images, model=self.model, seed=self.seed,
        )  # fmt: skip
        return manifest.model_copy(update={"good": self.good, "left_out": list(self.left_out)})

    def describe_fitted(self) -> Manifest:
        """Describe it as its own file does, with what was passed over among the references."""
        found = {"passed_over": self.found.passed_over if self.found else []}
        return self.describe().model_copy(update=found)

    def stream(self, images: Sequence[Path], batch_size: int) -> Iterator[Result]:
        """Return an iterator over the results of images."""
        return self.detector.stream(images, self.class_name, batch_size)


def assemble(choice: Choice, references: References, images: Sequence[Path] = ()) -> Assembled:
    """Assemble a detector, fitted if there are references; of several products the one named.

    Args:
        choice: its parts.
        references: what it is fitted on, or the file that holds it.
        images: what will be scored: without references they say what is white.

    Raises:
        VlmadError: a name, option, recipe or combination that cannot be, references that cannot
            be used, or a model that is not made of parts.
    """
    from vlmad_run.kinds import HasProducts

    runnable = assemble_runnable(choice, references, images)
    if isinstance(runnable, HasProducts):
        names = runnable.class_name
        raise InputError(f"{references.model} holds {names}: choose one with --class-name")
    if not isinstance(runnable, Assembled):
        raise InputError(f"{references.model} is not made of parts: it can only be run")
    return runnable


def assemble_runnable(
    choice: Choice, references: References, images: Sequence[Path] = ()
) -> Runnable:
    """Assemble what can be run, as `assemble`; a model file may hold something without parts."""
    if references.model is not None:
        return _open_model(references.model, choice, references, images)
    from vlmad_run.closer_looks import look_closer
    from vlmad_run.memory_documents import Reference
    from vlmad_run.part_options import file_digest

    detector, chosen, found = choice.load(bool(references.references)), list[Path](), None
    remarks = list[str]()
    if references.references:
        from vlmad_run.finding import find

        found = find(references.references, "references")
        whole, wanted = TEXT not in detector.scorer.needs, (references.shots, references.seed)
        chosen = choose_references(found, references.references, *wanted, whole)
        if references.shots is None and whole and len(chosen) < len(found.images):
            drawn = f"{len(chosen)} of {len(found.images)} references are drawn"
            remarks.append(f"{drawn}; --shots takes another number")
    elif references.shots is not None:
        raise InputError("--shots needs --references PATH to draw from")
    elif len(images) >= MANY and choice.recipe(references=False) != choice.detector:
        remarks.append(
            f"each of {len(images)} images is judged by itself; a few good ones as --references "
            "do better, or if most are good ones of one product, --detector musc compares them"
        )
    remarks += settle_range(chosen or images, detector)
    if choice.align:
        from vlmad_run.aligning import align_to_first

        align_to_first(detector, chosen)
    region = references.region()
    if region is not None:
        detector.look_inside(region)
    if chosen:
        detector, said = look_closer(detector.fit(chosen))
        remarks += said
    noted = [Reference(path=str(path), sha256=file_digest(path)) for path in chosen]
    name = choice.name() or "object"
    return Assembled(detector, name, noted, None, references.seed, found, remarks=tuple(remarks))


def settle_range(images: Sequence[Path], *detectors: Detector) -> tuple[str, ...]:
    """Decide once for a run what is white, where neither files nor user say it; tell about it.

    Of images that lie elsewhere some are asked, spread over all.
    """
    from vlmad_formats.ranges import find_range
    from vlmad_formats.reading import Reading

    reading = detectors[0].reading or Reading()
    if reading.range != "auto":
        return ()
    found, notes = find_range(a_few_of(images), reading)
    for detector in detectors:
        detector.reading = replace(reading, range=found)
    return notes


def _open_model(
    path: Path, choice: Choice, references: References, images: Sequence[Path]
) -> Runnable:
    from vlmad_run.kinds import HasProducts, engine_for

    check_unused("--model", choice, "class_name", *OF_PARTS)
    check_unused("--model", references, "model", "seed")
    found = engine_for(path)(path, choice.options())
    name = choice.name()
    if isinstance(found, HasProducts) and name is not None:
        found = found.only(name)
    if name not in (None, found.class_name):
        raise InputError(f"{path} was fitted for '{found.class_name}': leave out --class-name")
    if isinstance(found, Assembled):
        return replace(found, remarks=(*found.remarks, *settle_range(images, found.detector)))
    return found


def check_unused(by: str, group: Any, *allowed: str) -> None:
    """Refuse options in a group that another option brings itself, but for the allowed ones.

    Raises:
        InputError: one is given.
    """
    for field in fields(group):
        if field.name not in allowed and getattr(group, field.name) != field.default:
            name = field.name.replace("_", "-")
            raise InputError(f"{by} brings its own parts: leave out --{name}")


def choose_references(
    found: FoundImages,
    paths: Sequence[str | Path],
    shots: int | None,
    seed: int,
    whole: bool = False,
) -> list[Path]:
    """Draw `shots` different images of those that were found by `paths`.

    Without `shots` all are taken where each is named itself. Where a folder, a film or a pattern
    stands for them it is up to `MOST_WHOLE` if it is to be taken `whole`, else `PUBLISHED_SHOTS`.

    Raises:
        InputError: there are fewer images than shots, or none.
    """
    from vlmad_run.kinds import finder_by_ending

    if shots is None:
        named = all(Path(path).is_file() and not finder_by_ending(Path(path)) for path in paths)
        usual = min(len(found.images), MOST_WHOLE) if whole else PUBLISHED_SHOTS
        shots = len(found.images) if named else usual
    where = " and ".join(map(str, paths))
    return draw_references(found.images, shots, seed, where + found.without())


def draw_references(images: Sequence[Path], shots: int, seed: int, where: str) -> list[Path]:
    """Draw `shots` different images, the same ones of the same list for the same seed.

    Raises:
        InputError: there are fewer images than shots, or none; `where` has too few.
    """
    import numpy as np

    if shots < 1:
        raise InputError(f"--shots takes whole numbers from 1, not {shots}")
    if len(images) < shots:
        raise InputError(
            f"{where} has {len(images)} images, fewer than the {shots} references "
            f"wanted; lower --shots or add images"
        )
    drawn = np.random.default_rng(seed).choice(len(images), size=shots, replace=False)
    return [images[index] for index in sorted(drawn)]
