"""The hooks of vlmad-gabor; parts are imported when they are used."""

from vlmad import hookimpl
from vlmad.hookspecs import Register


@hookimpl
def register_backbones(register: Register) -> None:
    """Register the backbone."""
    register(
        "gabor",
        "vlmad_gabor.backbone:GaborBackbone",
        "waves of each length and direction, no text",
    )
