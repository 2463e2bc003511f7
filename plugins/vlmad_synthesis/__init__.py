"""Synthetic defects with exact masks, and the command `vlmad synthesise`.

- `vlmad_synthesis.synthetic`: draws a defect in a good image, or an example for training
- `vlmad_synthesis.nuisances`: changes that are no defects
- `vlmad_synthesis.visibility`: whether a backbone sees a defect at all
- `vlmad_synthesis.surface`, `.noise_fields`: where to draw and with what, for authors of others

A plugin brings a kind of defect by the hook `register_defects`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_defects(register: Register) -> None:
    """Register the kinds of defect, published ones first."""
    pasted, blended = "vlmad_synthesis._pasted", "vlmad_synthesis._perlin_blend"
    register("cutpaste", f"{pasted}:CutPaste", "a rectangle of the image, elsewhere (CutPaste)")
    register("scar", f"{pasted}:Scar", "a thin turned piece of the image, elsewhere (CutPaste)")
    register("smoothblend", f"{pasted}:SmoothBlend", "a small piece, faded in elsewhere (SPD)")
    register(
        "perlin", f"{blended}:PerlinBlend", "another texture where Perlin noise is high (DRAEM)"
    )
    lines, blots = "vlmad_synthesis._lines", "vlmad_synthesis._blots"
    register("scratch", f"{lines}:Scratch", "thin lines like grooves")
    register("crack", f"{lines}:Crack", "a dark jagged line that branches")
    register("thread", f"{lines}:Thread", "a fibre that lies on the product")
    register("stain", f"{blots}:Stain", "a dried spot through which the surface shows")
    register("specks", f"{blots}:Specks", "many small grains")
    register("colour", f"{blots}:Colour", "a part in another colour")
    relief, displacing = "vlmad_synthesis._relief", "vlmad_synthesis._displacing"
    register("hole", f"{relief}:Hole", "a dark hole with a wall")
    register("dent", f"{relief}:Dent", "the surface pressed in")
    register(
        "missing", "vlmad_synthesis._missing:Missing", "a part broken off, or a flake that is gone"
    )
    register("foreign", f"{relief}:Foreign", "a small body of another material")
    register("warp", f"{displacing}:Warp", "structure pushed aside, turned or pulled together")
    register("shift", f"{displacing}:Shift", "a strip moved along itself")


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad synthesise`."""
    register("synthesise", "vlmad_synthesis.cli:synthesise", "Draw defects in good images.")
