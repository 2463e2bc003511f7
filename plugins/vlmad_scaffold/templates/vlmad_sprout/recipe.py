"""The recipe `sprout`."""

from vlmad import Recipe

SPROUT = Recipe(
    parts={  # names of your own parts go here too
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "dense",
        "attention": "vv",
        "scorer": "dense",
    },
    options={},
    summary="patches compared with sentences of both sides",
)
