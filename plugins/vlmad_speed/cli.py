"""The command ``vlmad bench-speed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vlmad.console import console, write_json

if TYPE_CHECKING:
    from vlmad_speed.encoding_ways import SpeedReport

DEFAULT_MODEL = "openclip:ViT-B-16-plus-240"


def bench_speed(
    backbone: Annotated[
        str, typer.Option(metavar="PART", help="Whose encoding is timed: NAME or NAME:ARGUMENT.")
    ] = DEFAULT_MODEL,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of backbones that can choose: auto, cpu, cuda or mps."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Likewise; by default float32, and bfloat16 if native."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Time what a backbone can be asked for, such as windows and patches, and the machine.

    The ways take turns, and each ratio is the median over the rounds, so that what else the
    machine does meets them all. bfloat16 is timed where the machine computes it natively. The
    weights of openclip are random, which are as fast as any.

    Example: vlmad bench-speed --backbone tiny --batch-size 1 --rounds 2
    """
    from vlmad_speed.encoding_ways import measure_speed

    given = {"device": device, "precision": precision}
    options = {name: value for name, value in given.items() if value is not None}
    report = measure_speed(backbone, batch_size, rounds, options)
    if as_json:
        write_json(report.to_json())
    else:
        _print(report)


def _print(report: SpeedReport) -> None:
    out, limits = console(), report.limits
    half = f"{limits.bfloat16_gflops:.0f}" if limits.bfloat16_gflops else "none native"
    where = f"{report.device} with {report.threads} threads"
    out.print(f"{report.backbone}, {where}, {report.batch} images at once")
    out.print(f"limit: {limits.float32_gflops:.0f} GFLOP/s in float32, {half} in bfloat16")
    titles = ("way", "precision", "images/s", "time", "of the limit")
    table = Table(*titles, box=None, header_style="bold")
    for way in report.ways:
        figures = (f"{way.images_per_second:.2f}", f"{way.ratio:.3f}", f"{way.share_of_limit:.0%}")
        table.add_row(way.way, way.precision, *figures)
    out.print(table)
    out.print(f"time: as a share of '{report.ways[0].way}'", style="dim")
