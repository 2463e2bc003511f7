"""The single facts that the checks are made of; each raises an AssertionError that explains."""

from __future__ import annotations

import io
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 1e-5
"""How much batch size and order may change a float32 result, relative to its size."""


def require(fact: bool, otherwise: str) -> None:
    """Raise an AssertionError that says `otherwise` unless the fact holds."""
    if not fact:
        raise AssertionError(otherwise)


def require_tensor(value: Any, shape: tuple[int, ...], name: str) -> None:
    """Require a finite floating-point tensor of a shape."""
    require(isinstance(value, Tensor), f"{name} is a {type(value).__name__}, not a tensor")
    require(tuple(value.shape) == shape, f"{name} has shape {tuple(value.shape)}, not {shape}")
    require(value.is_floating_point(), f"{name} is {value.dtype}, not floating point")
    require(bool(torch.isfinite(value).all()), f"{name} holds values that are not finite")


def require_equal(one: Any, other: Any, otherwise: str) -> None:
    """Require that all tensors in two results are the same bit for bit."""
    pairs = zip(tensors_in(one), tensors_in(other), strict=True)
    require(all(torch.equal(a, b) for a, b in pairs), otherwise)


def require_close(one: Any, other: Any, otherwise: str) -> None:
    """Require that all tensors in two results agree within `TOLERANCE`."""
    for a, b in zip(tensors_in(one), tensors_in(other), strict=True):
        off = float((a - b).abs().max()) if a.numel() else 0.0
        allowed = TOLERANCE * max(1.0, float(b.abs().max()) if b.numel() else 0.0)
        require(off <= allowed, f"{otherwise} (by {off:.2g})")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dataclasses, mappings and sequences, in a fixed order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


def require_repeatable(compute: Callable[[], Any], name: str) -> Any:
    """Require that computing twice gives the same bits, and return the first result."""
    first = compute()
    require_equal(first, compute(), f"{name} gives another result when asked again")
    return first


@contextmanager
def unchanged(*values: Any, name: str) -> Iterator[None]:
    """Require that nothing done meanwhile changes the tensors and models in `values`."""
    before = [[tensor.clone() for tensor in tensors_in(value)] for value in values]
    models = [(module, _snapshot(module)) for value in values for module in modules_of(value)]
    yield
    for value, tensors in zip(values, before, strict=True):
        require_equal(tensors, list(tensors_in(value)), f"{name} changes what it is given")
    for module, (weights, surface) in models:
        now, now_surface = _snapshot(module)
        require_equal(weights, now, f"{name} changes the model's weights")
        require(surface == now_surface, f"{name} leaves hooks or patches behind on the model")


def modules_of(value: Any) -> list[nn.Module]:
    """Return the modules that an object holds."""
    if isinstance(value, nn.Module):
        return [value]
    attributes = getattr(value, "__dict__", {})
    return [item for item in attributes.values() if isinstance(item, nn.Module)]


def _snapshot(module: nn.Module) -> tuple[dict[str, Tensor], list[Any]]:
    """Return a module's weights and whatever a patch, hook or mode would change."""
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    surface: list[Any] = []
    for name, child in module.named_modules():
        own = {key: id(item) for key, item in vars(child).items() if callable(item)}
        hooks = {
            key: list(item or ()) for key, item in vars(child).items() if key.endswith("_hooks")
        }
        surface.append((name, type(child), child.training, sorted(vars(child)), own, hooks))
    return weights, surface


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
