"""What several test modules need: small real things, made once."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from vlmad.registry import Registry, installed

if TYPE_CHECKING:  # torch is for the workers alone, not for the process that deals out tests
    from torch import Tensor

    from vlmad import Backbone, Features, View

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start would ignore it too
os.environ["VLMAD_PRECISION"] = "float32"  # tolerances are those of float32, on any machine
settings.register_profile("vlmad", deadline=None)  # a test says what is right, not how fast
settings.load_profile("vlmad")
# workers share the processor; torch, which is imported later, computes the same in all processes
os.environ["OMP_NUM_THREADS"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers inherit it
    os.environ["VLMAD_CACHE"] = tempfile.mkdtemp(prefix="vlmad-tests-")

SMALL = (
    *("--backbone", f"openclip:{Path(__file__).parents[1] / 'core/vlmad/testing/two_layer.json'}"),
    *("--set", "backbone.weights=random:0"),
)
"""Words that choose a model of two layers, for all that is not a fact of the embedded one."""
PROCESSES = frozenset({"process", "browser", "broker", "camera"})
"""Fixtures with which tests start processes: whoever uses them, even by others, is slow."""
Done = subprocess.CompletedProcess[str]
Process = Callable[..., Done]
_slow = False  # whether the test that runs now may start a process


def pytest_unconfigure() -> None:
    """Delete the caches of all tests, once."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["VLMAD_CACHE"], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever needs a process of its own."""
    for item in items:
        if PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember whether the test is slow: quick ones may not start Python."""
    global _slow
    _slow = item.get_closest_marker("slow") is not None


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and not _slow and "PYTEST_CURRENT_TEST" in os.environ:
        name = Path(os.fsdecode(arguments[0])).name
        if name.startswith("python"):
            pytest.fail(f"a test that starts {name} is slow: use the fixture `process` or mark it")


sys.addaudithook(_refuse_processes)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What is installed."""
    return Registry.discover()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of a test's own, not yet made."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VLMAD_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def two_layer() -> Backbone:
    """A CLIP of two blocks with seeded weights."""
    from vlmad.testing import two_layer_backbone

    return two_layer_backbone()


@pytest.fixture(scope="session")
def two_layer_file(two_layer: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of the two-layer model, last changed long ago."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "two_layer.safetensors"
    save_file(two_layer.model.state_dict(), path)  # type: ignore[attr-defined]
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture(scope="session")
def learned_file(two_layer: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learned prompts (three vectors, two deep tokens) of the two-layer model's width."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    width = two_layer.spec.text_width
    shapes = {"context.normal": 3, "context.anomalous": 3, "deep.1": 2}
    tensors = {k: torch.randn(n, width, generator=generator) for k, n in shapes.items()}
    metadata = {
        "template.normal": "X X X object.",
        "template.anomalous": "X X X damaged object.",
        "class_token": "raw",
        "backbone": "two layers",
    }
    path = tmp_path_factory.mktemp("learned") / "learned.safetensors"
    save_file(tensors, path, metadata)
    return path


def install_plugin(folder: Path, name: str, source: str, version: str = "1.0") -> None:
    """Write a module and the metadata that pip would write: one entry point of group vlmad."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[vlmad]\n{module} = {module}\n")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Yield a function that makes a plugin importable and found, in this process only."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    # bytecode knows its source by size and whole seconds, in which a test edits and imports again
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def forget() -> None:
        from vlmad_openclip.code_digest import distribution_digest

        installed.cache_clear()
        distribution_digest.cache_clear()
        for module in set(sys.modules) - before:
            origin = getattr(sys.modules[module], "__file__", None) or ""
            if origin.startswith(str(folder)):
                del sys.modules[module]

    def add(name: str, source: str, version: str = "1.0") -> Path:
        for earlier in folder.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(earlier)
        install_plugin(folder, name, source, version)
        forget()
        return folder

    yield add
    forget()


def vlmad(*words: str | Path, cwd: Path, **env: str) -> Done:
    """Run the command line in this process: the same words, files, texts and exit status.

    What libraries read of the environment when they are imported has no effect any more.
    """
    from vlmad_cli.frame import main

    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.chdir(cwd)
        for name, value in {"COLUMNS": "200", "NO_COLOR": "1", **env}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["vlmad", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    texts = []
    for stream in (out, error):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Done(list(words), int(ended.value.code or 0), *texts)


@pytest.fixture(scope="session")
def process() -> Process:
    """Return a function that runs vlmad in a process of its own."""

    def run(*words: str | Path, cwd: Path, **env: str) -> Done:
        command = [sys.executable, "-m", "vlmad", *map(str, words)]
        own = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **env}
        return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True)

    return run


SIGNALLED = """
import os, signal, sys

number, place, left = sys.argv[1], sys.argv[2], int(sys.argv[3])


def count(event, arguments):
    global left
    if event not in ("open", "os.rename") or isinstance(arguments[0], int):
        return
    if os.path.abspath(os.fsdecode(arguments[0])).startswith(place):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.Signals[number])


sys.addaudithook(count)
sys.argv = ["vlmad", *sys.argv[4:]]
from vlmad_cli.__main__ import main
main()
"""


@pytest.fixture
def signalled(tmp_path: Path, process: Process) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield a function that starts vlmad in a process which gets a signal at a given moment.

    The moment is when it opens or renames a file in a place for the n-th time, so that nothing
    depends on how busy the machine is.
    """
    started: list[subprocess.Popen[str]] = []

    def start(name: str, place: Path, moment: int, *words: str | Path) -> subprocess.Popen[str]:
        what = (name, place, moment, *words)
        command = [sys.executable, "-c", SIGNALLED, *map(str, what)]
        own = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, cwd=tmp_path, env=own, stdout=pipe, stderr=pipe, text=True)
        )
        return started[-1]

    yield start
    for run in started:  # a failed test leaves none behind that has stopped
        run.kill()
        run.communicate()


def wait_until_stopped(run: subprocess.Popen[str]) -> None:
    """Wait until a process has stopped itself, however long it takes."""
    _, status = os.waitpid(run.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), run.communicate()[1]


class Ended(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    out: str
    error: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Ended]:
    """Return a function that runs the command line in this process, in an empty folder."""
    from vlmad_cli.frame import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vlmad", *map(str, words)])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = (text.decode("utf-8", "backslashreplace") for text in capfdbinary.readouterr())
        return Ended(int(ended.value.code or 0), out, error)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six small photographs of noise."""
    return noise(tmp_path / "photos", 6)


def noise(folder: Path, count: int, seed: int = 0) -> Path:
    """Write small images of seeded noise."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        values = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{index:04d}.png")
    return folder


def features_of_maps(
    levels: dict[str, Tensor], size: tuple[int, int] = (40, 40), views: tuple[View, ...] = ()
) -> Features:
    """Make features of levels, each given as maps (images, width, rows, columns)."""
    from vlmad import Features, Regions
    from vlmad.regions import patch_cells

    regions = []
    for name, maps in levels.items():
        grid = (maps.shape[2], maps.shape[3])
        cells = maps.flatten(2).transpose(1, 2)
        regions.append(Regions(name, cells, patch_cells(grid), aligned=False, grid=grid))
    image = regions[-1].embeddings.mean(1)
    return Features(image, tuple(regions), regions[-1].grid or (1, 1), size, views=views)


def film(
    path: Path,
    pictures: Iterable[Image.Image],
    times: Iterable[float] | None = None,
    *,
    codec: str = "mpeg4",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode a film of pictures of one size, at so many seconds or ten in each second."""
    import av

    shown = list(pictures)
    when = (number / 10 for number in range(len(shown))) if times is None else iter(times)
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height = shown[0].size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for picture, moment in zip(shown, when, strict=False):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = round(1000 * moment), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # it cannot be had as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a window, with an empty profile."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = "no Chromium: `make browser` installs it or says what to install"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    profile = tmp_path_factory.mktemp("profile")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=found, headless=True, args=FLAGS
        )
        yield context
        context.close()
