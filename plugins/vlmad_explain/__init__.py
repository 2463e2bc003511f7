"""What drove a score, for people and machines: `explain`, and the command ``vlmad explain``.

>>> from vlmad_explain import explain
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register
    from vlmad_explain._explaining import explain, explain_with_maps

__all__ = ["explain", "explain_with_maps"]


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad explain`."""
    register(
        "explain",
        "vlmad_explain.cli:explain",
        "Say what was found where, and what drove the score.",
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from vlmad_explain import _explaining  # here, because it needs torch

    return getattr(_explaining, name)
