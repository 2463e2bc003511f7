"""Whether vlmad can work here: what `vlmad doctor` checks, each with its remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import tempfile
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.filesize import decimal

from vlmad.errors import InputError, VlmadError, first_line, reason_of
from vlmad.plugin import BUILT_IN
from vlmad.registry import Registry
from vlmad_doctor._catalogue import clashes
from vlmad_documents.documents import Document
from vlmad_openclip.store import find_place

if TYPE_CHECKING:
    from collections.abc import Iterator

LITTLE_ROOM = 500_000_000
"""Bytes on the disk that a run writes to, below which it is worth a note."""
NAME = re.compile(r"[\w.-]+")
FORMATS = ("tifffile", "imagecodecs")
"""What the extra `formats` brings."""
REINSTALL = "install vlmad anew: pip install --force-reinstall vlmad"


class HealthCheck(Document):
    """What was found of one thing; `wrong` is what keeps vlmad from working."""

    name: str
    status: Literal["ok", "note", "wrong"]
    found: str
    remedy: str = ""


class Health(Document):
    """All checks, and whether none found something wrong."""

    version: Literal[2] = 2
    works: bool
    checks: list[HealthCheck]


def check_health() -> Iterator[HealthCheck]:
    """Yield a check after the other, the quick ones first; none of them raises."""
    for check in (_python, _libraries, _formats, _plugins, _folders, _torch, _detection):
        try:
            yield from check()
        except Exception as error:  # whatever a damaged installation raises
            yield _wrong(check.__name__.strip("_"), reason_of(error), REINSTALL)


def _ok(name: str, found: str) -> HealthCheck:
    return HealthCheck(name=name, status="ok", found=found)


def _note(name: str, found: str, remedy: str) -> HealthCheck:
    return HealthCheck(name=name, status="note", found=found, remedy=remedy)


def _wrong(name: str, found: str, remedy: str) -> HealthCheck:
    return HealthCheck(name=name, status="wrong", found=found, remedy=remedy)


def _python() -> Iterator[HealthCheck]:
    yield _ok("vlmad", version("vlmad"))
    yield _ok("python", f"{platform.python_version()} on {platform.platform()}")


def _libraries() -> Iterator[HealthCheck]:
    """Look for what vlmad requires, extras aside."""
    versions = {}
    for line in requires("vlmad") or []:
        name = NAME.match(line)
        if name and "extra ==" not in line:
            versions[name[0]] = "missing"
            with suppress(PackageNotFoundError):
                versions[name[0]] = version(name[0])
    found = ", ".join(f"{name} {number}" for name, number in versions.items())
    missing = [name for name, number in versions.items() if number == "missing"]
    if missing:
        yield _wrong("libraries", found, f"pip install {' '.join(missing)}")
    else:
        yield _ok("libraries", found)


def _formats() -> Iterator[HealthCheck]:
    """Look for what reads images of more than 8 bits."""
    lost = [name for name in FORMATS if importlib.util.find_spec(name) is None]
    if lost:
        found = f"{' and '.join(lost)} missing: no TIFF or PNG of more than 8 bits in colour"
        yield _note("formats", found, 'if you have such images: pip install "vlmad[formats]"')
    else:
        yield _ok("formats", ", ".join(f"{name} {version(name)}" for name in FORMATS))


def _plugins() -> Iterator[HealthCheck]:
    registry = Registry.discover()
    usual = [p for p in registry.plugins if p.distribution == BUILT_IN and p.status == "ok"]
    if usual:
        count = sum(len(plugin.registrations) for plugin in usual)
        found = f"{len(usual)} of {BUILT_IN} {version(BUILT_IN)}, {count} registered"
        yield _ok("plugins", found)
    for plugin in registry.plugins:
        if plugin in usual:
            continue
        name, origin = f"plugin {plugin.name}", f"{plugin.distribution} {plugin.version}"
        lost = f"{origin}: {plugin.status}, {plugin.reason}"
        if plugin.status == "ok":
            yield _ok(name, f"{origin}, {len(plugin.registrations)} registered")
        elif plugin.status == "blocked":
            yield _ok(name, lost)
        elif plugin.distribution == BUILT_IN:
            yield _wrong(name, lost, REINSTALL)
        elif plugin.point is None:  # damaged metadata, which pip does not remove
            yield _note(name, lost, "delete that folder and install the plugin again")
        else:
            told = plugin.status == "incompatible"  # what to upgrade
            upgrade = "" if told else f"pip install --upgrade {plugin.distribution}, "
            yield _note(name, lost, f"{upgrade}or pip uninstall {plugin.distribution}")
    for (kind, name), registered in clashes(registry).items():
        choices = " or ".join(f"{r.distribution}:{r.name}" for r in registered)
        yield _note(f"{kind} {name}", "registered more than once", f"write {choices}")


def _folders() -> Iterator[HealthCheck]:
    yield _output_folder(Path.cwd())
    folder, reason = find_place()
    found, _, remedy = reason.partition("; ")
    if folder is not None:
        yield _kept_in("vlmad cache", folder)
    elif remedy:
        yield _note("vlmad cache", f"not used: {found}", remedy)
    else:
        yield _ok("vlmad cache", f"not used: {found}")  # as the user wants it
    from huggingface_hub import constants  # comes with open_clip_torch

    yield _kept_in("Hugging Face cache", Path(constants.HF_HUB_CACHE))


def _output_folder(folder: Path) -> HealthCheck:
    try:
        tempfile.TemporaryFile(dir=folder).close()
        room = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "work in another folder, or give --out FOLDER"
        return _wrong("output folder", f"{folder}: {error.strerror or error}", remedy)
    found = f"{folder} is writable, {decimal(room)} free"
    if room < LITTLE_ROOM:
        return _note("output folder", found, "make room, or give --out FOLDER on another disk")
    return _ok("output folder", found)


def _kept_in(name: str, folder: Path) -> HealthCheck:
    used = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # deleted meanwhile
            used += file.lstat().st_size if file.is_file() and not file.is_symlink() else 0
    return _ok(name, f"{folder}, {decimal(used) if folder.exists() else 'not there yet'}")


def _torch() -> Iterator[HealthCheck]:
    """Import torch and torchvision, which fail together where they do not fit each other."""
    try:
        import torch

        importlib.import_module("torchvision")
        from vlmad_openclip.devices import computes_bfloat16, pick_device
    except Exception as error:  # loaders of shared libraries raise what they like
        remedy = "install both from one source: pip install --force-reinstall torch torchvision"
        yield _wrong("torch", reason_of(error), remedy)
        return
    device = pick_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    yield _ok("device", f"{name}, {torch.get_num_threads()} threads on {os.cpu_count()} processors")
    native = computes_bfloat16(device)
    found = "float32 and, natively, bfloat16" if native else "float32; bfloat16 only emulated"
    yield _ok("precision", found)


def _detection() -> Iterator[HealthCheck]:
    """Score one image with the default detector, from end to end."""
    from PIL import Image

    from vlmad import load_detector

    started = time.monotonic()
    try:
        [result] = load_detector().predict(Image.linear_gradient("L").convert("RGB"))
        if result.error:
            raise InputError(result.error)
    except VlmadError as error:
        yield _wrong("detection", first_line(error), REINSTALL)
        return
    seconds = time.monotonic() - started
    found = f"the default detector scores an image, loaded and done in {seconds:.2f} s"
    yield _ok("detection", found)
