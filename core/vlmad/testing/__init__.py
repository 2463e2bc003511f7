"""For authors of parts: the promises that ``vlmad check`` holds parts to, for pytest.

A plugin's whole test can be::

    from vlmad.testing import parametrize_parts

    @parametrize_parts("vlmad-top-share")
    def test_parts_keep_the_contract(check):
        check()

A check returns nothing, or raises an AssertionError that says which promises are broken, and with
what smallest input. Whether the numbers are the method's own, only the plugin's tests can tell.
Beside the checks there are small seeded things to test parts with, and `TWO_LAYERS`, open_clip's
configuration of a CLIP with two blocks. All of them live in `vlmad_conformance`.
"""

from importlib import import_module
from typing import Any

_HOME = "vlmad_conformance.authors"
"""By name: the core imports no plugin."""


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(import_module(_HOME), name)
