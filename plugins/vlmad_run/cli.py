"""The commands ``vlmad run``, ``vlmad fit`` and ``vlmad cache``."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.console import console, messages, say, write_json
from vlmad.errors import InputError, OutputError
from vlmad.watching import watched
from vlmad_run.choosing import OF_PARTS, Choice, LearningChoice, choosing, completing, option
from vlmad_run.part_judging import JudgingParts
from vlmad_run.references import References, assemble_runnable, check_unused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_run._run_parts import RunParts
    from vlmad_run.finding import FoundImages
    from vlmad_run.kinds import Runnable
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.shards import Shard
    from vlmad_run.stored_run import StoredRun
    from vlmad_run.thresholds import Threshold

MANY_IMAGES, FILMS, WHAT_IS_WRITTEN = "Many images", "Films", "What is written"
ANOMALOUS, FAILED = 3, 1
"""Exit statuses."""


class Overlays(StrEnum):
    """Which pictures a run draws."""

    all = "all"
    anomalous = "anomalous"
    none = "none"


class FailOn(StrEnum):
    """What makes a run end with a status of its own."""

    anomalous = "anomalous"


@dataclass(frozen=True, slots=True)
class Judging:
    """Options: from which score on an image is anomalous, and what follows."""

    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="From which score on an image is anomalous: a number, a file, or the --model's.",
        ),
    ] = None
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            metavar="anomalous",
            help=f"Exit with {ANOMALOUS} if an image is anomalous, with --group a part.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RunOutput:
    """Options: what a run writes, and what it prints."""

    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to write; by default a new one in vlmad-runs/."
        ),
    ] = None
    overlays: Annotated[Overlays, option(help="Which pictures to draw.", panel=WHAT_IS_WRITTEN)] = (
        Overlays.all
    )
    batch_size: Annotated[
        int, option(min=1, help="Images encoded together.", panel=MANY_IMAGES)
    ] = 8
    shard: Annotated[
        str | None,
        option(
            metavar="I/N",
            help="Score one of N shards of the images; see vlmad merge.",
            panel=MANY_IMAGES,
        ),
    ] = None
    engine: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Score on a cluster, such as ray or ray:workers=4,gpus=0.5.",
            panel=MANY_IMAGES,
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each image, and no table.")
    ] = False


@dataclass(frozen=True, slots=True)
class OfFilms:
    """Options: which frames of films are images of a run, and what their verdicts come to."""

    every: Annotated[
        float | None,
        option(
            metavar="SECONDS",
            help="Of films: a frame every so many seconds; by default all.",
            panel=FILMS,
        ),
    ] = None
    steady: Annotated[
        str,
        option(
            metavar="PART",
            help="Of films: how verdicts are steadied over time, such as half-life:0.5, median:1 "
            "or k-of-n:3/5.",
            panel=FILMS,
            autocompletion=completing("steadier"),
        ),
    ] = ""


@choosing
def run(
    choice: LearningChoice,
    references: References,
    judging: Judging,
    judging_parts: JudgingParts,
    outputs: RunOutput,
    films: OfFilms,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…",
            help="Images, folders, films, glob patterns; - reads a list.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        option(help="Repeat the run of a manifest.json and compare scores.", panel=WHAT_IS_WRITTEN),
    ] = None,
) -> None:
    """Score photographs and draw a heat map beside each.

    A run that was stopped goes on where it was when the same command is given again.

    Of a data set all photographs are scored, and no masks. With --group one verdict is given on
    each part, from those on its images; a part that lacks one is never ok.

    Exit status: 0 all done, 1 some images or lines of a table could not be read, or parts are not
    whole (with --fail-on also those in formats that are not read; or scores differ from those of
    the manifest), 2 nothing could be done, 3 anomalous ones were found and --fail-on asks.

    Examples:
    vlmad run photos/ --references good/

    vlmad run photos/

    vlmad run photos/ --detector winclip --class-name "metal nut" --references good/ --shots 4

    vlmad run photos/ --prompt learned --extractor window

    vlmad run photos/ --model nut.safetensors --fail-on anomalous

    vlmad run photos/ --model nut.safetensors --group "pattern:([0-9]+)_cam" --views 4

    vlmad run photos/ --shard 2/4 --out shards/2

    vlmad run photos/ --backbone openclip:ViT-B-16-plus-240/laion400m_e31

    vlmad run clip.mp4 --every 0.5 --model nut.safetensors
    """
    from vlmad_run._run_parts import print_parts, rate_notes
    from vlmad_run._running import score_images
    from vlmad_run.kinds import cluster_for
    from vlmad_run.outcome import print_table, print_warnings
    from vlmad_run.progress import print_notes
    from vlmad_run.stored_run import read_run
    from vlmad_run.supplements import supplements_of

    stored = None if manifest is None else read_run(manifest)
    cluster = None if outputs.engine is None else cluster_for(outputs.engine)
    found, quiet = _images(paths, stored, films), messages(outputs.quiet or outputs.as_json)
    images, shard = found.images, _shard(outputs, judging_parts, found.images, stored)
    if stored is None:
        detector = assemble_runnable(choice, references, images)
    else:
        detector = _repeated(stored, choice, references, outputs.out)
    parts = judging_parts.parts(images)
    asked = {"steady": films.steady, "overlays": outputs.overlays.value}
    if shard and films.steady:
        raise InputError("a film is judged when its shards are joined: vlmad merge … --steady")
    supplements = [] if shard else supplements_of(images, asked)
    threshold = _threshold(judging, stored, detector)
    images = shard.of_list(images) if shard else images
    print_notes([*found.notes, *rate_notes(threshold, parts)], quiet)
    folder = score_images(
        detector,
        images,
        threshold,
        quiet,
        out=outputs.out,
        resume=stored is None,
        overlays=outputs.overlays,
        batch_size=outputs.batch_size,
        write_line=write_json if outputs.as_json else None,
        passed_over=found.passed_over,
        parts=parts,
        shard=shard,
        cluster=cluster,
    )
    if not (outputs.as_json or outputs.quiet):
        print_table(folder, images, console())
        if parts is not None:
            print_parts(parts, folder.path, console())
    for line in itertools.chain.from_iterable(make(folder) for make in supplements):
        if not (outputs.as_json or outputs.quiet):
            console().print(line)
    print_warnings(folder, images)
    agrees = stored is None or _agrees(stored, folder.path)
    if judging.fail_on is not None:
        _end_if_not_good(folder, parts)
    if folder.result.failed or not agrees or found.wrong_lines or (parts and parts.broken):
        raise typer.Exit(FAILED)


def _end_if_not_good(folder: RunFolder, parts: RunParts | None) -> None:
    """End with a status of its own if not everything is known to be good."""
    from vlmad_run.outcome import print_not_judged

    if parts.count("anomalous") if parts else folder.result.anomalous:
        raise typer.Exit(ANOMALOUS)
    unjudged = len(parts.rows) - parts.count("ok") if parts else folder.result.unknown
    if print_not_judged(folder) or unjudged:
        raise typer.Exit(FAILED)


def _images(paths: Sequence[str] | None, stored: StoredRun | None, films: OfFilms) -> FoundImages:
    from vlmad_run.finding import FoundImages, find

    if paths:
        return find(paths, asked="" if films.every is None else f"every:{films.every:.6f}")
    if stored is not None:
        return FoundImages(stored.images)
    raise InputError("no images: name files or folders, or - for a list on standard input")


def _shard(
    outputs: RunOutput, grouping: JudgingParts, images: Sequence[Path], stored: StoredRun | None
) -> Shard | None:
    """Return which of the images are to be scored, if not all are.

    Raises:
        InputError: they cannot be divided so, or another option needs all of them.
    """
    from vlmad_run.shards import read_shard

    if outputs.shard is None:
        return None
    if stored is not None:
        raise InputError("--manifest compares a whole run: leave out --shard")
    if grouping != JudgingParts():
        raise InputError(
            "--group needs all images of a part, and a shard may lack some: merge the shards, then "
            "give the command with --group, --out of the whole and no --shard; it scores nothing"
        )
    return read_shard(outputs.shard, images, outputs.batch_size)


def _threshold(judging: Judging, stored: StoredRun | None, detector: Runnable) -> Threshold | None:
    """Return the threshold in force: the one that is given, a stored run's, or the detector's."""
    from vlmad_run.leaving_out import threshold_of
    from vlmad_run.thresholds import read_threshold

    if judging.threshold is not None:
        return read_threshold(judging.threshold)
    threshold = threshold_of(detector) if stored is None else stored.threshold
    judged = getattr(detector, "judges", False)
    if judging.fail_on is not None and threshold is None and not judged:
        needs = "--threshold, a number or a file, or --model of vlmad fit"
        raise InputError(f"--fail-on anomalous needs {needs}")
    return threshold


def _repeated(
    stored: StoredRun, choice: Choice, references: References, out: Path | None
) -> Runnable:
    """Build the detector of a stored run; only where its weights are may differ."""
    from vlmad_run.repeating import repeat

    check_unused("--manifest", choice, *OF_PARTS)
    check_unused("--manifest", references, "seed")
    if out is not None and out.resolve() == stored.folder.resolve():
        raise InputError(f"{out} is the run to compare with; choose another --out")
    detector = repeat(stored, choice.options())
    was, now = stored.manifest.identity, detector.describe().identity
    for difference in [*was.differences(now, threshold=False), *was.remarks(now)]:
        say(f"differs from the manifest: {difference}")
    return detector


def _agrees(stored: StoredRun, folder: Path) -> bool:
    from vlmad_run.repeating import compare
    from vlmad_run.stored_run import read_run

    agree, line = compare(stored, read_run(folder))
    say(line)
    return agree


@partial(choosing, without=("references", "model"))
def fit(
    choice: LearningChoice,
    references: References,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…", help="Normal images: folders, files, patterns; NAME=PATH for products."
        ),
    ],
    add_to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file of vlmad fit; its references are kept as well."),
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep references that may show a defect.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path(
        "fitted.safetensors"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Store a detector with what it remembers of normal images, for `vlmad run --model`.

    Without --shots all images are taken; of a data set the good ones, of its train split if it
    has one. Each is judged by the others: from that are the file's threshold and p-values, and one
    that stands out as if it showed a defect is left out. The file holds the hash of the backbone's
    weights only.

    Examples:
    vlmad fit good/ --class-name "metal nut" --out nut.safetensors

    vlmad run photos/ --model nut.safetensors

    vlmad fit nut=good/nut bolt=good/bolt --out line.safetensors

    vlmad fit more/ --add-to nut.safetensors --out nut2.safetensors
    """
    from vlmad_run.fitted import holds, made_by, tensors_of, write_fitted
    from vlmad_run.fitted_products import tensors_of_products
    from vlmad_run.learning_in_fit import learning_in
    from vlmad_run.leaving_out import automatic_threshold
    from vlmad_run.products import ProductLine
    from vlmad_run.products_fitting import fit_references
    from vlmad_run.progress import ShownProgress, bars, print_notes

    stands = out.exists() and not force
    if stands and not made_by(sys.argv[1:], out):
        raise OutputError(f"{out} exists; choose another --out or add --force")
    errors = messages(quiet)
    with (
        bars(errors) as progress,
        watched(ShownProgress(progress)),
        learning_in(out.with_name(f"{out.stem}-learned")),
    ):
        progress.add_task("fitting", total=None)
        fitted = fit_references(choice, references, paths, add_to, keep_all)
    print_notes(fitted.notes, errors)
    if isinstance(fitted, ProductLine):
        each = [product.assembled for product in fitted.products.values()]
        tensors = tensors_of_products(fitted)
    else:
        each, tensors = [fitted], tensors_of(fitted.detector)
    manifests = [one.describe_fitted() for one in each]
    if not stands:
        write_fitted(tensors, manifests, out)
    elif not holds(out, tensors, manifests):
        raise OutputError(f"{out} exists and is another; choose another --out or add --force")
    for one in each:
        if one.good and max(one.good.scores) > 0:
            chosen = automatic_threshold(one.good)
            of = f" for {one.class_name}" if len(each) > 1 else ""
            errors.print(f"threshold{of}: {chosen.value:.4g}, {chosen.rule}")
    count = sum(len(one.references) for one in each)
    images = "image" if count == 1 else "images"
    errors.print(f"fitted on {count} {images}; use it with: vlmad run … --model {out}")


cache = typer.Typer(
    help="Show what is kept on disk between runs, or clear it.\n\n"
    "Examples: vlmad cache, vlmad cache clear",
    add_completion=False,
)


@cache.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """Show what is kept on disk between runs, or clear it.

    Examples: vlmad cache, vlmad cache clear --visual
    """
    from vlmad_run._cache_contents import print_caches

    if context.invoked_subcommand is None:
        print_caches(console())


@cache.command()
def clear(
    text: Annotated[bool, typer.Option("--text", help="Only text embeddings.")] = False,
    visual: Annotated[bool, typer.Option("--visual", help="Only features of images.")] = False,
    films: Annotated[bool, typer.Option("--films", help="Only frames of films.")] = False,
) -> None:
    """Delete what is kept: all of it, or the kinds that are named."""
    from vlmad_run._cache_contents import clear_caches

    named = {"text": text, "visual": visual, "films": films}
    deleted = clear_caches([kind for kind, chosen in named.items() if chosen])
    console().print(f"deleted {deleted} {'entry' if deleted == 1 else 'entries'}")
