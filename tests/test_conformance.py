"""Every registered part keeps its contract, and the checks catch parts that do not."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vlmad import (
    Features,
    Prediction,
    Scorer,
    TextEmbeddings,
    VisualFeatures,
)
from vlmad.hookspecs import KINDS
from vlmad.parts import CLASS_TOKEN, REGIONS
from vlmad.registry import Registry
from vlmad.testing import (
    TWO_LAYERS,
    check_backbone,
    check_learning,
    check_part,
    check_scorer,
    parametrize_parts,
    two_layer_backbone,
)

REGISTRY = Registry.discover()
PARTS = [(kind, name) for kind in KINDS for name in REGISTRY.names(kind)]
WHOLE_MODELS = {
    ("backbone", "tiny"),
    *(("scorer", name) for name in ("draem", "cutpaste", "regad")),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(*part, id=":".join(part), marks=[pytest.mark.slow] * (part in WHOLE_MODELS))
        for part in PARTS
    ],
)
def test_registered_part_keeps_its_contract(kind: str, name: str, learned_file: Path) -> None:
    options: dict[tuple[str, str], dict[str, Any]] = {
        ("backbone", "openclip"): {"model": str(TWO_LAYERS), "weights": "random:0"},
        ("backbone", "timm"): {"model": "test_resnet", "weights": "random:0"},
        ("prompts", "learned"): {"file": str(learned_file)},
        ("prompts", "coop"): {"anew": True},
        ("extractor", "projected"): {"anew": True},
    }
    check_part(kind, name, options.get((kind, name)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("prompts", "compositional", {"list": "comparison"}),
        ("prompts", "compositional", {"list": "anomalib21"}),
        ("extractor", "window", {"scales": "1,5,9", "patch_layer": "0", "patch_stage": "raw"}),
        ("extractor", "dense", {"layers": "0,1,2"}),
        ("extractor", "tiles", {"counts": "1,2,4", "overlap": "0"}),
        ("attention", "vv", {"blocks": "1"}),
        ("attention", "diagonal", {"gamma": "0"}),
        ("attention", "diagonal", {"gamma": "2", "renormalise": "yes", "blocks": "1"}),
        ("scorer", "harmonic", {"temperature": "0.01", "pooling": "unit-mean"}),
        ("scorer", "harmonic", {"full_image": "no"}),
        ("scorer", "dense", {"sigma": "0", "pooling": "mean"}),
        ("scorer", "max-cosine", {"sentences": "all", "image_score": "class-token"}),
    ],
)
def test_contract_holds_with_other_options(kind: str, name: str, options: dict[str, str]) -> None:
    check_part(kind, name, options)


def test_tokens_windows_and_positions_hold_for_another_size_and_seed() -> None:
    check_part(
        "backbone",
        "openclip",
        {"model": str(TWO_LAYERS), "weights": "random:7", "image_size": 50, "positions": "bicubic"},
    )


class Constant(Scorer):
    """A scorer that is right, to be broken in one way at a time."""

    needs = frozenset({CLASS_TOKEN, REGIONS})
    references: Any = "none"

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        score = features.image.mean(-1)
        return Prediction(score, score[:, None, None].expand(-1, *features.image_size).clone())


def test_the_example_scorer_keeps_the_contract() -> None:
    check_scorer(Constant())


class LooksOutside(Constant):
    honours_inside = True

    def __call__(self, features: Features, *given: Any) -> Prediction:
        score = features.regions[0].embeddings.mean((1, 2))
        return Prediction(score, score[:, None, None].expand(-1, *features.image_size).clone())


class RemembersOutside(Constant):
    references, honours_inside = "optional", True

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        return {"mean": references.regions[0].embeddings.mean((0, 1))}


class AddsNothing(Constant):
    references, adds_exactly = "required", True

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        return {"sum": references.image.sum()}

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        prediction = super().__call__(features, text, memory)
        return replace(prediction, score=prediction.score + (memory or {})["sum"])

    def add(self, memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return memory


@pytest.mark.parametrize(
    ("scorer", "complaint"),
    [
        (AddsNothing(), "add: it is not what fitting all at once gives"),
        (LooksOutside(), "what lies outside changes the score"),
        (RemembersOutside(), "it remembers what lies outside"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_scorer_is_caught(scorer: Scorer, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_scorer(scorer)


def test_a_backbone_that_leaves_hooks_behind_is_caught() -> None:
    backbone: Any = two_layer_backbone()
    encode = backbone.encode

    def hooking(*given: Any) -> VisualFeatures:
        backbone.model.visual.ln_post.register_forward_hook(lambda *_: None)
        return encode(*given)

    backbone.encode = hooking
    with pytest.raises(AssertionError, match="leaves hooks or patches behind"):
        check_backbone(backbone)


def test_a_backbone_that_takes_two_sentences_for_one_is_caught() -> None:
    """They would share one entry of the text cache."""
    backbone: Any = two_layer_backbone()
    ids = backbone.token_ids
    backbone.token_ids = lambda prompts: ids(prompts)[:, :2]
    with pytest.raises(AssertionError, match="takes two sentences for one"):
        check_backbone(backbone)


def test_a_backbone_that_changes_its_weights_is_caught() -> None:
    backbone: Any = two_layer_backbone()
    encode = backbone.encode

    def training(*given: Any) -> VisualFeatures:
        backbone.model.logit_scale.add_(1)
        return encode(*given)

    backbone.encode = training
    with pytest.raises(AssertionError, match="changes the model's weights"):
        check_backbone(backbone)


def test_a_backbone_whose_batch_matters_is_caught() -> None:
    backbone: Any = two_layer_backbone()
    encode = backbone.encode

    def normalising(*given: Any) -> VisualFeatures:
        visual = encode(*given)
        shifted = {r: t - t.mean(0, keepdim=True) for r, t in visual.tensors.items()}
        return replace(visual, tensors=shifted)

    backbone.encode = normalising
    with pytest.raises(AssertionError, match="the batch changes"):
        check_backbone(backbone)


MANNERLESS = """
import logging, os, random, signal, sys, warnings
import torch
from vlmad import hookimpl, Prediction, Scorer

class Odd(Scorer):
    '''A scorer.

    Args:
        deed: what it does.
    '''
    needs = frozenset({'class token'})

    def __init__(self, deed: str = "pass") -> None:
        self.deed = deed

    def __call__(self, features, text, memory):
        exec(self.deed)
        score = features.image.mean(-1)
        return Prediction(score, score[:, None, None].expand(-1, *features.image_size).clone())

@hookimpl
def register_scorers(register):
    register("odd", Odd)
"""
DEEDS = {
    "print('x')": "prints to standard output",
    "sys.stdout = sys.stderr": "exchanges standard output",
    "os.chdir('/')": "changes the working folder",
    "os.environ['X_ODD'] = '1'": "changes the environment",
    "random.random()": "changes Python's random numbers",
    "torch.rand(1)": "changes torch's random numbers",
    "torch.set_num_threads(3)": "changes torch's threads",
    "torch.set_float32_matmul_precision('medium')": "changes torch's choice of algorithms",
    "sys.path.append('/nowhere')": "changes where modules are looked for",
    "warnings.simplefilter('always')": "changes which warnings are shown",
    "logging.root.setLevel(10)": "changes what is logged",
    "signal.signal(signal.SIGUSR1, lambda *_: None)": "changes the handlers of signals",
}


@pytest.mark.parametrize(("deed", "complaint"), DEEDS.items(), ids=DEEDS)
def test_a_part_without_good_manners_is_caught(
    deed: str, complaint: str, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setenv("X_ODD", "0")
    install("mannerless", MANNERLESS)
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGUSR1)
    precision, level = torch.get_float32_matmul_precision(), logging.root.level
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        with pytest.raises(AssertionError, match=complaint):
            check_part("scorer", "odd", {"deed": deed})
        check_part("scorer", "odd")
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        logging.root.setLevel(level)
        signal.signal(signal.SIGUSR1, handler)


def test_each_part_of_a_distribution_becomes_a_test(install: Callable[..., Path]) -> None:
    install("mannerless", MANNERLESS)
    [parameter] = parametrize_parts("mannerless", {"scorer:odd": {"deed": "print()"}}).args[1]
    assert parameter.id == "scorer:odd"
    with pytest.raises(AssertionError, match="prints to standard output"):
        parameter.values[0]()
    with pytest.raises(AssertionError, match="registers no part; is it installed"):
        parametrize_parts("nobody")


def test_what_is_expected_to_be_broken_has_to_be(install: Callable[..., Path]) -> None:
    install("mannerless", MANNERLESS)
    known = {"scorer:odd": {"good-manners": "it tells how far it has come"}}
    loud, quiet = (
        parametrize_parts("mannerless", {"scorer:odd": {"deed": deed}}, known).args[1][0].values[0]
        for deed in ("print()", "pass")
    )
    with pytest.raises(pytest.xfail.Exception, match="it tells how far it has come"):
        loud()
    with pytest.raises(AssertionError, match="good-manners: it is kept, though expected"):
        quiet()


KIND = """
from typing import Protocol
from vlmad import hookimpl

class Telescope(Protocol):
    def look(self) -> str: ...

class Small:
    def look(self) -> str:
        return "stars"

@hookimpl
def register_telescopes(register):
    register("small", Small, "a telescope")
    register("blind", dict)
"""


def test_a_plugin_brings_a_kind_that_lists_descriptions_and_checks_take(
    install: Callable[..., Path], command: Callable[..., Any]
) -> None:
    folder = install("dome", KIND)
    entries = folder / "dome-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[vlmad]\ndome = dome\n[vlmad.kinds]\ntelescope = dome:Telescope\n")
    registry = Registry.discover()
    assert registry.names("telescope") == ["small", "blind"]
    assert registry.get("telescope", "small").resolve()().look() == "stars"
    assert "telescope\n  small  a telescope (dome 1.0)" in command("plugins").out
    assert command("describe", "telescope:small").status == 0
    check_part("telescope", "small")
    with pytest.raises(AssertionError, match="telescope 'blind': has-its-members: it lacks look"):
        check_part("telescope", "blind")


@pytest.mark.slow
def test_a_process_that_checks_one_part_alone_blames_it_for_no_library() -> None:
    words = "from vlmad.testing import check_part; check_part('scorer', 'nearest')"
    ended = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


class DrawsAnew:
    def learnable(self, spec: Any, seed: int) -> dict[str, Tensor]:
        return {"gain": torch.rand(3)}

    def facts(self) -> dict[str, str]:
        return {}


def test_a_part_that_draws_what_it_learns_without_the_seed_is_caught() -> None:
    with pytest.raises(AssertionError, match="the same seed draws other values"):
        check_learning(DrawsAnew(), two_layer_backbone().spec)
