"""The command ``vlmad export``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from vlmad.console import console, messages, write_json
from vlmad.errors import InputError, OutputError
from vlmad_run.choosing import Choice, choosing, option
from vlmad_run.references import References

if TYPE_CHECKING:
    from vlmad_export.exported import ExportedDetector
    from vlmad_run.references import Assembled

GRAPH = "The graph"


@partial(choosing, without=("model",))
def export(
    choice: Choice,
    references: References,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A detector of vlmad fit; without it the options say."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Images to compare with torch on; by default the references, if they are there.",
        ),
    ] = None,
    format: Annotated[
        Literal["onnx", "openvino", "torch"],
        option(
            metavar="NAME",
            help="onnx, which runs everywhere; openvino, for Intel; torch, a program for its "
            "compilers, given the image at the model's sizes.",
        ),
    ] = "onnx",
    graph_precision: Annotated[
        Literal["float32", "float16", "int8"],
        option(
            panel=GRAPH,
            metavar="NAME",
            help="float32; float16 stores weights in halves; int8 computes in whole numbers, "
            "whose ranges the images choose.",
        ),
    ] = "float32",
    tolerance: Annotated[
        float | None,
        option(
            panel=GRAPH,
            min=0,
            help="The difference, as a share of the largest score or map value; of int8 by how "
            "much ranks may correlate less than 1, and the share of changed verdicts.",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="A number or file to go along; by default what the references say.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The file to write; by default detector.onnx, .xml or .pt2."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Write a detector as one graph, for `vlmad run --model` and programs without vlmad.

    Images of any size go in as bytes; a score and a map come out. Texts and what is remembered of
    references are constants in it; class name, licence and threshold are metadata.

    The graph is compared with the detector on images, in each runtime that is installed here, and
    not kept if it differs.

    Examples:
    vlmad export nut.safetensors --out nut.onnx

    vlmad export --detector winclip --class-name "metal nut" --images photos/ --out nut.onnx
    """
    from vlmad_export.exported import SUFFIXES
    from vlmad_export.exporting import Wish, export_detector, is_taken
    from vlmad_run.progress import bars, print_notes
    from vlmad_run.references import assemble
    from vlmad_run.thresholds import read_threshold

    out = out or Path(f"detector{SUFFIXES[format]}")
    if is_taken(out) and not force:
        raise OutputError(f"{out} exists; choose another --out or add --force")
    if graph_precision == "int8" and not images:
        raise InputError("int8 is chosen and judged by images other than references: add --images")
    given = None if threshold is None else read_threshold(threshold)
    named = _named(images)
    errors = messages(as_json)
    with bars(errors) as progress:
        progress.add_task("exporting", total=None)
        assembled = assemble(choice, replace(references, model=model), named)
        print_notes(assembled.notes, errors)
        compared = named or _references(assembled)
        wish = Wish(format, graph_precision, tolerance, threshold=given)
        exported = export_detector(assembled, compared, out, wish)
    if as_json:
        write_json(exported.to_json())
    else:
        _print(exported)
        unread = len(compared) - exported.calibrated_on
        if graph_precision == "int8" and unread:
            errors.print(f"left out: {unread} of {len(compared)} images could not be read")
        if format != "torch":
            errors.print(f"use it with: vlmad run … --model {out}")


def _named(images: list[str] | None) -> list[Path]:
    from vlmad_run.finding import find

    return list(find(images).images) if images else []


def _references(assembled: Assembled) -> list[Path]:
    """Return the files of the references, each once, if they are all there."""
    paths = [Path(each.path) for each in assembled.references]
    if not all(path.is_file() for path in paths):
        raise InputError("its references are not there any more: name images by --images")
    return paths


def _print(exported: ExportedDetector) -> None:
    columns = ("runtime", "images", "score", "map", "ranks", "changed", "ms", "MB")
    table = Table(*columns, box=None, header_style="bold")
    for each in exported.parity:
        ranks = "-" if each.rank_correlation is None else f"{each.rank_correlation:.3f}"
        changed = "-" if each.changed_verdicts is None else str(each.changed_verdicts)
        table.add_row(
            each.runtime, str(each.images), f"{each.score:.2g}", f"{each.map:.2g}", ranks, changed,
            _beside(each.milliseconds, each.torch_milliseconds),
            _beside(each.megabytes, each.torch_megabytes),
        )  # fmt: skip
    console().print(table)
    console().print(
        "score, map: the largest difference from torch; changed: verdicts; ms, MB: beside torch's",
        style="dim",
    )


def _beside(own: float | None, torch: float | None) -> str:
    return "/".join("-" if each is None else f"{each:.0f}" for each in (own, torch))
