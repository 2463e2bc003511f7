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
with status 2; ``--debug`` shows the traceback instead. A factory may raise `OptionError`, a part
`WeightsError` and `InputError`, which costs only those images of a batch that raise it alone.
Whatever else a part raises becomes a `PluginError` that names it.
"""

from __future__ import annotations

import difflib
import re
import signal
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class VlmadError(Exception):
    """The base of all errors that a user can do something about."""


class PluginError(VlmadError):
    """A plugin cannot be loaded, is incompatible, or breaks its contract."""


class NameClashError(PluginError):
    """Two distributions registered the same name for one kind of part."""


class UnknownPartError(VlmadError):
    """No part, recipe or command has that name."""


class OptionError(VlmadError):
    """A part has no such option, or its value cannot be."""


class RecipeError(VlmadError):
    """A recipe file is unreadable or says something impossible."""


class IncompatiblePartsError(VlmadError):
    """The chosen parts do not fit each other.

    Args:
        problem: what does not fit.
        remedies: words of a command line, each of which would make them fit.
    """

    def __init__(self, problem: str, remedies: Iterable[str] = ()) -> None:
        self.problem, self.remedies = problem, tuple(remedies)
        tried = f"; try {' or '.join(self.remedies)}" if self.remedies else ""
        super().__init__(problem + tried)


class WeightsError(VlmadError):
    """Weights or learned prompts are missing, refused, or belong to another model."""


class InputError(VlmadError):
    """Images, references or names that cannot be used."""


class OutputError(VlmadError):
    """A folder or file that cannot be written."""


@contextmanager
def blaming(what: str, importing: bool = False) -> Iterator[None]:
    """Turn whatever a plugin's code raises into an error that names the plugin.

    Args:
        what: what happens and whose it is, as in ``scorer 'blunt' of blunt 1.0 failed``.
        importing: whether modules are imported, so that any error is the plugin's fault.

    Raises:
        PluginError: it raised anything but an error of vlmad's own, `SystemExit` among it.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, VlmadError) and not importing:
            raise  # a part may say what is wrong with an image, an option or weights
        if isinstance(error, KeyboardInterrupt) and not _is_a_plugins(error):
            raise
        raise PluginError(f"{what}: {reason_of(error)}") from error


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C: so the command line tells it from a plugin's KeyboardInterrupt."""


def raise_interrupted(number: int, frame: object) -> None:
    """Handle SIGINT, as the command line has it from its start to its end."""
    raise Interrupted


def _is_a_plugins(error: KeyboardInterrupt) -> bool:
    known = signal.getsignal(signal.SIGINT) is raise_interrupted
    return known and not isinstance(error, Interrupted)


MOST_WORDS = 300
"""Characters of what a plugin or file says that are shown."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if there is none.

    >>> first_line(EOFError())
    'EOFError'
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def reason_of(error: BaseException) -> str:
    r"""Return an error's type and message in one printable line.

    >>> reason_of(ValueError("two\nlines"))
    'ValueError: two lines'
    """
    try:
        text = one_line(str(error))
    except BaseException as other:  # that of a plugin may itself fail when it is asked
        text = f"its message cannot be read: {type(other).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def one_line(text: str, most: int = MOST_WORDS) -> str:
    r"""Return a text as one line of bounded length that does nothing to a terminal.

    >>> one_line("a\n\x1b[31mb", 20)
    'a \\x1b[31mb'
    """
    safe = printable(" ".join(text[: 2 * most].split()))
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


MOST_SHOWN = 600
"""Characters of a line that people read."""


def shown(text: object) -> str:
    r"""Return any text as a line that a person can be shown: all of it shows, a line or two long.

    The middle of what is longer is left out: messages end with the remedy.

    >>> print(shown("a\x1b[31m\nb"), len(shown("x" * 100_000)))
    a\x1b[31m b 600
    """
    return _without_middle(printable(_without_middle(str(text))))


def _without_middle(text: str) -> str:
    left = 2 * MOST_SHOWN // 3
    return text if len(text) <= MOST_SHOWN else f"{text[:left]}…{text[left + 1 - MOST_SHOWN :]}"


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


WRITTEN_WITH = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Without these, some scripts cannot be written; other invisible characters only deceive."""


def printable(text: object) -> str:
    r"""Return a text on one line in which every character shows, escaped if need be.

    >>> print(printable("a\nb\x00c\udcff"))
    a b\x00c\udcff
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(_shown(c) for c in re.sub(r"[\t\n\r\v\f]\s*", " ", words))


def _shown(character: str) -> str:
    is_space = unicodedata.category(character) == "Zs"  # of any width
    if character.isprintable() or character in WRITTEN_WITH or is_space:
        return character
    return character.encode("unicode_escape").decode("ascii")
