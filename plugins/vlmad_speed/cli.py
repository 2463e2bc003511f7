"""The command ``vlmad bench-speed``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

DEFAULT_MODEL = "openclip:ViT-B-16-plus-240"
RANDOM = "random:0"


def bench_speed(
    backbone: Annotated[
        str, typer.Option(help="Whose encoding is timed: NAME or NAME:ARGUMENT.")
    ] = DEFAULT_MODEL,
    weights: Annotated[
        str | None,
        typer.Option(help="A checkpoint; random ones by default for openclip, as fast as any."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images encoded together.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="One image, two rounds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Time the encoding of windows and patches against each other and against the machine.

    The ways take turns, and each ratio is the median over the rounds, so that what else the
    machine does meets them all. bfloat16 is timed where the machine computes it natively.

    Example: vlmad bench-speed --backbone tiny --quick
    """
    if quick:
        batch, rounds = 1, 2
    if weights is None and backbone.split(":")[0] == "openclip":
        weights = RANDOM
    found = _measure(backbone, weights, batch, rounds)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _measure(backbone: str, weights: str | None, batch: int, rounds: int) -> dict[str, Any]:
    import torch

    from vlmad_openclip.devices import computes_bfloat16, pick_device
    from vlmad_speed.limits import measure_limits
    from vlmad_speed.ways import find_ways, run_rounds, summary

    device = pick_device("auto")
    native = computes_bfloat16(device)
    limits = measure_limits(device, native)
    ways = find_ways(backbone, weights, batch, native)
    run_rounds(ways, rounds, device)
    return {
        "backbone": backbone,
        "weights": weights,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "batch": batch,
        "rounds": rounds,
        "limits": limits.as_table(),
        "ways": [summary(way, ways[0], batch, limits.of(way.precision)) for way in ways],
    }


def _print(found: dict[str, Any]) -> None:
    console = Console()
    limits = found["limits"]
    half = limits["bfloat16_gflops"]
    console.print(
        f"{found['backbone']}, weights {found['weights'] or 'its own'}, {found['device']} with "
        f"{found['threads']} threads, {found['batch']} images at once, {found['rounds']} rounds"
    )
    console.print(
        f"limits: matrix products {limits['float32_gflops']:.0f} GFLOP/s in float32, "
        + (f"{half:.0f} in bfloat16" if half else "bfloat16 not native")
        + f"; memory {limits['memory_gbytes']:.1f} GB/s"
    )
    table = Table(
        "way", "precision", "images/s", "time", "of the limit", box=None, header_style="bold"
    )
    for way in found["ways"]:
        table.add_row(
            way["way"],
            way["precision"],
            f"{way['images_per_second']:.2f}",
            f"{way['ratio']:.3f}",
            f"{way['share_of_limit']:.0%}",
        )
    console.print(table)
    console.print(f"time: as a share of '{found['ways'][0]['way']}'", style="dim")
