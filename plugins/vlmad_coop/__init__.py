"""CoOp: context that is learned with the image's loss alone.

Zhou et al., IJCV 2022, arXiv 2109.01134.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

COOP = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "coop",
        "extractor": "dense",
        "attention": "none",
        "scorer": "dense",
    },
    options={"scorer": {"temperature": 0.01, "sigma": 0}},
    summary="learned context beside a normal and a damaged name, by images alone",
    paper="Zhou et al., IJCV 2022, arXiv 2109.01134",
)


@hookimpl
def register_prompts(register: Register) -> None:
    """Register `coop`."""
    register("coop", "vlmad_coop._learned_context:Coop", "learned context beside two names")


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `coop`."""
    register("coop", COOP, COOP.summary)
