"""Backbones from timm: vision transformers and convolutional pyramids, without text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_backbones(register: Register) -> None:
    """Register `timm`."""
    register(
        "timm",
        "vlmad_timm._timm_backbone:TimmBackbone",
        "any timm model without text: DINOv2, DINOv3, ResNet and others, for references",
    )
