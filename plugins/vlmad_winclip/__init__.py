"""WinCLIP: compositional prompts, windows of tokens, harmonic means, normal references.

Jeong et al., CVPR 2023, arXiv 2303.14814.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

WINCLIP = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "window",
        "attention": "none",
        "scorer": "harmonic",
    },
    summary="windows and an ensemble of sentences, zero- and few-shot",
    paper="Jeong et al., CVPR 2023, arXiv 2303.14814",
)


@hookimpl
def register_prompts(register: Register) -> None:
    """Register `compositional`."""
    register(
        "compositional",
        "vlmad_winclip.compositional:Compositional",
        "every state in every template",
    )


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `window`."""
    register("window", "vlmad_winclip._windows:Window", "token windows of any sizes")


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `harmonic`."""
    register(
        "harmonic", "vlmad_winclip._harmonic:Harmonic", "WinCLIP, and with references WinCLIP+"
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `winclip`."""
    register("winclip", WINCLIP, WINCLIP.summary)
