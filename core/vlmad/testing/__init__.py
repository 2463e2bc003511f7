"""For authors of parts: checks of the contract that each kind of part must keep.

A plugin's whole test can be::

    from vlmad.testing import check_part


    def test_my_scorer_keeps_the_contract() -> None:
        check_part("scorer", "my-scorer")

A check returns nothing, or raises an AssertionError that says what is wrong. They look at
shapes, ranges, determinism, independence of the batch, and at whether the model or the inputs
were changed; whether the numbers are the method's own, only the plugin's tests can tell.
"""

from vlmad.testing.backbones import check_backbone
from vlmad.testing.conformance import check_part
from vlmad.testing.examples import (
    UsualAttention,
    example_features,
    example_images,
    example_text,
    two_layer_backbone,
)
from vlmad.testing.parts import check_attention, check_extractor, check_prompts, check_scorer

__all__ = [
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
    "two_layer_backbone",
]
