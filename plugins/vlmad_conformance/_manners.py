"""What all of a process have in common, and that a part leaves it alone."""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from vlmad_conformance.facts import Breach

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

ODD_SEED = 902_407_113
"""One that nobody sets, so that it shows whoever sets one."""


class Rudeness(Breach):
    """Something was changed that all of a process have in common."""


@contextmanager
def good_manners(owner: str) -> Iterator[None]:
    """Require that what is done meanwhile changes nothing that all of a process have in common.

    Raises:
        Rudeness: it does; the message names what. It goes before what is raised within, for
            which it may be the reason.
    """
    with _as_it_was(), _descriptor_kept() as file:
        before, printed = _process_state(), io.StringIO()
        stream = sys.stdout
        sys.stdout = printed
        try:
            yield
        finally:
            rude = "exchanges standard output" if sys.stdout is not printed else ""
            sys.stdout = stream
            if printed.getvalue() or os.fstat(file.fileno()).st_size:
                rude = "prints to standard output, which is for results"
            now = _process_state()
            changed = [name for name, value in before.items() if now[name] != value]
            if changed:
                rude = f"changes {', '.join(changed)}, which others use too"
            if rude:
                raise Rudeness(f"{owner} {rude}")


@contextmanager
def _descriptor_kept() -> Iterator[IO[bytes]]:
    """Let descriptor 1 lead to a file meanwhile, which shows what libraries write to it."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield file
        finally:
            os.dup2(kept, 1)
            os.close(kept)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Begin with odd random states; put back those and what else would spoil what follows."""
    python, numbers, drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    kind, threads, folder = torch.get_default_dtype(), torch.get_num_threads(), os.getcwd()
    random.seed(ODD_SEED)
    np.random.seed(ODD_SEED)
    torch.manual_seed(ODD_SEED)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(drawn)
        torch.set_default_dtype(kind)
        torch.set_num_threads(threads)
        os.chdir(folder)


def _process_state() -> dict[str, Any]:
    """Return what could be changed, in a form that can be compared."""
    numbers, drawn = signal.valid_signals(), cast("tuple[Any, ...]", np.random.get_state())
    return {
        "standard input and error": (sys.stdin, sys.stderr),
        "the handlers of signals": [signal.getsignal(number) for number in sorted(numbers)],
        "the working folder": os.getcwd(),
        "the environment": dict(os.environ),
        "Python's random numbers": random.getstate(),
        "numpy's random numbers": (drawn[1].tobytes(), drawn[2:]),
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "torch's default type": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch's choice of algorithms": (
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.benchmark,
        ),
        "torch's threads": torch.get_num_threads(),
        "numpy's errors": np.geterr(),
        "where modules are looked for": list(sys.path),
        "which warnings are shown": list(warnings.filters),
        "what is logged": (logging.root.level, list(logging.root.handlers)),
        "the number of threads": threading.active_count(),
    }
