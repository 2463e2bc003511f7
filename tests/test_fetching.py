"""What a manifest or a fitted detector names is fetched only if the user says so."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from vlmad import load_detector
from vlmad.errors import WeightsError
from vlmad.testing import TWO_LAYERS, example_images
from vlmad_run.fitted import load_fitted, save_fitted
from vlmad_run.manifest import Manifest, describe_run
from vlmad_run.repeating import rebuild
from vlmad_run.stored_run import StoredRun


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Who was asked on the network, which is not there."""
    found: list[Any] = []

    def refuse(*who: Any, **words: Any) -> Any:
        found.append(who)
        raise OSError("no network")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return found


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's client keeps what it has downloaded: nothing yet."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def download(hub: Path, repository: str, **files: Path) -> None:
    place = hub / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    for name, file in files.items():
        shutil.copy(file, place / "snapshots" / "abc" / f"{name}{file.suffix}")


def naming(model: str) -> Manifest:
    """Return a manifest of somebody who wants a model fetched."""
    options = {"backbone": {"weights": "random:0"}}
    made = describe_run(load_detector(backbone=f"openclip:{TWO_LAYERS}", options=options), "nut")
    backbone = {**made.options["backbone"], "model": model, "weights": None, "fetch": True}
    return made.model_copy(update={"options": {**made.options, "backbone": backbone}})


NAMED = {
    "hf-hub:evil/x": "huggingface.co/evil/x",
    "hf-hub:../x": "huggingface.co/../x",
    "ViT-B-32/laion2b_s34b_b79k": "huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/",
    "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": "huggingface.co/xlm-roberta-base",
}


@pytest.mark.parametrize(("model", "where"), NAMED.items())
def test_nothing_is_fetched_for_a_manifest_that_names_it(
    model: str, where: str, asked: list[Any], hub: Path
) -> None:
    with pytest.raises(WeightsError, match=f"if you trust {where}.*--set backbone.fetch=true"):
        rebuild(naming(model), {}).backbone.weights_hash  # noqa: B018
    assert asked == []


def test_a_fitted_detector_that_names_a_model_asks_nobody(
    asked: list[Any], hub: Path, tmp_path: Path
) -> None:
    options = {"backbone": {"weights": "random:0"}}
    detector = load_detector(backbone=f"openclip:{TWO_LAYERS}", options=options)
    detector.fit(example_images(1).sources)
    save_fitted(detector, naming("hf-hub:evil/x"), tmp_path / "evil.safetensors")
    with pytest.raises(WeightsError, match=r"if you trust huggingface\.co/evil/x"):
        load_fitted(tmp_path / "evil.safetensors", {})
    assert asked == []


def test_the_users_word_fetches_it(
    asked: list[Any], hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    table = {"model_cfg": json.loads(TWO_LAYERS.read_text())}

    def fetch(name: str) -> Any:
        wanted.append(name)
        return table

    monkeypatch.setattr("open_clip.factory._get_hf_config", fetch)
    rebuild(naming("hf-hub:evil/x"), {"backbone": {"fetch": "true"}})
    assert wanted == ["evil/x"]


def test_what_was_downloaded_before_is_used_without_a_word(
    asked: list[Any], hub: Path, two_layer_file: Path
) -> None:
    files = {"open_clip_config": TWO_LAYERS, "open_clip_model": two_layer_file}
    download(hub, "good/x", **files)
    backbone = rebuild(naming("hf-hub:good/x"), {}).backbone
    whole = load_detector(
        backbone=f"openclip:{TWO_LAYERS}", options={"backbone": {"weights": "random:0"}}
    ).backbone
    assert backbone.weights_hash == whole.weights_hash
    assert asked == []


def test_whether_it_was_fetched_is_no_substance() -> None:
    manifest = naming(str(TWO_LAYERS))
    assert "fetch" not in manifest.identity.parts["backbone"].options
    assert StoredRun(Path(), manifest).class_name == "nut"
