"""Learned prompts from outside: read as tensors only, or refused with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmad import load_detector
from vlmad.errors import IncompatiblePartsError, OptionError, WeightsError
from vlmad.files import digest
from vlmad.testing import TWO_LAYERS
from vlmad_anomalyclip._official_checkpoint import convert_checkpoint
from vlmad_anomalyclip.learned_prompts import SIDES, Learned, read_learned_prompts
from vlmad_documents.learned_file import LearnedOn, Learning, tensors_digest, write_learned

GOLDEN = Path(__file__).parent / "golden" / "anomalyclip"


class Boom:
    """Runs code when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


def test_the_official_checkpoint_becomes_small_and_keeps_what_acts() -> None:
    tensors, learning = convert_checkpoint(GOLDEN / "epoch_15.pth", "MIT")
    blocks = {f"deep.{block}" for block in range(1, 9)}
    assert tensors.keys() == {"context.normal", "context.anomalous"} | blocks
    assert tensors["context.normal"].shape == (12, 64)
    assert (learning.class_token, learning.licence) == ("raw", "MIT")
    assert learning.options["sha256"] == digest(GOLDEN / "epoch_15.pth")
    assert learning.facts["template.anomalous"].endswith("damaged object .")
    assert learning.facts["template.anomalous"].split().count("X") == 12
    official = torch.load(GOLDEN / "epoch_15.pth", weights_only=True)["prompt_learner"]
    assert torch.equal(tensors["context.anomalous"], official["ctx_neg"][0, 0])
    assert torch.equal(tensors["deep.1"], official["compound_prompts_text.0"].float())


def test_imported_prompts_of_which_a_bit_was_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "imported.safetensors"
    write_learned(path, *convert_checkpoint(GOLDEN / "epoch_15.pth"))
    assert read_learned_prompts(path).width == 64
    whole = bytearray(path.read_bytes())
    whole[-7] ^= 1
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match=r"imported\.safetensors is damaged"):
        read_learned_prompts(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compound_prompts_text.0": "text"}, "'compound_prompts_text.0' is missing"),
        ({"tokenized_prompts_pos": torch.zeros(0)}, "does not give its token ids"),
        ({"tokenized_prompts_pos": torch.full((1, 77), 10**6)}, "does not give its token ids"),
    ],
)
def test_a_checkpoint_with_odd_values_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    official = torch.load(GOLDEN / "epoch_15.pth", weights_only=True)["prompt_learner"]
    torch.save({"prompt_learner": {**official, **change}}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=message):
        convert_checkpoint(tmp_path / "odd.pth")


def test_checkpoints_that_are_none_are_refused(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save({"prompt_learner": Boom(witness)}, tmp_path / "evil.pth")
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    torch.save({"prompt_learner": {"ctx_pos": torch.zeros(1, 1, 2, 4)}}, tmp_path / "part.pth")
    (tmp_path / "noise.pth").write_bytes(b"no checkpoint")
    for name, message in (
        ("evil", "cannot be read as tensors only"),
        ("other", "it has no 'prompt_learner'"),
        ("part", "'tokenized_prompts_pos' is missing"),
        ("noise", "cannot be read as tensors only"),
        ("none", "No such file"),
    ):
        with pytest.raises(WeightsError, match=message):
            convert_checkpoint(tmp_path / f"{name}.pth")
    assert not witness.exists()


def test_learned_prompts_of_another_width_or_depth_are_refused(
    learned_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(IncompatiblePartsError, match=r"width 48 \(two layers\), its own has 128"):
        load_detector("hybrid", prompts=f"learned:{learned_file}")
    tensors = load_file(learned_file)
    tensors["deep.2"] = tensors["deep.1"].clone()
    metadata = {"template.normal": "X X X a.", "template.anomalous": "X X X b."}
    save_file(tensors, tmp_path / "deep.safetensors", metadata)
    with pytest.raises(IncompatiblePartsError, match="the prompts enter block 2 of 2 text blocks"):
        load_detector(
            "hybrid",
            prompts=f"learned:{tmp_path / 'deep.safetensors'}",
            backbone=f"openclip:{TWO_LAYERS}",
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context.normal": None}, "holds no learned prompts"),
        ({"context.normal": torch.zeros(3)}, "holds no learned prompts"),
        ({"context.normal": torch.zeros(4, 48)}, "both contexts must have one shape"),
        ({"deep.1": torch.zeros(2, 47)}, r"'deep.1' must be of shape \(vectors, 48\)"),
        (
            {"deep.1": torch.full((2, 48), float("nan"))},
            "'deep.1' is empty, or holds what is no finite number",
        ),
        ({"depe.1": torch.zeros(2, 48)}, "unknown tensor 'depe.1'"),
    ],
)
def test_malformed_learned_prompts_are_refused(
    change: dict[str, torch.Tensor | None], message: str, learned_file: Path, tmp_path: Path
) -> None:
    changed = {**load_file(learned_file), **change}
    kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
    metadata = {"template.normal": "X X X a.", "template.anomalous": "X X X b."}
    path = tmp_path / "changed.safetensors"
    save_file(kept, path, metadata)
    with pytest.raises(WeightsError, match=message):
        read_learned_prompts(path)


def test_learned_prompts_without_fitting_templates_are_refused(
    learned_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "changed.safetensors"
    save_file(load_file(learned_file), path, {"template.normal": "X X a."})
    with pytest.raises(WeightsError, match="an X for each of 3 vectors"):
        read_learned_prompts(path)


def test_an_official_file_in_the_wrong_place_brings_the_command_that_converts_it() -> None:
    with pytest.raises(WeightsError, match=r"convert it first: vlmad prompts import .*epoch_15"):
        read_learned_prompts(GOLDEN / "epoch_15.pth")


def trained(path: Path, on: LearnedOn, width: int = 128, **change: Any) -> Path:
    """Write prompts that were learned on a backbone."""
    generator = torch.Generator().manual_seed(0)
    tensors = {f"context.{s}": torch.randn(2, width, generator=generator) for s in SIDES}
    learning = Learning(
        kind="prompts",
        part="learned",
        facts={f"template.{side}": f"X X {side}." for side in SIDES},
        backbone=on,
        class_token="normed",
        layers=[4],
        data={},
        options={},
    )
    write_learned(path, tensors, learning.model_copy(update=change))
    return path


@pytest.mark.slow
def test_prompts_learned_on_other_weights_are_refused_with_both_sides_named(
    tmp_path: Path, photos: Path, command: Any
) -> None:
    tiny = load_detector("anomalyclip").backbone
    own = trained(tmp_path / "own", LearnedOn.describe(tiny))
    other = trained(tmp_path / "other", LearnedOn(name="fine", weights_sha256="ab" * 32))
    words = ("run", photos, "--detector", "anomalyclip", "--quiet")
    assert command(*words, "--prompt", f"learned:{own}", "--out", "a").status == 0
    refused = command(*words, "--prompt", f"learned:{other}", "--out", "b")
    assert refused.status == 2
    hash_ = tiny.weights_hash[:12]
    assert f"learned on weights abababababab of fine, and tiny has {hash_}" in refused.error
    assert "--set prompts.any_weights=true" in refused.error
    assert not (tmp_path / "b").exists()
    anyway = (*words, "--prompt", f"learned:{other}", "--set", "prompts.any_weights=true")
    assert command(*anyway, "--out", "b").status == 0


@pytest.mark.parametrize("kind", ["text_width", "vision_width", "embedding_dim"])
def test_prompts_learned_on_another_width_are_refused_before_any_weight_is_loaded(
    kind: str, tmp_path: Path
) -> None:
    file = trained(tmp_path / "wide", LearnedOn(name="wide one", **{kind: 4096}), 4096)
    with pytest.raises(IncompatiblePartsError, match=r"width 4096 \(wide one\), its own has"):
        load_detector("anomalyclip", prompts=f"learned:{file}")


def test_the_licence_of_a_file_is_noted(tmp_path: Path) -> None:
    file = trained(tmp_path / "p", LearnedOn(name="tiny"), licence="CC-BY-NC-4.0")
    notes = load_detector("anomalyclip", prompts=f"learned:{file}").assembly.notes
    assert notes == ("prompts 'learned': licence of what was learned: CC-BY-NC-4.0",)
    assert load_detector("anomalyclip").assembly.notes == ()


def bundled(name: str | None) -> dict[str, Any]:
    return {"prompts": {"bundled": name}}


@pytest.mark.parametrize("extractor", ["dense", "window"])
def test_what_was_learned_from_drawn_images_fits_the_weights_that_it_ships_with(
    extractor: str,
) -> None:
    detector = load_detector("anomalyclip", options=bundled(f"drawn-{extractor}"))
    assert isinstance(detector.prompts, Learned)
    said = detector.prompts.learned(detector.backbone.spec).file
    assert said.backbone == LearnedOn.describe(detector.backbone), "see docs/training.md"
    assert said.licence == detector.backbone.spec.licence
    losses = {"dense": "anomalyclip", "window": "windows"}
    assert said.options["loss"] == losses[extractor]
    assert {*said.data} == {"brushed_metal", "circuit", "cloth", "tile"}


def test_the_usual_learned_prompts_are_those_learned_inside_windows() -> None:
    found = []
    for name in (None, "drawn-window"):
        detector = load_detector("hybrid", options=bundled(name))
        assert isinstance(detector.prompts, Learned)
        found.append(tensors_digest(detector.prompts.learned(detector.backbone.spec).tensors))
    assert found[0] == found[1]


def test_prompts_that_a_backbone_does_not_ship_are_refused_with_those_that_it_does() -> None:
    message = "tiny ships no prompts 'drawn'; bundled: drawn-window, drawn-dense"
    with pytest.raises(OptionError, match=message):
        load_detector("hybrid", options=bundled("drawn"))
    with pytest.raises(IncompatiblePartsError, match="no prompts were learned for it"):
        load_detector(
            "hybrid",
            backbone=f"openclip:{TWO_LAYERS}",
            prompts="learned",
            options=bundled("drawn-dense"),
        )


def test_a_file_takes_the_place_of_what_a_recipe_takes_of_the_bundled(tmp_path: Path) -> None:
    file = trained(tmp_path / "own", LearnedOn(name="tiny"))
    detector = load_detector("hybrid", prompts=f"learned:{file}", options=bundled("drawn-window"))
    assert isinstance(detector.prompts, Learned)
    own = detector.prompts.learned(detector.backbone.spec)
    assert own.templates == ("X X normal.", "X X anomalous.")


def test_learning_goes_on_from_bundled_prompts_where_they_are_named() -> None:
    spec = load_detector("hybrid").backbone.spec
    given = read_learned_prompts(spec.learned_prompts["drawn-dense"]).tensors
    start = Learned(bundled="drawn-dense", anew=True).learnable(spec, seed=0)
    assert tensors_digest(start) == tensors_digest(given)


@pytest.mark.slow
def test_a_run_says_which_bundled_prompts_it_took_and_goes_on_with_no_others(
    tmp_path: Path, photos: Path, command: Any
) -> None:
    words = ("run", photos, "--detector", "hybrid", "--quiet", "--out", "out", "--set")
    assert command(*words, "prompts.bundled=drawn-dense").status == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["options"]["prompts"]["bundled"] == "drawn-dense"
    assert manifest["files"] == {}
    other = command(*words, "prompts.bundled=drawn-window")
    assert other.status == 2
    assert "prompts.options.bundled (drawn-dense, now drawn-window)" in other.error
