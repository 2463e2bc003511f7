"""Everything vlmad raises on purpose.

    VlmadError
    ├── PluginError              a plugin cannot be loaded or breaks its contract
    │   └── NameClashError       two distributions registered the same name
    ├── UnknownPartError         no part, recipe or command of that name
    ├── OptionError              no such option, or a value of the wrong type
    ├── RecipeError              a recipe file that cannot be used
    ├── IncompatiblePartsError   parts that do not fit each other
    ├── WeightsError             weights or learned prompts missing, refused or of another model
    ├── InputError               images, references or names that cannot be used
    └── OutputError              a folder that cannot be written

The command line prints the message of any of them as one line on standard error and exits
with status 2; ``--debug`` shows the traceback instead.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class VlmadError(Exception):
    """The base of all errors that a user can do something about."""


class PluginError(VlmadError):
    """A plugin cannot be loaded, is outdated, or breaks its contract."""


class NameClashError(PluginError):
    """Two distributions registered the same name for one kind of part."""


class UnknownPartError(VlmadError):
    """No part, recipe or command has that name."""


class OptionError(VlmadError):
    """A part has no such option, or its value has the wrong type."""


class RecipeError(VlmadError):
    """A recipe file is unreadable or says something impossible."""


class IncompatiblePartsError(VlmadError):
    """The chosen parts do not fit each other."""


class WeightsError(VlmadError):
    """Weights or learned prompts are missing, refused, or belong to another model."""


class InputError(VlmadError):
    """Images, references or names that cannot be used."""


class OutputError(VlmadError):
    """A folder or file that cannot be written."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type if it says nothing.

    >>> first_line(ValueError("too long"))
    'too long'
    >>> first_line(EOFError())
    'EOFError'
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a clause that names what `word` may have meant, or all that is known.

    >>> did_you_mean("winclp", ["winclip", "hybrid"])
    "did you mean 'winclip'?"
    >>> did_you_mean("resnet", ["openclip", "tiny"])
    'known: openclip, tiny'
    """
    known = sorted(set(known))
    nearest = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    if nearest:
        return f"did you mean {' or '.join(repr(name) for name in nearest)}?"
    return f"known: {', '.join(known) or 'none'}"
