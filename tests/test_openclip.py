"""Models by any name, with weights read as tensors only, or refused with a reason."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from vlmad import ClassToken, Patches, Windows
from vlmad.errors import OptionError, WeightsError
from vlmad.testing import TWO_LAYERS, UsualAttention, example_images
from vlmad_openclip._model_source import find_model
from vlmad_openclip.checkpoint import in_turn, read_weights
from vlmad_openclip.openclip import OpenClip, has_plain_text

REQUESTS = [ClassToken(), ClassToken(normed=False), Patches(2), Windows(2)]


@pytest.fixture(scope="module")
def tensors(two_layer: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in two_layer.model.state_dict().items()}


def load(weights: Path | str, model: Path = TWO_LAYERS) -> Any:
    """Encode images, which loads the weights."""
    backbone = OpenClip(str(model), str(weights), device="cpu")
    with torch.inference_mode():
        return backbone.encode(example_images(), REQUESTS, UsualAttention())


class Boom:
    """Runs code when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("form", ["safetensors", "torch", "training", "data-parallel", "half"])
def test_a_checkpoint_loads_in_every_usual_form(
    form: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
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
    ours, expected = load(path)[ClassToken()], load("random:0")[ClassToken()]
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-2 if form == "half" else 0)


def test_the_hash_is_of_the_values_whatever_file_they_came_from(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(dict(reversed(tensors.items())), tmp_path / "b.pt")
    hashes = {
        OpenClip(str(TWO_LAYERS), str(weights), precision=precision).weights_hash  # type: ignore[arg-type]
        for weights in (tmp_path / "a.safetensors", tmp_path / "b.pt", "random:0")
        for precision in ("float32", "bfloat16")
    }
    assert len(hashes) == 1
    assert OpenClip(str(TWO_LAYERS), weights="random:4").weights_hash not in hashes


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save({"state_dict": Boom(witness)}, tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Boom(witness)))
    for name in ("evil.pt", "bare.pt"):
        with pytest.raises(WeightsError, match="cannot be read as tensors only") as refused:
            load(tmp_path / name)
        assert len(str(refused.value)) < len(str(tmp_path)) + 120
        assert str(refused.value).isprintable()
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (b"cos\nsystem\n(S'x'\ntR.", "os.system"),
        (b"\x80\x02cbuiltins\neval\n(tR.", "builtins.eval|eval"),
        (b"\x80\x02cfunctools\npartial\n(tR.", "functools.partial"),
        (b"\x80\x02cev\x1b[31mil\nx\n(tR.", r"ev\\x1b\[31mil\.x"),
    ],
    ids=["system", "eval", "partial", "escape codes"],
)
def test_what_a_pickle_wants_to_call_is_named_in_one_sentence(
    content: bytes, called: str, tmp_path: Path
) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"evil\.pt .*: it wants to call ({called})$"):
        load(path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float8_e4m3fn, torch.bool, torch.uint8])
def test_weights_of_a_type_that_is_no_weights_are_refused(
    dtype: torch.dtype, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    name = "visual.proj"
    save_file({**tensors, name: tensors[name].to(dtype)}, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=r"'visual\.proj' is of type"):
        load(tmp_path / "odd.safetensors")


def test_a_torchscript_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ViT-L-14-336px.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to leave TorchScript behind
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(WeightsError, match=r"TorchScript archive.*torch\.jit\.load"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pt", None, "no such file"),
        ("empty.pt", b"", "cannot be read as tensors only"),
        ("noise.pt", b"noise" * 999, "cannot be read as tensors only"),
        ("noise.safetensors", b"noise" * 999, "weights"),
        ("empty.safetensors", b"", "weights"),
    ],
    ids=["missing", "empty", "noise", "noise as safetensors", "empty as safetensors"],
)
def test_missing_and_damaged_files_are_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load(tmp_path / name)


def test_a_truncated_checkpoint_is_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "whole.safetensors")
    torch.save(tensors, tmp_path / "whole.pt")
    for suffix in (".safetensors", ".pt"):
        data = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"half{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(WeightsError, match=f"half{suffix}"):
            load(tmp_path / f"half{suffix}")


def test_weights_of_another_architecture_are_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"of another architecture: .* tensors are missing"):
        load(tmp_path / "other.pt")
    part = {name: tensor for name, tensor in tensors.items() if name != "ln_final.weight"}
    save_file(part, tmp_path / "part.safetensors")  # only images are encoded, and yet
    with pytest.raises(WeightsError, match=r"1 tensors are missing .* 'ln_final.weight'"):
        load(tmp_path / "part.safetensors")
    table = json.loads(TWO_LAYERS.read_text())
    table["vision_cfg"]["width"] = 96
    (tmp_path / "wide.json").write_text(json.dumps(table))
    torch.save(tensors, tmp_path / "narrow.pt")
    with pytest.raises(WeightsError, match="of another architecture: size mismatch"):
        load(tmp_path / "narrow.pt", tmp_path / "wide.json")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="hold no state dict"):
        load(tmp_path / "list.pt")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no open_clip configuration"),
        ('{"embed_dim": 3}', "it lacks"),
        (
            '{"embed_dim": 8, "vision_cfg": {"timm_model_name": "x"}, '
            '"text_cfg": {"layers": 2, "width": 8, "heads": 2}}',
            "no open_clip",
        ),
        (
            '{"embed_dim": 8, "text_cfg": {}, "vision_cfg": {"layers": 2, "width": 64, '
            '"patch_size": [8, 4], "image_size": 64}}',
            r"'patch_size' is \[8, 4\], not a whole number from 1",
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


@pytest.mark.parametrize("value", [0, -1, 10**9, 1.5, True, None, "16", [16], "missing"])
@pytest.mark.parametrize(
    "field",
    ["embed_dim", "vision_cfg.width", "vision_cfg.layers", "vision_cfg.patch_size",
     "vision_cfg.image_size", "text_cfg.width", "text_cfg.layers", "text_cfg.heads"],
)  # fmt: skip
def test_a_number_that_no_model_has_is_refused_with_its_file_and_field(
    field: str, value: Any, tmp_path: Path
) -> None:
    table = json.loads(TWO_LAYERS.read_text())
    place, _, name = field.rpartition(".")
    within = table[place] if place else table
    within[name] = value
    if value == "missing":
        del within[name]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(table))
    with pytest.raises(WeightsError, match=rf"model\.json.*'{name}'"):
        OpenClip(str(path))


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", [0.5, [], [1, 1], [1, 1, "a"], [1, 1, float("nan")], "a"])
def test_colours_that_are_no_three_numbers_are_refused(
    name: str, value: Any, tmp_path: Path
) -> None:
    model = json.loads(TWO_LAYERS.read_text())
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {name: value}}))
    with pytest.raises(WeightsError, match=rf"model\.json: preprocess_cfg: '{name}' is"):
        OpenClip(str(path))
    path.write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {"std": [1, 0, 1]}}))
    with pytest.raises(WeightsError, match=r"'std' is \[1, 0, 1\], not 3 numbers above 0"):
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
        _ = OpenClip(str(tmp_path)).visual
    save_file(tensors, tmp_path / "open_clip_model.safetensors")
    backbone = OpenClip(str(tmp_path))
    assert backbone.spec.preprocessing.mean == (0.5, 0.5, 0.5)
    assert backbone.weights_hash == OpenClip(str(TWO_LAYERS), weights="random:0").weights_hash


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-16-plus-241", "knows no model 'ViT-B-16-plus-241'; did you mean"),
        ("ViT-B-16-plus-240/laion", "has no weights 'laion'; "),
        ("ViT-B-16-plus-240/laion400m_e30", "did you mean 'laion400m_e3"),
        ("RN50-quickgelu/openai", "is no open_clip ViT"),
        ("no/such/folder", "knows no model 'no'"),
        ("ViT-L-14-336/openai", "use openclip:ViT-L-14-336-quickgelu/openai"),
        ("ViT-B-32/laion400m_e32", "use openclip:ViT-B-32-quickgelu/laion400m_e32"),
    ],
)
def test_names_of_no_model_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        OpenClip(name)


def test_every_vision_transformer_that_open_clip_publishes_can_be_named() -> None:
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
    with pytest.raises(OptionError, match="random weights need a seed, random:0, not 'random:x'"):
        load("random:x")


@pytest.mark.parametrize(
    "architecture", ["ViT-B-32", "ViT-B-16-plus-240", "ViT-H-14-CLIPA", "roberta-ViT-B-32"]
)
def test_only_causal_text_towers_read_at_the_end_token_take_learned_context(
    architecture: str,
) -> None:
    plain = has_plain_text(open_clip.get_model_config(architecture)["text_cfg"])
    assert plain == (architecture in ("ViT-B-32", "ViT-B-16-plus-240"))


def test_a_text_tower_of_another_kind_is_run_by_the_model_itself(tmp_path: Path) -> None:
    table = json.loads(TWO_LAYERS.read_text())
    table["text_cfg"]["pool_type"] = "last"
    path = tmp_path / "last.json"
    path.write_text(json.dumps(table))
    backbone = OpenClip(str(path), "random:0", device="cpu")
    with torch.inference_mode():
        ours = backbone.encode_text(["a bolt"])
        theirs = backbone.model.encode_text(open_clip.SimpleTokenizer()(["a bolt"]))
    assert torch.equal(ours, theirs)
    assert backbone.token_ids(["a bolt"]) is None


@pytest.mark.parametrize("form", ["safetensors", "pt"])
def test_weights_come_into_memory_one_after_another_and_are_the_same(
    form: str, two_layer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmad_openclip.checkpoint.MOST_MAPPED", 1)  # the file is opened for each
    path, given = tmp_path / f"weights.{form}", load_file(two_layer_file)
    save_file(given, path) if form == "safetensors" else torch.save(given, path)
    turns = in_turn(path, read := read_weights(path))
    first, _ = next(turns)
    assert first not in read
    assert {first, *(name for name, _ in turns)} == given.keys()
    loaded = OpenClip(str(TWO_LAYERS), str(path), device="cpu", precision="bfloat16").visual
    for name, value in loaded.state_dict().items():
        plain = value.to_dense() if value.is_mkldnn else value
        assert torch.equal(plain, given[f"visual.{name}"].to(value.dtype))
    assert loaded.transformer.resblocks[0].mlp.c_fc.weight.dtype == torch.bfloat16


def test_encoding_images_gives_no_text_tower_its_weights() -> None:
    state = torch.random.get_rng_state()
    backbone = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu")
    with torch.inference_mode():
        backbone.encode(example_images(), [ClassToken()], UsualAttention())
    assert "model" not in vars(backbone)
    assert backbone.model.visual is backbone.visual
    assert torch.equal(state, torch.random.get_rng_state())


def test_features_in_bfloat16_point_the_same_way_and_texts_are_the_same() -> None:
    plain, half = (
        OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu", precision=precision)  # type: ignore[arg-type]
        for precision in ("float32", "bfloat16")
    )
    with torch.inference_mode():
        exact = plain.encode(example_images(), REQUESTS, UsualAttention())
        rough = half.encode(example_images(), REQUESTS, UsualAttention())
    assert (plain.precision, half.precision) == ("float32", "bfloat16")
    for request in REQUESTS:
        assert rough[request].dtype == torch.float32
        assert float(F.cosine_similarity(exact[request], rough[request], dim=-1).min()) >= 0.9999
    assert not torch.equal(exact[ClassToken()], rough[ClassToken()])
    assert torch.equal(half.encode_text(["a bolt"]), plain.encode_text(["a bolt"]))
