"""What a plugin's code could change of the process that it shares with all others, put back.

Reading a thing costs about a microsecond; so what a part at work could change by mistake is
looked at every time, and all the rest where a module is imported.
"""

from __future__ import annotations

import gc
import io
import locale
import os
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNKNOWN = object()


class Thing(NamedTuple):
    """A thing that all of a process have in common."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    usual: Any = UNKNOWN
    """What it was, where the module it belongs to was not imported yet."""


@contextmanager
def kept(everything: bool) -> Iterator[list[str]]:
    """Put back, at the end, what was changed meanwhile; yield a list that then names it.

    What is printed goes to standard error: standard output is for results. Random states are put
    back too, without a word, where a module is imported.

    Args:
        everything: whether to look at all things, as where a module is imported.
    """
    before = {thing.name: thing.read() for thing in _things(everything)}
    drawn = _random_states() if everything else []
    streams, aside = (sys.stdin, sys.stdout, sys.stderr), _Aside(sys.stderr)
    sys.stdout = aside
    changed: list[str] = []
    try:
        yield changed
    finally:
        if (sys.stdin, sys.stdout, sys.stderr) != (streams[0], aside, streams[2]):
            changed.append("the standard streams")
        sys.stdin, sys.stdout, sys.stderr = streams
        for restore, state in drawn:
            restore(state)
        for thing in _things(everything):
            value = before.get(thing.name, thing.usual)
            with suppress(Exception):  # such as a folder that is gone
                if value is not UNKNOWN and thing.read() != value:
                    thing.restore(value)
                    changed.append(thing.name)


class _Aside(io.TextIOBase):
    """A standard output whose text goes to standard error, which closing it leaves open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._stream.write(text))

    def __getattribute__(self, name: str) -> Any:
        if name in ("flush", "fileno", "isatty", "encoding", "errors", "buffer"):
            return getattr(self._stream, name)
        return super().__getattribute__(name)


def _things(everything: bool) -> list[Thing]:
    things = [_FOLDER]
    if everything:
        things += [*_PYTHON, *_signals()]
    if hasattr(sys.modules.get("torch"), "inference_mode"):  # imported to its end
        things += _of_torch(sys.modules["torch"], everything)
    if everything and "numpy.random" in sys.modules:
        numpy: Any = sys.modules["numpy"]
        things.append(Thing("numpy's errors", numpy.geterr, lambda how: numpy.seterr(**how)))
    return things


def _random_states() -> list[tuple[Callable[[Any], object], Any]]:
    states: list[tuple[Callable[[Any], object], Any]] = [(random.setstate, random.getstate())]
    numpy: Any = sys.modules.get("numpy.random")
    torch: Any = sys.modules.get("torch")
    if hasattr(numpy, "get_state"):
        states.append((numpy.set_state, numpy.get_state()))
    if hasattr(torch, "set_rng_state"):
        states.append((torch.set_rng_state, torch.get_rng_state()))
    return states


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


class _Filters(list[Any]):
    """Filters of warnings; the same as others if none came or went that concern everybody.

    Libraries add filters of their own when they are imported: those name a message, a module or
    a kind of warning that is theirs.
    """

    def __ne__(self, other: object) -> bool:
        assert isinstance(other, list)
        lost = [each for each in other if each not in self]
        return bool(lost) or any(_is_broad(each) for each in self if each not in other)


def _is_broad(each: Any) -> bool:
    _, message, category, module, _ = each
    return message is None and module is None and category.__module__ == "builtins"


def _restore_filters(before: list[Any]) -> None:
    new = [each for each in warnings.filters if each not in before and not _is_broad(each)]
    with warnings.catch_warnings():  # leaving it makes Python forget what it made of the filters
        pass
    warnings.filters[:] = [*new, *before]  # type: ignore[index]


_FOLDER = Thing("the working folder", _folder, os.chdir)
_PYTHON = (
    Thing("the filters of warnings", lambda: _Filters(warnings.filters), _restore_filters),
    Thing(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda value: locale.setlocale(locale.LC_ALL, value),
    ),
    Thing("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
    Thing("the command's words", lambda: [*sys.argv], lambda words: setattr(sys, "argv", words)),
    Thing("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    Thing("the tracing of calls", sys.gettrace, sys.settrace),
    Thing(
        "what tells of exceptions",
        lambda: sys.excepthook,
        lambda hook: setattr(sys, "excepthook", hook),
    ),
)


def _signals() -> Iterator[Thing]:
    """Yield the handlers of signals, which only the main thread may set."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signal.Signals:
        if signal.getsignal(number) is not None:  # else it was not set from Python
            read, restore = partial(signal.getsignal, number), partial(signal.signal, number)
            yield Thing(f"the handler of {number.name}", read, restore)


def _of_torch(torch: Any, everything: bool) -> Iterator[Thing]:
    """Yield what changes the numbers that others compute later, or how fast."""
    dtype = torch.get_default_dtype, torch.set_default_dtype, torch.float32
    yield Thing("torch's default type", *dtype)
    yield Thing("torch's gradients", torch.is_grad_enabled, torch.set_grad_enabled, True)
    yield Thing("torch's threads", torch.get_num_threads, torch.set_num_threads)
    for kind in ("cpu", "cuda"):
        read, switch = torch.is_autocast_enabled, torch.set_autocast_enabled
        yield Thing(f"autocasting on {kind}", partial(read, kind), partial(switch, kind), False)
    if everything:
        yield Thing("torch's default device", torch.get_default_device, torch.set_default_device)
