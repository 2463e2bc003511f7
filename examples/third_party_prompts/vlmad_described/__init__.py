"""The hooks of vlmad-described; parts are imported when they are used."""

from vlmad import hookimpl
from vlmad.hookspecs import Register


@hookimpl
def register_prompts(register: Register) -> None:
    """Register the prompts."""
    register(
        "described",
        "vlmad_described.prompts:DescribedPrompts",
        "sentences with the adjectives that fit each image",
    )
