"""Parts that resemble none of the built-in methods work like them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmad import load_detector
from vlmad.errors import IncompatiblePartsError, InputError
from vlmad.testing import TWO_LAYERS, check_part, example_images

from .conftest import noise, vlmad

COOKBOOK = Path(__file__).parents[1] / "examples" / "cookbook"
RANDOM = {"weights": "random:0", "image_size": 80}
ODD_PARTS = (Path(__file__).parent / "plugins" / "odd_parts.py").read_text()


EXAMPLES = sorted([*COOKBOOK.glob("*.py"), *COOKBOOK.parent.glob("third_party*/**/*.py")])
PRIVATE = re.compile(
    r"^ *(?:from|import) vlmad(?:\w|\.)*\._|^ *from vlmad\S* import _", re.MULTILINE
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-3:]))
def test_examples_for_authors_import_public_modules_only(path: Path) -> None:
    assert PRIVATE.findall(path.read_text(encoding="utf-8")) == []


PROJECTS = sorted((Path(__file__).parents[1] / "examples").glob("third_party*"))
COMMANDS = [
    pytest.param(project, command, id=command)
    for project in PROJECTS
    for command in (project / "README.md").read_text(encoding="utf-8").splitlines()
    if command.startswith(("vlmad run", "vlmad worst")) and ".safetensors" not in command
]


def install_example(install: Callable[..., Path], project: Path) -> None:
    """Make the package of a distribution importable and found."""
    [package] = project.glob("vlmad_*/")
    site = install(package.name.replace("_", "-"), "")
    (site / f"{package.name}.py").unlink()
    shutil.copytree(package, site / package.name)


@pytest.mark.slow
@pytest.mark.parametrize(("project", "command"), COMMANDS)
def test_the_commands_on_the_pages_of_examples_work(
    project: Path, command: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    install_example(install, project)
    for name in ("photos", "good"):
        noise(tmp_path / name, 4)
    done = vlmad(*command.split()[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def site(install: Callable[..., Path]) -> Path:
    for scorer in ("closest", "peers"):
        install(f"vlmad-{scorer}", (COOKBOOK / f"vlmad_{scorer}.py").read_text())
    return install("odd-parts", ODD_PARTS)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Six even surfaces, the last with a bright spot."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for index in range(6):
        pixels = rng.normal(120, 4, (64, 96, 3))
        if index == 5:
            pixels[20:30, 40:60] = 240
        paths.append(folder / f"{index}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("backbone", "colour-moments"),
        ("prompts", "conditioned"),
        ("scorer", "closest"),
        ("scorer", "peers"),
    ],
)
def test_odd_part_keeps_the_contract(kind: str, name: str, site: Path) -> None:
    check_part(kind, name)


def test_a_backbone_without_text_works_under_a_reference_scorer(
    site: Path, photographs: list[Path]
) -> None:
    detector = load_detector(backbone="colour-moments", scorer="closest")
    chosen = {kind: part.registration.name for kind, part in detector.assembly.parts.items()}
    assert "prompts" not in chosen
    assert chosen["extractor"] == "dense"
    results = detector.fit(photographs[:3]).predict(photographs[3:])
    assert max(results, key=lambda result: result.score).name == str(photographs[5])
    worst = results[-1].map
    assert worst is not None
    assert worst.shape == (64, 96)
    row, column = np.unravel_index(worst.argmax(), worst.shape)
    assert 12 <= row <= 38
    assert 32 <= column <= 68


def test_a_scorer_that_needs_references_says_so(site: Path, photographs: list[Path]) -> None:
    detector = load_detector(backbone="colour-moments", scorer="closest")
    with pytest.raises(InputError, match="scorer 'closest' needs normal images: call fit"):
        detector.predict(photographs)


def test_a_backbone_without_text_is_refused_where_text_was_asked_for(site: Path) -> None:
    with pytest.raises(IncompatiblePartsError, match="needs text encoder, but backbone 'colour"):
        load_detector(backbone="colour-moments", prompts="compositional")


@pytest.mark.parametrize(
    ("extractor", "scorer"),
    [("window", "harmonic"), ("window", "max-cosine"), ("dense", "dense"), ("tiles", "harmonic")],
)
def test_prompts_that_look_at_the_image_work_in_every_scorer(
    extractor: str, scorer: str, site: Path
) -> None:
    detector, without = (
        load_detector(
            backbone=f"openclip:{TWO_LAYERS}",
            prompts="conditioned",
            extractor=extractor,
            scorer=scorer,
            options={"backbone": RANDOM, "prompts": {"pull": pull}},
        )
        for pull in (0.2, 0)
    )
    sources = example_images(3).sources
    together = detector.predict(sources, "bolt", batch_size=3)
    alone = detector.predict(sources, "bolt", batch_size=1)
    plain = without.predict(sources, "bolt")
    for one, other, unmoved in zip(together, alone, plain, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        np.testing.assert_allclose(one.map, other.map, atol=1e-5)
        assert one.score != pytest.approx(unmoved.score, abs=1e-5)


def test_prompts_may_keep_what_they_encoded_for_each_class_name(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_example(install, COOKBOOK.parent / "third_party_prompts")
    detector = load_detector(
        backbone=f"openclip:{TWO_LAYERS}",
        prompts="described",
        extractor="dense",
        scorer="dense",
        options={"backbone": RANDOM},
    )
    encode, asked = detector.backbone.encode_text, []
    monkeypatch.setattr(
        detector.backbone, "encode_text", lambda prompts: asked.append(prompts) or encode(prompts)
    )
    features = detector.features(example_images(2))
    for name in ("bolt", "metal nut", "bolt"):
        detector.score(features, name)
    assert len(asked) == 2
    image = features.image.clone().requires_grad_()  # as where something before it learns
    text = detector.prompts(detector.backbone, "bolt", replace(features, image=image))
    text.embeddings.amax(1).sum().backward()
    assert len(asked) == 2
    assert image.grad is not None


def test_a_set_scorer_sees_all_images_whatever_the_batch_size(
    site: Path, photographs: list[Path]
) -> None:
    detector = load_detector(
        backbone=f"openclip:{TWO_LAYERS}",
        scorer="peers",
        extractor="dense",
        options={"backbone": RANDOM},
    )
    together = detector.predict(photographs, batch_size=6)
    split = detector.predict(photographs, batch_size=2)
    for one, other in zip(together, split, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
    fewer = detector.predict(photographs[:3])
    assert fewer[0].score != pytest.approx(together[0].score, abs=1e-7)


def test_a_broken_image_stays_alone_under_a_set_scorer(
    site: Path, photographs: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    detector = load_detector(
        backbone=f"openclip:{TWO_LAYERS}",
        scorer="peers",
        extractor="dense",
        options={"backbone": RANDOM},
    )
    without = detector.predict(photographs, batch_size=2)
    with_it = detector.predict([photographs[0], broken, *photographs[1:]], batch_size=2)
    assert with_it[1].error is not None
    assert np.isnan(with_it[1].score)
    kept = [with_it[0], *with_it[2:]]
    for one, other in zip(kept, without, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_a_backbone_of_others_is_told_where_and_how_exactly_to_compute(
    site: Path, photographs: list[Path], tmp_path: Path
) -> None:
    words = ("--backbone", "colour-moments", "--scorer", "closest", "--device", "cpu")
    words += ("--references", photographs[0], "--overlays", "none")
    scores = {}
    for precision in ("float32", "bfloat16"):
        out = ("--precision", precision, "--out", precision)
        done = vlmad("run", photographs[5], *words, *out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((tmp_path / precision / "manifest.json").read_text())
        assert (manifest["device"], manifest["identity"]["precision"]) == ("cpu", precision)
        row = json.loads((tmp_path / precision / "scores.jsonl").read_text())
        scores[precision] = row["score"]
    assert scores["float32"] != scores["bfloat16"]
    assert scores["float32"] == pytest.approx(scores["bfloat16"], rel=0.1)
    unknown = vlmad("run", photographs[5], *words, "--precision", "half", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "option 'precision' takes float32|bfloat16, not 'half'" in unknown.stderr


@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_the_speed_of_a_backbone_of_others_is_measured_in_its_precisions(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str | None
) -> None:
    for name in ("ROWS", "WIDTH", "TRIALS"):
        monkeypatch.setattr(f"vlmad_speed.encoding_ways.{name}", 8)
    monkeypatch.setattr("vlmad_speed.encoding_ways.computes_bfloat16", lambda device: True)
    told = () if precision is None else ("--precision", precision)
    words = ("--backbone", "colour-moments", *told, "--batch-size", "1", "--rounds", "1", "--json")
    done = vlmad("bench-speed", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ways = [(way["way"], way["precision"]) for way in json.loads(done.stdout)["ways"]]
    assert ways == [("dense", p) for p in ("float32", "bfloat16") if precision in (None, p)]


def test_odd_parts_run_from_the_command_line(
    site: Path, photographs: list[Path], tmp_path: Path
) -> None:
    words = ("--backbone", "colour-moments", "--scorer", "closest", "--out", "out")
    references = ("--references", photographs[0].parent, "--shots", "2")
    done = vlmad("run", *photographs[3:], *words, *references, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "extractor 'dense' takes the place of 'window'" in done.stderr
    assert "prompts" not in done.stderr
    assert "3 images scored by colour-moments on cpu in float32" in " ".join(done.stdout.split())
    assert len((tmp_path / "out" / "scores.csv").read_text().splitlines()) == 4
