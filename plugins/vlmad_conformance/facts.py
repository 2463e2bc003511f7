"""The single facts that promises are made of; each raises a `Breach` that explains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vlmad.errors import reason_of

TOLERANCE = 1e-5
"""How much batch size and order may change a float32 result, relative to its size."""
LONG = 0.5
"""Seconds that nothing takes which is asked of a few small images."""
DEPTH = 4
"""How deep in an object its models are looked for."""
Made = TypeVar("Made")


class Breach(AssertionError):
    """A promise that is not kept.

    Args:
        what: the sentence.
        smallest: the smallest input of those tried that shows it.
    """

    def __init__(self, what: str, smallest: str = "") -> None:
        self.what, self.smallest = what, smallest
        super().__init__(f"{what}; smallest input: {smallest}" if smallest else what)


@contextmanager
def given(smallest: str) -> Iterator[None]:
    """Name the input to a breach within; whatever else is raised is one too."""
    try:
        yield
    except Breach as breach:
        raise type(breach)(breach.what, breach.smallest or smallest) from breach.__cause__
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise Breach(f"it raises {reason_of(error)}", smallest) from error


@contextmanager
def meaning(what: str) -> Iterator[None]:
    """Say what it means that something is raised within."""
    try:
        yield
    except Exception as error:
        raise Breach(f"{what}: {reason_of(error)}") from error


def require(fact: bool, otherwise: str) -> None:
    """Raise a breach that says `otherwise` unless the fact holds."""
    if not fact:
        raise Breach(otherwise)


def require_tensor(
    value: Any, shape: tuple[int, ...], name: str, kind: torch.dtype | None = torch.float32
) -> None:
    """Require a finite tensor of a shape, and of the type of what it was made of; None is any."""
    require(isinstance(value, Tensor), f"{name} is a {type(value).__name__}, not a tensor")
    require(tuple(value.shape) == shape, f"{name} has shape {tuple(value.shape)}, not {shape}")
    require(value.is_floating_point(), f"{name} is {value.dtype}, not floating point")
    require(kind in (None, value.dtype), f"{name} is {value.dtype}, made of {kind}")
    require(not value.requires_grad, f"{name} wants gradients")
    require(bool(torch.isfinite(value).all()), f"{name} holds values that are not finite")


def require_equal(one: Any, other: Any, otherwise: str) -> None:
    """Require that all tensors in two results are the same bit for bit."""
    first, second = list(tensors_in(one)), list(tensors_in(other))
    pairs = zip(first, second, strict=False)
    same = len(first) == len(second) and all(torch.equal(a, b) for a, b in pairs)
    require(same, otherwise)


def require_close(result: Any, known: Any, otherwise: str) -> None:
    """Require that all tensors in two results agree within `TOLERANCE`."""
    first, second = list(tensors_in(result)), list(tensors_in(known))
    require([t.shape for t in first] == [t.shape for t in second], f"{otherwise} (other shapes)")
    for a, b in zip(first, second, strict=True):
        one, other = a.double(), b.double()
        off = float((one - other).abs().max()) if a.numel() else 0.0
        allowed = TOLERANCE * max(1.0, float(other.abs().max()) if b.numel() else 0.0)
        require(off <= allowed, f"{otherwise} (by {off:.2g})")


def differ(one: Any, other: Any) -> bool:
    """Tell whether two results are further apart than by rounding."""
    try:
        require_close(one, other, "")
    except Breach:
        return True
    return False


def counted(count: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


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


def require_repeatable(compute: Callable[[], Made], name: str) -> Made:
    """Require that computing twice gives the same bits, and return the first result."""
    first = compute()
    kept = [tensor.clone() for tensor in tensors_in(first)]
    require_equal(kept, compute(), f"{name} gives another result when asked again")
    require_equal(kept, first, f"{name} writes to what it gave before")
    return first


def require_pure(compute: Callable[[], Made], *values: Any, name: str) -> Made:
    """Require that computing changes none of the values, and gives the same bits twice."""
    with unchanged(*values, name=name):
        compute()
    return require_repeatable(compute, name)


def require_quick(compute: Callable[[], object], name: str, most: float = LONG) -> None:
    """Require that the quickest of three calls is done soon: others may keep the machine busy."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - started)
        if seconds[-1] <= most:
            return
    require(False, f"{name} takes {min(seconds):.1f} seconds")


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
    """Return the modules that an object holds, in lists and objects of its own too."""
    found: dict[int, nn.Module] = {}
    _gather(value, found, set(), DEPTH)
    return list(found.values())


def _gather(value: Any, found: dict[int, nn.Module], seen: set[int], left: int) -> None:
    if isinstance(value, nn.Module):
        found[id(value)] = value
        return
    if left == 0 or id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inside: Any = value.values()
    elif isinstance(value, tuple | list | set):
        inside = value
    else:
        inside = vars(value).values() if hasattr(value, "__dict__") else ()
    for item in list(inside):
        _gather(item, found, seen, left - 1)


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
