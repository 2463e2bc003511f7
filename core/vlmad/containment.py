"""Running a plugin's code so that whatever it does there becomes an error that names it.

A plugin runs in the process of vlmad, with all its rights. What it can do and what can be told
or put back is contained here: whatever it raises, standard output, and what all of a process
have in common (`vlmad.surroundings`). What ends or holds up the process itself cannot be:
`os._exit`, a crash of native code, an endless loop.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vlmad.errors import PluginError, VlmadError, reason_of
from vlmad.surroundings import kept

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def contained(what: str, importing: bool = False) -> Iterator[list[str]]:
    """Run a plugin's code; yield a list that at the end names what it changed and was put back.

    Args:
        what: what happens and whose it is, as in ``scorer 'blunt' of blunt 1.0 failed``.
        importing: whether modules are imported, so that all is put back and no error is
            anything but the plugin's fault.

    Raises:
        PluginError: it raised anything but an error of vlmad's own, `SystemExit` and
            `KeyboardInterrupt` among it; what it raised is the cause.
        KeyboardInterrupt: the user interrupted it, whatever it made of that.
    """
    with _interruptions() as interruptions:
        try:
            with kept(importing) as changed:
                yield changed
        except BaseException as error:
            if isinstance(error, VlmadError) and not importing:
                raise  # a part may say what is wrong with an image, an option or weights
            if interruptions:
                raise KeyboardInterrupt from error
            raise PluginError(f"{what}: {reason_of(error)}") from error
    if interruptions:  # which it swallowed
        raise KeyboardInterrupt


@contextmanager
def _interruptions() -> Iterator[list[str]]:
    """Yield a list that holds something once the user, and nobody else, interrupted."""
    seen: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not (main and callable(before)):
        yield seen
        return

    def note(number: int, frame: Any) -> None:
        try:
            before(number, frame)
        except KeyboardInterrupt as error:
            seen.append(error)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
