"""Whether a plugin is made for this vlmad: the number ``vlmad_api`` that its package may state."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Literal

import pluggy

from vlmad.errors import PluginError, one_line, reason_of
from vlmad.hookspecs import API

_STATED = re.compile(r"^vlmad_api\b[^=\n]*=\s*(\d{1,9})\b", re.MULTILINE)


class IncompatiblePluginError(PluginError):
    """A plugin is made for another API of vlmad."""


def stated_api(package: str) -> int:
    """Return for which API a package says that it is made, without running any of it."""
    spec = find_spec(package) if package else None
    source = getattr(spec.loader, "get_source", None) if spec is not None else None
    found = _STATED.search((source and source(package)) or "")
    return int(found[1]) if found else API


def check_api(number: object, distribution: str) -> None:
    """Refuse a plugin that is made for another API.

    Raises:
        IncompatiblePluginError: it is; what to upgrade is named.
    """
    if number != API:
        newer = isinstance(number, int) and number > API
        remedy = f"pip install --upgrade {'vlmad' if newer else distribution}"
        made_for = f"it is made for API {one_line(repr(number))} of vlmad"
        raise IncompatiblePluginError(f"{made_for}, and this one has API {API}: {remedy}")


def status_of(
    error: BaseException, package: str, distribution: str
) -> tuple[Literal["incompatible", "broken"], str]:
    """Return what an error makes of a plugin, and why: what vlmad lacks is of another API.

    Modules of vlmad are `vlmad` and those named alike, but for the plugin's own.
    """
    if isinstance(error, IncompatiblePluginError):
        return "incompatible", str(error)
    top = (getattr(error, "name", None) or "").partition(".")[0]
    of_vlmad = top == "vlmad" or (top.startswith("vlmad_") and top != package)
    lacks = isinstance(error, ImportError) and of_vlmad
    if not lacks and not isinstance(error, pluggy.PluginValidationError):
        return "broken", reason_of(error)
    remedy = f"this vlmad has API {API}; pip install --upgrade vlmad {distribution}"
    return "incompatible", f"{reason_of(error)}: {remedy}"
