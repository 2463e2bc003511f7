"""Backbones from open_clip: any of its vision transformers, from a hub or a local checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_backbones(register: Register) -> None:
    """Register `openclip`."""
    register(
        "openclip",
        "vlmad_openclip.openclip:OpenClip",
        "any open_clip ViT, from the hub or from a local checkpoint",
    )
