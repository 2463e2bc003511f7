"""Whether vlmad can work here: what `vlmad doctor` checks, each with its remedy."""

from __future__ import annotations

import importlib
import io
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlmad.errors import VlmadError, blaming, first_line, one_line
from vlmad.registry import BUILT_IN, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLDEST_PYTHON = (3, 11)
LITTLE_ROOM = 500_000_000
"""Bytes on the disk that a run writes to, below which it is worth a note."""
Status = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing; `wrong` is what keeps vlmad from working."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def check_health() -> Iterator[Check]:
    """Yield a check after the other, the quick ones first; none of them raises."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _versions,
        _plugins,
        _formats,
        _folders,
        _torch,
        _offline,
        _detection,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # whatever a damaged installation raises
            name = check.__name__.strip("_")
            yield Check(name, "wrong", f"{type(error).__name__}: {first_line(error)}", REINSTALL)


REINSTALL = "install vlmad anew: pip install --force-reinstall vlmad"


def _versions() -> Iterator[Check]:
    python, own = platform.python_version(), version("vlmad")
    recent = sys.version_info >= OLDEST_PYTHON
    yield Check("vlmad", "ok", own, details={"version": own, "folder": str(Path(__file__).parent)})
    yield Check(
        "python",
        "ok" if recent else "wrong",
        f"{python} on {platform.platform()}",
        "" if recent else f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or later",
        {"version": python, "executable": sys.executable},
    )
    found = {name: _version(name) for name in _dependencies()}
    missing = [name for name, number in found.items() if number is None]
    shown = ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())
    remedy = f"pip install {' '.join(missing)}" if missing else ""
    yield Check("libraries", "wrong" if missing else "ok", shown, remedy, dict(found))


def _dependencies() -> list[str]:
    """Return the names of the distributions that vlmad requires, those of extras aside."""
    names = []
    for line in requires("vlmad") or []:
        name = re.match(r"[\w.-]+", line)
        if name and "extra ==" not in line:
            names.append(name[0])
    return names


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plugins() -> Iterator[Check]:
    registry = Registry.discover()
    status: Status
    for plugin in registry.plugins:
        own, origin = plugin.distribution == BUILT_IN, f"{plugin.distribution} {plugin.version}"
        details = {"distribution": plugin.distribution, "version": plugin.version}
        if plugin.status in ("ok", "blocked"):
            count = len(plugin.registrations)
            found = f"{origin}, {count} name{'' if count == 1 else 's'}"
            found = found if plugin.status == "ok" else f"{origin}, {plugin.reason}"
            status, remedy = "ok", ""
            if plugin.changed:
                found += f"; when it was loaded it changed {', '.join(plugin.changed)}"
                status, remedy = "note", "that was put back; tell its author"
            yield Check(f"plugin {plugin.name}", status, found, remedy, details)
        else:
            upgrade = f"pip install --upgrade {plugin.distribution}, or uninstall it"
            status, remedy = ("wrong", REINSTALL) if own else ("note", upgrade)
            found = f"{origin}: {plugin.status}, {plugin.reason}"
            yield Check(f"plugin {plugin.name}", status, found, remedy, details)
    for (kind, name), registered in registry.clashes().items():
        choices = " or ".join(f"{r.distribution}:{r.name}" for r in registered)
        yield Check(f"{kind} {name}", "note", "registered more than once", f"write {choices}")


def _formats() -> Iterator[Check]:
    """Write and read a small image in each format that runs take."""
    from PIL import Image

    from vlmad.images import FORMATS

    read: dict[str, bool] = {}
    for name in FORMATS:
        buffer = io.BytesIO()
        try:
            Image.new("RGB", (8, 8), "red").save(buffer, name)
            with Image.open(buffer, formats=[name]) as image:
                image.load()
            read[name] = True
        except (OSError, KeyError, ValueError):
            read[name] = False
    lost = [name for name, works in read.items() if not works]
    remedy = f"Pillow lacks {', '.join(lost)}: pip install --force-reinstall pillow"
    found = ", ".join(name for name in read if name not in lost)
    essential = {"PNG", "JPEG"} & set(lost)
    status: Status = "wrong" if essential else "note" if lost else "ok"
    yield Check("image formats", status, found, remedy if lost else "", dict(read))


def _folders() -> Iterator[Check]:
    here = Path.cwd()
    reason = _unwritable(here)
    room = shutil.disk_usage(here).free
    details = {"folder": str(here), "free_bytes": room}
    if reason:
        remedy = "work in another folder, or give --out FOLDER"
        yield Check("output folder", "wrong", f"{here}: {reason}", remedy, details)
    else:
        little = room < LITTLE_ROOM
        yield Check(
            "output folder",
            "note" if little else "ok",
            f"{here} is writable, {_size(room)} free",
            "make room, or give --out FOLDER on another disk" if little else "",
            details,
        )
    yield check_cache()
    yield _holding("Hugging Face cache", hub_cache())


def check_cache() -> Check:
    """Look at what is kept between runs; without it everything works, if slower."""
    from vlmad.caches import KINDS, find_place
    from vlmad.caches.place import distrust

    place = find_place()
    reasons = [place.reason]
    if place.folder is not None:
        reasons = [reason for kind in KINDS if (reason := distrust(place.folder / kind))]
        if not reasons:
            return _holding("vlmad cache", place.folder)
    folder = str(place.folder or "")
    found, _, remedy = reasons[0].partition("; ")
    status: Status = "note" if remedy else "ok"  # it is as the user wants it
    return Check("vlmad cache", status, f"not used: {found}", remedy, {"folder": folder})


def _holding(name: str, folder: Path) -> Check:
    used = _used(folder)
    found = f"{folder}, {_size(used)}" if folder.exists() else f"{folder}, not there yet"
    return Check(name, "ok", found, details={"folder": str(folder), "bytes": used})


def _unwritable(folder: Path) -> str | None:
    """Return why no file can be made in a folder, or None if one could."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def hub_cache() -> Path:
    """Return the folder that published weights are downloaded to."""
    from huggingface_hub import constants  # comes with open_clip_torch

    return Path(constants.HF_HUB_CACHE)


def _used(folder: Path) -> int:
    """Return the bytes of the files below a folder; links count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(place, name))
            except OSError:  # deleted meanwhile
                continue
            total += status.st_size if not os.path.islink(os.path.join(place, name)) else 0
    return total


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _torch() -> Iterator[Check]:
    """Import torch and torchvision, which fail together where they do not fit each other."""
    try:
        import torch

        importlib.import_module("torchvision")
        from vlmad_openclip.devices import computes_bfloat16, pick_device
    except Exception as error:  # loaders of shared libraries raise what they like
        remedy = "install both from one source: pip install --force-reinstall torch torchvision"
        yield Check("torch", "wrong", f"{type(error).__name__}: {first_line(error)}", remedy)
        return
    device = pick_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads, processors = torch.get_num_threads(), os.cpu_count() or 1
    details = {"type": device.type, "name": name, "threads": threads, "processors": processors}
    found = f"{name}, {threads} threads on {processors} processors"
    yield Check("device", "ok", found, details=details)
    native = computes_bfloat16(device)
    found = "float32 and, natively, bfloat16" if native else "float32; bfloat16 only emulated"
    details = {"float32": True, "bfloat16": native}
    yield Check("precision", "ok", found, details=details)


def _offline() -> Iterator[Check]:
    """Ask each backbone that can tell which models need no network."""
    for registration in Registry.discover().of_kind("backbone"):
        name = f"backbone {registration.name}"
        try:
            factory = registration.resolve()
            with blaming(f"{registration} cannot tell"):
                if not hasattr(factory, "at_hand"):
                    continue
                models = [one_line(str(model)) for model in factory.at_hand()]
        except VlmadError as error:
            remedy = f"see vlmad describe backbone:{registration.name}"
            yield Check(name, "note", first_line(error), remedy)
            continue
        if models:
            found, remedy = f"works offline: {', '.join(models)}", ""
        else:
            found = "no weights on this machine yet"
            remedy = "they are downloaded when first used, or give --weights FILE"
        status: Status = "ok" if models else "note"
        yield Check(name, status, found, remedy, {"at_hand": models})


def _detection() -> Iterator[Check]:
    """Score one image with the default detector, from end to end."""
    from PIL import Image

    from vlmad.building import load_detector

    started = time.monotonic()
    try:
        [result] = load_detector().predict(Image.linear_gradient("L").convert("RGB"))
    except VlmadError as error:
        yield Check("detection", "wrong", first_line(error), REINSTALL)
        return
    seconds = round(time.monotonic() - started, 2)
    if result.error:
        yield Check("detection", "wrong", result.error, REINSTALL)
        return
    found = f"the default detector scores an image, loaded and done in {seconds} s"
    yield Check("detection", "ok", found, details={"seconds": seconds, "score": result.score})
