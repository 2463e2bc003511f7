"""Where and how exactly to compute: the device and the precision."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import torch

from vlmad.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
Computed: TypeAlias = Literal["float32", "bfloat16"]
PRECISION_VARIABLE = "VLMAD_PRECISION"


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` takes a GPU where there is one.

    Raises:
        OptionError: there is no such device here.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"there is no device '{name}' here; backbone.device takes auto, cpu, cuda or mps"
        ) from error


def pick_precision(precision: Precision, device: torch.device) -> Computed:
    """Return the precision in force: ``auto`` takes bfloat16 where it is computed natively.

    The environment variable `VLMAD_PRECISION` says what ``auto`` is to mean instead, so that
    several machines can be made to give the same numbers.

    Raises:
        OptionError: the variable holds something else.
    """
    variable = os.environ.get(PRECISION_VARIABLE) or "auto"
    if variable not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise OptionError(f"{PRECISION_VARIABLE}={variable}: it takes {known} or nothing")
    chosen = variable if precision == "auto" else precision
    half = computes_bfloat16(device) if chosen == "auto" else chosen == "bfloat16"
    return "bfloat16" if half else "float32"


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies matrices of bfloat16 natively, not by emulation.

    Of Apple's GPUs torch cannot tell, so they count as not; bfloat16 can be chosen there.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False  # without oneDNN, products of bfloat16 go through a plain loop
    return bool(_instructions() & {"avx512_bf16", "amx_bf16", "bf16"})


def _instructions() -> set[str]:
    """Return what the processor can do: newer versions of torch tell, and Linux always does."""
    if hasattr(torch.cpu, "get_capabilities"):
        return {name for name, able in torch.cpu.get_capabilities().items() if able is True}
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return set()


def processor_of(device: torch.device) -> str:
    """Return what of a device changes the last bits of a result: its model, or its instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def set_precision(blocks: Iterable[Any], precision: Computed) -> None:
    """Turn the matrices of freshly loaded blocks to a type, in place: one copy is enough.

    Norms and layer scales stay as they are, for the stream of tokens does too.
    """
    for block in blocks:
        for part in (block.attn, block.mlp):
            part.to(getattr(torch, precision))
