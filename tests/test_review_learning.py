"""`vlmad review --learn`: a part learns from judged mistakes, and stays if images held out gain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vlmad import load_detector
from vlmad_documents.learned_file import LearnedOn, Learning, read_learned, write_learned
from vlmad_review._hard_examples import HardExamples, find_hard_examples
from vlmad_review._practice import Practice, Pupil, contrast_loss

from .conftest import vlmad

COUNT = 12
KINDS = ("good", "blind")
UNTAUGHT = "untaught.safetensors"
ONE, FEW = ("--set", "learn.epochs=1"), ("--set", "learn.epochs=10")
PLAIN = ("--prompt", "plain", "--extractor", "dense", "--scorer", "dense")
CONTRAST = ("--set", "learn.contrast=0.5")
WORDS = ("--detector", "coop", "--overlays", "none", "--quiet")


def draw(folder: Path, seed: int = 0) -> Path:
    """Write plates with the hole that belongs there, and such without one."""
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
        for index in range(COUNT):
            pixels = 150 + rng.normal(0, 12, (64, 64, 1)) + rng.normal(0, 3, (64, 64, 3))
            if kind == "good":
                top, left = rng.integers(4, 36, 2)
                pixels[top : top + 24, left : left + 24] = rng.integers(0, 30)
            path = folder / kind / f"{kind}{index}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def untaught(path: Path, seed: int) -> Path:
    """Write context that was drawn and never learned."""
    detector = load_detector("coop", options={"prompts": {"anew": True}})
    part = detector.prompts
    tensors = part.learnable(detector.backbone.spec, seed)
    learning = Learning(
        kind="prompts",
        part="coop",
        facts=dict(part.facts()),
        backbone=LearnedOn.describe(detector.backbone),
        class_token="normed",
        layers=[],
        data={},
        options={},
        licence="CC0-1.0",
    )
    write_learned(path, tensors, learning)
    return path


def table(path: Path, wrong: bool = False) -> Path:
    """Write what is true of all images, or what a coin says."""
    rng = np.random.default_rng(1)
    lines = ["image,verdict"]
    for kind, verdict in (("good", "ok"), ("blind", "defect")):
        for index in range(COUNT):
            said = rng.choice(["ok", "defect"]) if wrong else verdict
            lines.append(f"{kind}{index}.png,{said}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs and a run of them by prompts that know nothing."""
    folder = tmp_path_factory.mktemp("learning")
    draw(folder / "photos")
    untaught(folder / UNTAUGHT, 3)
    words = ("--prompt", f"coop:{UNTAUGHT}", "--class-name", "plate", "--out", "night")
    done = vlmad("run", "photos", *WORDS, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def scores(folder: Path) -> dict[str, float]:
    lines = (folder / "scores.jsonl").read_text().splitlines()
    return {Path(row["image"]).name: row["score"] for row in map(json.loads, lines)}


def auroc(found: dict[str, float]) -> float:
    good, bad = ([v for k, v in found.items() if k.startswith(kind)] for kind in ("good", "blind"))
    return float(np.mean([one > other for one in bad for other in good]))


@pytest.mark.slow
def test_prompts_learn_from_mistakes_and_rank_new_images_better(run: Path) -> None:
    table(run / "verdicts.csv")
    words = ("verdicts.csv", "--learn", "plate.safetensors", *CONTRAST, *FEW)
    done = vlmad("review", "night", *words, "--json", cwd=run)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["measured"]["gain"]["low"] > 0
    assert found["lesson"]["adopted"]
    assert found["losses"][-1] < found["losses"][0]
    tensors, said = read_learned(run / "plate.safetensors", "prompts", "coop")
    assert not torch.equal(tensors["context"], read_learned(run / UNTAUGHT)[0]["context"])
    assert (said.options["contrast"], said.backbone.name) == (0.5, "tiny")
    assert said.licence == "CC0-1.0"  # of what it began from
    assert said.data.keys() == {"images", "verdicts"}
    draw(run / "others", seed=9)
    use = found["use"].split()[3:]  # after vlmad run NEW
    before = ("--prompt", f"coop:{UNTAUGHT}", "--class-name", "plate", *WORDS)
    for words, out in ((before, "before"), ((*use, *WORDS[2:]), "after")):
        done = vlmad("run", "others", *words, "--out", out, cwd=run)
        assert done.returncode == 0, done.stderr
    assert auroc(scores(run / "after")) > auroc(scores(run / "before")) + 0.2


@pytest.mark.slow
def test_what_a_coin_says_teaches_nothing_that_is_kept(run: Path) -> None:
    table(run / "coin.csv", wrong=True)
    done = vlmad("review", "night", "coin.csv", "--learn", "coin.safetensors", *FEW, cwd=run)
    assert done.returncode == 0, done.stderr
    assert "not kept" in done.stdout
    assert not list(run.glob("coin.[st]*"))


def test_a_mistake_has_the_nearest_images_of_the_other_class() -> None:
    angles = torch.tensor([0.0, 0.1, 0.45, 0.2, 0.3, 1.5])
    embeddings = 7 * torch.stack([angles.cos(), angles.sin()], dim=1)
    anomalous = np.array([False, False, False, True, True, True])
    called = np.array([False, True, False, True, False, True])
    hard = find_hard_examples(embeddings, anomalous, called, 2)
    assert hard.opposites == {1: (3, 4), 4: (2, 1)}
    assert hard.images == {1, 2, 3, 4}
    assert hard.weights(range(6), 4.0).tolist() == [1, 4, 4, 4, 4, 1]


def test_of_a_fold_that_is_left_out_nothing_is_drawn_more_often() -> None:
    hard = HardExamples({1: (3, 4), 4: (2, 1)})
    assert hard.among([0, 1, 2, 3]).opposites == {1: (3,)}
    assert hard.weights([0, 1, 2, 3], 4.0).tolist() == [1, 4, 1, 4]
    assert hard.weights([0, 3, 4], 4.0).tolist() == [1, 1, 4]


def test_the_contrast_is_of_pairs_the_anomalous_one_the_higher_the_better() -> None:
    mistakes, opposites = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    by_hand = (np.log1p(np.exp(2.0)) + np.log1p(np.exp(3.0))) / 2  # 1 should be above 3, 2 below -1
    found = contrast_loss(mistakes, opposites, torch.tensor([1.0, 0.0]))
    assert float(found) == pytest.approx(by_hand, rel=1e-6)


@pytest.fixture(scope="module")
def pupil(run: Path) -> Pupil:
    detector = load_detector("coop", prompts=f"coop:{run / UNTAUGHT}")
    images = [run / "photos" / kind / f"{kind}{n}.png" for kind in KINDS for n in range(4)]
    return Pupil(detector, "plate", images)


TRUTH = np.array([False] * 4 + [True] * 4)
HARD = HardExamples({0: (4, 5), 6: (1, 2)})
SHORT = Practice(epochs=2, rate=0.01, contrast=1.0)


def taught(pupil: Pupil, *arguments: Any) -> dict[str, torch.Tensor]:
    pupil.learn(*arguments)
    return {name: tensor.clone() for name, tensor in pupil.tensors.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_before_anything_is_learned_images_score_as_in_the_run(pupil: Pupil, run: Path) -> None:
    pupil.restart()
    night = scores(run / "night")
    names = [f"{kind}{n}.png" for kind in KINDS for n in range(4)]
    assert pupil.scores(range(8)) == pytest.approx([night[name] for name in names], abs=1e-6)


@pytest.mark.slow
def test_prompts_that_a_backbone_ships_learn_on_from_where_they_are(run: Path) -> None:
    images = [run / "photos" / kind / f"{kind}0.png" for kind in KINDS]
    as_it_is = [each.score for each in load_detector("anomalyclip").predict(images, "plate")]
    assert len(set(as_it_is)) == 2
    own = Pupil(load_detector("anomalyclip"), "plate", images)
    assert own.scores(range(2)) == pytest.approx(as_it_is, abs=1e-6)
    own.learn(range(2), np.array([False, True]), HardExamples({}), SHORT)
    assert own.scores(range(2)) != pytest.approx(as_it_is, abs=1e-4)


@pytest.mark.slow
def test_the_seed_fixes_what_is_learned_and_everything_begins_anew(pupil: Pupil) -> None:
    first = taught(pupil, range(8), TRUTH, HARD, SHORT)
    assert same(first, taught(pupil, range(8), TRUTH, HARD, SHORT))
    other = Practice(epochs=2, rate=0.01, contrast=1.0, seed=1)
    assert not same(first, taught(pupil, range(8), TRUTH, HARD, other))
    assert not any(tensor.requires_grad for tensor in pupil.tensors.values())


@pytest.mark.slow
def test_an_image_of_a_fold_that_is_left_out_teaches_nothing(pupil: Pupil) -> None:
    kept = [0, 1, 2, 4, 5, 6]
    first = taught(pupil, kept, TRUTH, HARD, SHORT)
    turned = TRUTH.copy()
    turned[[3, 7]] = ~turned[[3, 7]]
    more = HardExamples({**HARD.opposites, 3: (4,), 7: (1,)})
    assert same(first, taught(pupil, kept, turned, more, SHORT))
    assert not same(first, taught(pupil, range(8), TRUTH, HARD, SHORT))


@pytest.mark.slow
def test_emphasis_and_contrast_change_what_is_learned(pupil: Pupil) -> None:
    plain = Practice(epochs=2, rate=0.01, emphasis=1.0)
    first = taught(pupil, range(8), TRUTH, HARD, plain)
    assert same(first, taught(pupil, range(8), TRUTH, HardExamples({}), plain))
    for other in (Practice(epochs=2, rate=0.01, emphasis=9.0),
                  Practice(epochs=2, rate=0.01, emphasis=1.0, contrast=1.0)):  # fmt: skip
        assert not same(first, taught(pupil, range(8), TRUTH, HARD, other))


ADAPTER = """
from pathlib import Path
import torch
from vlmad import ClassToken, Extractor, Features, Patches, Regions, hookimpl
from vlmad.regions import patch_cells
from vlmad_documents.learned_file import read_learned

class Adapter(Extractor):
    \"\"\"Patches and class token, and a learned linear map of them added.

    Args:
        file: learned tensors.
    \"\"\"

    needs = frozenset({"patch tokens"})

    def __init__(self, file: Path | None = None) -> None:
        self.tensors = read_learned(file, "extractor", "adapter")[0] if file else {}

    def learnable(self, spec, seed):
        if not self.tensors:
            with torch.inference_mode(False):
                self.tensors = {"map": torch.zeros(spec.embedding_dim, spec.embedding_dim)}
        return self.tensors

    def facts(self):
        return {}

    def requests(self, spec, attention, class_token):
        self.learnable(spec, 0)
        return [ClassToken(class_token == "normed"), Patches(spec.depth)]

    def __call__(self, visual):
        image, patches = (each + each @ self.tensors["map"] for each in visual.tensors.values())
        regions = Regions("patches", patches, patch_cells(visual.grid))
        return Features(image, (regions,), visual.grid, visual.image_size)

@hookimpl
def register_extractors(register):
    register("adapter", "own_adapter:Adapter", "a learned map")
"""


@pytest.mark.slow
def test_an_adapter_of_a_plugin_learns_from_mistakes(install: Any, run: Path) -> None:
    install("own-adapter", ADAPTER)
    parts = ("--prompt", "plain", "--extractor", "adapter", "--scorer", "max-cosine")
    words = (*parts, "--backbone", "tiny", "--class-name", "plate", "--out", "adapter", *WORDS[2:])
    assert vlmad("run", "photos", *words, cwd=run).returncode == 0
    table(run / "verdicts.csv")
    words = ("adapter", "verdicts.csv", "--learn", "adapted.safetensors", *FEW)
    done = vlmad("review", *words, "--json", cwd=run)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["part"]) == ("extractor", "adapter")
    assert found["measured"]["gain"]["low"] > 0
    assert read_learned(run / "adapted.safetensors", "extractor", "adapter")[0]["map"].any()
    done = vlmad("run", "photos", *found["use"].split()[3:], "--out", "used", *WORDS[2:], cwd=run)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--learn", "x.safetensors", "--out", "y"), "name one"),
        (("--learn", "x.toml"), "its own recipe"),
        (("--learn", "coin.csv"), "exists"),
        (("--learn", "x.safetensors", "--set", "learn.contrast=-1"), "contrast"),
        (("--learn", "x.safetensors", "--set", "learn.epoch=3"), "did you mean 'epochs'"),
        (("--learn", "x.safetensors", "--set", "learn.rate=1", *ONE), None),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    words: tuple[str, ...], reason: str | None, run: Path
) -> None:
    table(run / "coin.csv", wrong=True)
    done = vlmad("review", "night", "coin.csv", *words, cwd=run)
    assert done.returncode == (0 if reason is None else 2), done.stderr
    assert reason is None or reason in done.stderr


@pytest.mark.slow
def test_train_learns_from_a_review_as_review_does(run: Path) -> None:
    table(run / "verdicts.csv")
    few = ("--epochs", "3", "--learning-rate", "0.005", "--set", "learn.contrast=0.5")
    done = vlmad("train", "--from-review", "night", "verdicts.csv", "--out", "a.st", *few, cwd=run)
    assert done.returncode == 0, done.stderr
    few = ("learn.epochs=3", "learn.rate=0.005", "learn.contrast=0.5")
    settings = [word for each in few for word in ("--set", each)]
    same = vlmad("review", "night", "verdicts.csv", "--learn", "b.st", *settings, cwd=run)
    assert done.stdout.replace("a.st", "b.st").replace("a.toml", "b.toml") == same.stdout
    assert "kept: prompts 'coop'" in same.stdout
    assert (run / "a.st").read_bytes() == (run / "b.st").read_bytes()


def test_what_the_run_decides_cannot_be_said_beside_it(command: Any) -> None:
    for words in (("--prompt", "coop"), ("--loss", "image"), ("--category", "nut")):
        done = command("train", "--from-review", "night", "verdicts.csv", *words)
        assert done.status == 2
        assert "the run is what says which detector learns" in done.error


@pytest.mark.slow
def test_a_detector_without_anything_that_learns_is_refused(run: Path) -> None:
    words = ("--class-name", "plate", "--out", "zero", "--overlays", "none", "--quiet")
    assert vlmad("run", "photos", *PLAIN, *words, cwd=run).returncode == 0
    table(run / "verdicts.csv")
    done = vlmad("review", "zero", "verdicts.csv", "--learn", "zero.safetensors", cwd=run)
    assert done.returncode == 2
    assert "nothing of this detector learns" in done.stderr
