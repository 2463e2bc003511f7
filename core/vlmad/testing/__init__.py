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

from vlmad.testing._backbone_checks import check_backbone as check_backbone
from vlmad.testing._conformance import check_part as check_part
from vlmad.testing._conformance import parametrize_parts as parametrize_parts
from vlmad.testing._examples import TWO_LAYERS as TWO_LAYERS
from vlmad.testing._examples import UsualAttention as UsualAttention
from vlmad.testing._examples import example_features as example_features
from vlmad.testing._examples import example_images as example_images
from vlmad.testing._examples import example_text as example_text
from vlmad.testing._examples import two_layer_backbone as two_layer_backbone
from vlmad.testing._part_checks import check_attention as check_attention
from vlmad.testing._part_checks import check_extractor as check_extractor
from vlmad.testing._part_checks import check_learning as check_learning
from vlmad.testing._part_checks import check_prompts as check_prompts
from vlmad.testing._part_checks import check_scorer as check_scorer
