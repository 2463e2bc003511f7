"""CoOp's context: its authors' numbers, in any place, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from vlmad import load_detector
from vlmad.errors import IncompatiblePartsError, OptionError, VlmadError
from vlmad.testing import two_layer_backbone
from vlmad_coop._learned_context import Coop, read_context
from vlmad_documents.learned_file import LearnedOn, Learning, read_learned_document, write_learned
from vlmad_openclip.language import tokenise
from vlmad_openclip.openclip import OpenClip
from vlmad_train.losses import image_loss

from .conftest import SMALL
from .test_golden import assert_close, assert_gradient, whole_model
from .test_train import draw_products, losses

GOLDEN = Path(__file__).parent / "golden"
CLASS_NAME = "metal_nut"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "coop" / "golden.safetensors")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> OpenClip:
    weights = whole_model(GOLDEN / "anomalyclip", tmp_path_factory.mktemp("coop"))
    return OpenClip(str(GOLDEN / "anomalyclip" / "model.json"), str(weights), device="cpu")


def learned_from(path: Path, tensors: dict[str, Tensor], **options: Any) -> Coop:
    """Return the prompts of a file that holds these tensors in the place of drawn ones."""
    length = next(iter(tensors.values())).shape[0]
    learning = Learning(
        kind="prompts",
        part="coop",
        facts=dict(Coop(anew=True, vectors=length, **options).facts()),
        backbone=LearnedOn(name="two layers"),
        class_token="normed",
        layers=[],
        data={},
        options={},
    )
    write_learned(path, tensors, learning)
    return Coop(path)


def context_of(golden: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    if kind == "generic":
        return {"context": golden["context_generic"]}
    normal, anomalous = golden["context_per_class"]
    return {"context.normal": normal, "context.anomalous": anomalous}


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("kind", ["generic", "per_class"])
def test_prompts_texts_losses_and_gradients_are_those_of_the_authors(
    kind: str, position: str, golden: dict[str, Tensor], backbone: OpenClip, tmp_path: Path
) -> None:
    key = f"{kind}_{position}"
    coop = learned_from(tmp_path / "coop", context_of(golden, kind), position=position)
    learned = coop.learnable(backbone.spec, seed=0)
    for tensor in learned.values():
        tensor.requires_grad_()

    prompts = coop.context.prompts(CLASS_NAME.replace("_", " "))  # type: ignore[union-attr]
    embedded = backbone._text.embed(tokenise(backbone._tokenizer, prompts), prompts.context)
    expected = golden[f"{key}_prompts"]
    assert_close(embedded.detach()[:, : expected.shape[1]], expected)

    text = coop(backbone, CLASS_NAME.replace("_", " "), None)
    assert_close((text.embeddings * text.norms[:, None]).detach(), golden[f"{key}_text_features"])
    image, scale = golden["image_features"], golden["logit_scale"]
    logits = scale * F.normalize(image, dim=-1) @ text.embeddings.T
    assert_close(logits.detach(), golden[f"{key}_logits"])

    loss = image_loss(image, text.embeddings, golden["labels"], 1 / float(scale))
    loss.backward()
    assert_close(loss.detach(), golden[f"{key}_loss"][0])
    shape = (len(learned), *golden["context_generic"].shape)
    expected = golden[f"{key}_grad_context"].reshape(shape)
    for name, own in zip(context_of(golden, kind), expected, strict=True):
        assert_gradient(learned[name].grad, own)


def test_context_from_words_starts_as_these_words(
    golden: dict[str, Tensor], backbone: OpenClip
) -> None:
    coop = Coop(anew=True, words="a photo of a", per_class=True, vectors=9)
    context = coop.learnable(backbone.spec, seed=0)["context"].requires_grad_()
    text = coop(backbone, "metal nut", None)
    assert_close(context.detach(), golden["words_end_context"])
    raw = text.embeddings * text.norms[:, None]
    assert_close(raw.detach(), golden["words_end_text_features"])
    temperature = 1 / float(golden["logit_scale"])
    loss = image_loss(golden["image_features"], raw, golden["labels"], temperature)
    loss.backward()
    assert_close(loss.detach(), golden["words_end_loss"][0])
    assert_gradient(context.grad, golden["words_end_grad_context"])
    torch.nn.init.ones_(context)  # as a step of training would change it
    assert not torch.allclose(coop(backbone, "metal nut", None).embeddings, text.embeddings)
    assert torch.equal(context, torch.ones_like(context))


def test_a_class_name_may_hold_an_x_of_its_own() -> None:
    backbone: Any = two_layer_backbone()
    coop = Coop(anew=True, vectors=2, position="middle")
    coop.learnable(backbone.spec, seed=0)
    text = coop(backbone, "X ray X", None)
    assert text.sentences == ("X flawless X ray X X .", "X damaged X ray X X .")
    assert coop.context is not None
    ids = backbone.token_ids(coop.context.prompts("X ray X"))
    assert (ids[0, :8] == -1).tolist() == [False, True, False, False, False, False, True, False]


def test_context_is_drawn_by_the_seed() -> None:
    spec = two_layer_backbone().spec
    drawn = [Coop(anew=True, vectors=3, per_class=True).learnable(spec, seed) for seed in (0, 0, 1)]
    assert {name: tuple(t.shape) for name, t in drawn[0].items()} == {
        "context.normal": (3, 48),
        "context.anomalous": (3, 48),
    }
    assert torch.equal(drawn[0]["context.normal"], drawn[1]["context.normal"])
    assert not torch.equal(drawn[0]["context.normal"], drawn[2]["context.normal"])
    assert not torch.equal(drawn[0]["context.normal"], drawn[0]["context.anomalous"])


def test_without_a_file_it_is_said_how_to_learn_one() -> None:
    with pytest.raises(OptionError, match="vlmad train DATA --detector coop --out FILE"):
        load_detector("coop")


def test_context_of_another_width_is_refused(tmp_path: Path) -> None:
    learned_from(tmp_path / "coop", {"context": torch.zeros(3, 48)})
    message = r"learned on a text encoder of width 48 \(two layers\), its own has 128"
    with pytest.raises(IncompatiblePartsError, match=message):
        load_detector("coop", prompts=f"coop:{tmp_path / 'coop'}")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"context.normal": torch.zeros(3, 48)}, "no context of one shape"),
        ({"context": torch.zeros(48)}, "an X for each vector"),
        ({"context": torch.zeros(3, 48), "more": torch.zeros(3, 48)}, "no context of one shape"),
        (
            {"context.normal": torch.zeros(3, 48), "context.anomalous": torch.zeros(2, 48)},
            "no context of one shape",
        ),
    ],
)
def test_a_malformed_file_is_refused(
    tensors: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(VlmadError, match=message):
        learned_from(tmp_path / "coop", tensors)


def test_sentences_without_a_place_for_each_vector_or_the_class_are_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "coop"
    learned_from(path, {"context": torch.zeros(3, 48)})
    learning = read_learned_document(path)
    for template, message in (("X X {}.", "an X for each vector"), ("X X X.", "exactly one {}")):
        facts = {"template.normal": template, "template.anomalous": "X X X {}."}
        write_learned(
            path, {"context": torch.zeros(3, 48)}, learning.model_copy(update={"facts": facts})
        )
        with pytest.raises(VlmadError, match=message):
            read_context(path)


@pytest.mark.slow
def test_context_of_each_side_is_learned_by_images_alone_and_then_taken_by_run(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    products = draw_products(tmp_path / "products")
    own = ("per_class=yes", "position=front", "vectors=3")
    settings = [word for each in own for word in ("--set", f"prompts.{each}")]
    words = ("train", products, "--detector", "coop", *SMALL, *settings)
    done = command(*words, "--epochs", "3", "--held-out", "none", "--out", "c.safetensors")
    assert done.status == 0, done.error
    assert "by the loss 'image'" in done.error
    curve = losses(Path("c-training"))
    assert curve[-1] < curve[0]
    context = read_context(Path("c.safetensors"))
    assert context.templates == ("flawless {} X X X .", "damaged {} X X X .")
    assert sorted(context.tensors) == ["context.anomalous", "context.normal"]
    use = done.out.split("vlmad run … ")[1].splitlines()[0].split()
    used = command("run", products / "a", *SMALL, *use, "--overlays", "none")
    assert used.status == 0, used.error
