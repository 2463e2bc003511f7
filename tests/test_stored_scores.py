"""No upgrade changes scores unnoticed: built-in parts carry a number that rises when it does."""

from __future__ import annotations

import pytest

from vlmad.hookspecs import KINDS
from vlmad.registry import Registry

from .stored_scores import DETECTORS, REMEDY, agree, scored, stored


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.slow
def test_scores_are_those_that_are_stored_unless_a_number_rises(name: str) -> None:
    was, now = stored()[name], scored(name)
    if not agree(was, now):
        said = "weights, options or a number are others too: run python tests/stored_scores.py"
        why = REMEDY if was.identity == now.identity else said
        pytest.fail(f"the scores of {name} are others than those stored; {why}")


def test_scores_of_every_built_in_part_are_stored(registry: Registry) -> None:
    kept = {part for each in stored().values() for part in each.parts}
    own = [r for kind in KINDS for r in registry.of_kind(kind) if r.distribution == "vlmad"]
    assert {f"{r.kind}:{r.name}" for r in own} == kept
