"""The recipe `top-share`."""

from vlmad import Recipe

TOP_SHARE = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "window",
        "attention": "none",
        "scorer": "top-share",
    },
    summary="WinCLIP's windows under the mean of the highest pixels",
)
