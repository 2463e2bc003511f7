"""A score is one number, whatever computes it, and so is a threshold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vlmad_calibration.calibration import calibrate
from vlmad_calibration.cuts import TOLERANCE

if TYPE_CHECKING:
    from jaxtyping import Float

    Found: TypeAlias = dict[str, Float[np.ndarray, "..."]]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("one number")]

ALONE = {"OMP_NUM_THREADS": "1"}
OTHERS = {
    "SSE 4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "AVX2, two threads": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OMP_NUM_THREADS": "2",
    },
    "four threads": {"OMP_NUM_THREADS": "4"},
}
"""On a processor that has no AVX2, the variables of the second change nothing."""
DETECTORS = ("rarity", "gaussian", "winclip", "winclip with references", "hybrid")
DETECTORS += ("change", "change with references")
SCORING = """
import sys
from pathlib import Path

import numpy as np

from vlmad import load_detector

folder, out, order = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
photographs, found = sorted(folder.glob("*.png")), {}
for name in sys.argv[4:]:
    detector = load_detector(name.split()[0], options={"backbone": {"device": "cpu"}})
    if name == "gaussian" or "references" in name:
        detector.fit(photographs[:2][::order])
    results = detector.predict(photographs[::order], batch_size=3)[::order]
    found[f"{name}, scores"] = [result.score for result in results]
    found |= {f"{name}, map of {Path(result.name).stem}": result.map for result in results}
np.savez(out, **found)
"""


def draw(folder: Path) -> Path:
    """Draw what rounding could show in: flat colours, repetition, and structure everywhere."""
    folder.mkdir()
    noise = np.random.default_rng(0).normal(128, 20, (200, 260, 3))
    images = {
        "cloth": Image.fromarray(noise.clip(0, 255).astype(np.uint8)),
        "stripes": Image.new("RGB", (320, 240), (128, 120, 110)),
        "flat": Image.new("RGB", (240, 300), (40, 80, 120)),
        "spot": Image.new("RGB", (300, 300), "white"),
    }
    for left in range(0, 320, 16):
        ImageDraw.Draw(images["stripes"]).rectangle((left, 0, left + 7, 239), (200, 190, 180))
    ImageDraw.Draw(images["spot"]).ellipse((150, 60, 230, 120), (20, 10, 0))
    images["scratch"] = images["stripes"].copy()
    ImageDraw.Draw(images["scratch"]).line((40, 60, 250, 190), (20, 20, 20), 3)
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    return folder


def scored(photographs: Path, order: int = 1, **machine: str) -> Found:
    """Return scores and maps as a process computes them with these variables.

    Args:
        photographs: a folder.
        order: 1, or -1 for the last photograph and the last reference first.
        machine: variables of the environment.
    """
    out = photographs.parent / "scores.npz"
    run = [sys.executable, "-c", SCORING, photographs, out, str(order), *DETECTORS]
    environment = {**os.environ, "VLMAD_CACHE": "off", **ALONE, **machine}
    subprocess.run(run, env=environment, check=True)
    with np.load(out) as found:
        return dict(found)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of drawn ones."""
    return draw(tmp_path_factory.mktemp("one") / "photographs")


@pytest.fixture(scope="module")
def expected(photographs: Path) -> Found:
    """Return what one thread makes of them."""
    return scored(photographs)


@pytest.fixture(scope="module", params=OTHERS.values(), ids=OTHERS)
def found(request: pytest.FixtureRequest, photographs: Path) -> Found:
    """Return what another machine makes of them in the opposite order."""
    return scored(photographs, -1, **request.param)


def test_a_score_is_the_same_whatever_computes_it(found: Found, expected: Found) -> None:
    assert found.keys() == expected.keys()
    for name in DETECTORS:
        assert np.ptp(expected[f"{name}, scores"]) > 0.01
    apart = {key: float(np.abs(found[key] - expected[key]).max()) for key in expected}
    assert {key: each for key, each in apart.items() if each > TOLERANCE} == {}


def test_a_threshold_of_one_machine_gives_the_same_verdicts_on_another(
    found: Found, expected: Found
) -> None:
    for name in DETECTORS:
        one, other = (each[f"{name}, scores"] for each in (expected, found))
        for rate in (0.1, 0.3, 0.5, 0.7):  # each time just above another image
            value = calibrate(one.tolist(), rate=rate).threshold
            assert ((other >= value) == (one >= value)).all()
