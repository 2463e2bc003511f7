"""Weights and learned prompts from outside: read as tensors only, or refused with a reason."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmad import load_detector
from vlmad.errors import OptionError, WeightsError
from vlmad.testing import TWO_LAYERS, example_images, two_layer_backbone
from vlmad_anomalyclip._official_checkpoint import convert_checkpoint
from vlmad_anomalyclip.learned_prompts import read_learned_prompts
from vlmad_openclip._model_source import find_model
from vlmad_openclip.openclip import OpenClip

GOLDEN = Path(__file__).parent / "golden" / "anomalyclip"


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    backbone: Any = two_layer_backbone(3)
    return {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}


def scores(weights: Path | str, model: Path = TWO_LAYERS) -> list[float]:
    detector = load_detector("clip", backbone=f"openclip:{model}", weights=weights)
    return [result.score for result in detector.predict(example_images().sources)]


class Boom:
    """Runs code when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["safetensors", "torch", "training", "data-parallel", "half"])
def test_a_checkpoint_loads_in_every_usual_form(
    form: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    expected = scores("random:3")
    path = tmp_path / ("model.safetensors" if form == "safetensors" else "model.pt")
    if form == "safetensors":
        save_file(tensors, path)
    elif form == "torch":
        torch.save(tensors, path)
    elif form == "training":
        torch.save({"epoch": 3, "state_dict": tensors, "name": "mine"}, path)
    elif form == "data-parallel":
        torch.save({"state_dict": {f"module.{k}": t for k, t in tensors.items()}}, path)
    else:
        torch.save({k: t.half() for k, t in tensors.items()}, path)
    assert scores(path) == pytest.approx(expected, abs=5e-3 if form == "half" else 0)


def test_the_hash_is_of_the_values_whatever_file_they_came_from(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(dict(reversed(tensors.items())), tmp_path / "b.pt")
    hashes = {
        OpenClip(str(TWO_LAYERS), weights=str(weights)).weights_hash
        for weights in (tmp_path / "a.safetensors", tmp_path / "b.pt", "random:3")
    }
    assert len(hashes) == 1
    assert OpenClip(str(TWO_LAYERS), weights="random:4").weights_hash not in hashes


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save({"state_dict": Boom(witness)}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be read as tensors only"):
        scores(tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Boom(witness)))
    with pytest.raises(WeightsError, match="cannot be read as tensors only"):
        scores(tmp_path / "bare.pt")
    assert not witness.exists()


def test_a_torchscript_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ViT-L-14-336px.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to leave TorchScript behind
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(WeightsError, match=r"TorchScript archive.*torch\.jit\.load"):
        scores(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pt", None, "no such file"),
        ("empty.pt", b"", "cannot be read as tensors only"),
        ("noise.pt", bytes(range(256)) * 20, "cannot be read as tensors only"),
        ("noise.safetensors", bytes(range(256)) * 20, "weights"),
        ("empty.safetensors", b"", "weights"),
    ],
)
def test_missing_and_damaged_files_are_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        scores(path)


def test_a_truncated_checkpoint_is_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "whole.safetensors")
    torch.save(tensors, tmp_path / "whole.pt")
    for suffix in (".safetensors", ".pt"):
        data = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"half{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(WeightsError, match=f"half{suffix}"):
            scores(tmp_path / f"half{suffix}")


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"of another architecture: .* tensors are missing"):
        scores(tmp_path / "other.pt")
    table = json.loads(TWO_LAYERS.read_text())
    table["vision_cfg"]["width"] = 96
    (tmp_path / "wide.json").write_text(json.dumps(table))
    torch.save(tensors, tmp_path / "narrow.pt")
    with pytest.raises(WeightsError, match="of another architecture: size mismatch"):
        scores(tmp_path / "narrow.pt", tmp_path / "wide.json")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="hold no state dict"):
        scores(tmp_path / "list.pt")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no open_clip configuration"),
        ('{"embed_dim": 3}', "it lacks"),
        (
            '{"embed_dim": 8, "vision_cfg": {"timm_model_name": "x"}, "text_cfg": {}}',
            "no open_clip",
        ),
        (
            '{"embed_dim": 8, "text_cfg": {}, "vision_cfg": {"layers": 2, "width": 64, '
            '"patch_size": [8, 4], "image_size": 64}}',
            "no square patches",
        ),
    ],
)
def test_configurations_that_cannot_be_used_are_refused(
    config: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    path.write_text(config)
    with pytest.raises(WeightsError, match=message):
        OpenClip(str(path))


def test_a_folder_as_downloaded_from_a_hub_is_a_model(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    table = {
        "model_cfg": json.loads(TWO_LAYERS.read_text()),
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="no weights"):
        load_detector(backbone=f"openclip:{tmp_path}").predict(example_images().sources)
    save_file(tensors, tmp_path / "open_clip_model.safetensors")
    backbone = OpenClip(str(tmp_path))
    assert backbone.spec.preprocessing.mean == (0.5, 0.5, 0.5)
    assert backbone.weights_hash == OpenClip(str(TWO_LAYERS), weights="random:3").weights_hash


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-16-plus-241", "knows no model 'ViT-B-16-plus-241'; did you mean"),
        ("ViT-B-16-plus-240/laion", "has no weights 'laion'; "),
        ("ViT-B-16-plus-240/laion400m_e30", "did you mean 'laion400m_e3"),
        ("RN50-quickgelu/openai", "is no open_clip ViT"),
        ("no/such/folder", "knows no model 'no'"),
    ],
)
def test_names_of_no_model_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        OpenClip(name)


def test_every_vision_transformer_that_open_clip_publishes_can_be_named() -> None:
    import open_clip

    for architecture, tag in open_clip.list_pretrained():
        try:
            OpenClip(f"{architecture}/{tag}")
        except WeightsError as error:
            refused = str(error)
            if "use openclip:" in refused:
                find_model(refused.split("use openclip:")[1])
            else:
                assert "is no open_clip ViT" in refused, refused
    spec = OpenClip("ViT-B-16-plus-240/laion400m_e31").spec
    assert (spec.grid, spec.depth, spec.vision_width) == ((15, 15), 12, 896)
    assert (spec.embedding_dim, spec.text_width, spec.text_depth) == (640, 640, 12)
    spec = OpenClip("ViT-L-14-336-quickgelu/openai", image_size=518).spec
    assert (spec.grid, spec.depth) == ((37, 37), 24)


def test_image_sizes_are_rounded_down_to_whole_patches() -> None:
    assert OpenClip(str(TWO_LAYERS), image_size=100).spec.preprocessing.size == (96, 96)
    for size in (15, 0, -16):
        with pytest.raises(OptionError, match="at least one patch, 16 pixels"):
            OpenClip(str(TWO_LAYERS), image_size=size)


# learned prompts


def test_the_official_checkpoint_becomes_small_and_keeps_what_acts() -> None:
    tensors, metadata = convert_checkpoint(GOLDEN / "epoch_15.pth")
    blocks = {f"deep.{block}" for block in range(1, 9)}
    assert tensors.keys() == {"context.normal", "context.anomalous"} | blocks
    assert tensors["context.normal"].shape == (12, 64)
    assert metadata["class_token"] == "raw"
    assert metadata["template.anomalous"].endswith("damaged object .")
    assert metadata["template.anomalous"].split().count("X") == 12
    official = torch.load(GOLDEN / "epoch_15.pth", weights_only=True)["prompt_learner"]
    assert torch.equal(tensors["context.anomalous"], official["ctx_neg"][0, 0])
    assert torch.equal(tensors["deep.1"], official["compound_prompts_text.0"].float())


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
    with pytest.raises(Exception, match=r"width 48 \(two layers\), its own has 128"):
        load_detector("hybrid", prompts=f"learned:{learned_file}")
    tensors = load_file(learned_file)
    tensors["deep.2"] = tensors["deep.1"].clone()
    metadata = {"template.normal": "X X X a.", "template.anomalous": "X X X b."}
    save_file(tensors, tmp_path / "deep.safetensors", metadata)
    with pytest.raises(Exception, match="the prompts enter block 2 of 2 text blocks"):
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
        ({"deep.1": torch.zeros(2, 47)}, r"'deep.1' must be finite and of shape \(vectors, 48\)"),
        ({"deep.1": torch.full((2, 48), float("nan"))}, "'deep.1' must be finite"),
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
