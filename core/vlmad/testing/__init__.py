"""For authors of parts: checks of the contract that each kind of part must keep.

A plugin's whole test can be::

    from vlmad.testing import parametrize_parts

    @parametrize_parts("vlmad-top-share")
    def test_parts_keep_the_contract(check):
        check()

A check returns nothing, or raises an AssertionError that says what is wrong. They look at
shapes, ranges, determinism, independence of the batch, at whether the model or the inputs were
changed, and at good manners: standard output, signals, random states and whatever else all of a
process have in common stay as they were. Whether the numbers are the method's own, only the
plugin's tests can tell.
"""

from vlmad.testing._backbone_checks import check_backbone
from vlmad.testing._conformance import check_part, parametrize_parts
from vlmad.testing._examples import (
    TWO_LAYERS,
    UsualAttention,
    example_features,
    example_images,
    example_text,
    two_layer_backbone,
)
from vlmad.testing._part_checks import (
    check_attention,
    check_extractor,
    check_prompts,
    check_scorer,
)

__all__ = [
    "TWO_LAYERS",
    "UsualAttention",
    "check_attention",
    "check_backbone",
    "check_extractor",
    "check_part",
    "check_prompts",
    "check_scorer",
    "example_features",
    "example_images",
    "example_text",
    "parametrize_parts",
    "two_layer_backbone",
]
