"""The hooks of vlmad-top-share; parts are imported when they are used."""

from vlmad import hookimpl
from vlmad.hookspecs import Register


@hookimpl
def register_scorers(register: Register) -> None:
    """Register the scorer."""
    register(
        "top-share",
        "vlmad_top_share.scorer:TopShare",
        "mean of the highest pixels",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipe."""
    register(
        "top-share",
        "vlmad_top_share.recipe:TOP_SHARE",
        "WinCLIP's windows under the mean of the highest pixels",
    )
