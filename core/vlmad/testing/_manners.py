"""What a part must leave as it was: streams, signals, folder, random states, torch's settings."""

from __future__ import annotations

import io
import os
import random
import signal
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmad.testing._facts import require

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def good_manners(owner: str) -> Iterator[None]:
    """Require that what is done meanwhile changes nothing that all of a process have in common.

    Raises:
        AssertionError: it does; the message names what.
    """
    before, printed = _process_state(), io.StringIO()
    with redirect_stdout(printed):
        stream = sys.stdout
        yield
        require(sys.stdout is stream, f"{owner} exchanges standard output")
    require(not printed.getvalue(), f"{owner} prints to standard output, which is for results")
    now = _process_state()
    changed = [name for name, value in before.items() if now[name] != value]
    require(not changed, f"{owner} changes {', '.join(changed)}, which others use too")


def _process_state() -> dict[str, Any]:
    """Return what could be changed, in a form that can be compared."""
    numbers = signal.valid_signals()
    return {
        "the streams": (sys.stdin, sys.stdout, sys.stderr),
        "the handlers of signals": [signal.getsignal(number) for number in sorted(numbers)],
        "the working folder": os.getcwd(),
        "the environment": dict(os.environ),
        "Python's random numbers": random.getstate(),
        "numpy's random numbers": repr(np.random.get_state()),
        "torch's random numbers": torch.get_rng_state().tolist(),
        "torch's default type": torch.get_default_dtype(),
        "torch's gradients": torch.is_grad_enabled(),
        "torch's threads": torch.get_num_threads(),
        "numpy's errors": np.geterr(),
    }
