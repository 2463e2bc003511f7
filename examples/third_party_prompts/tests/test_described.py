"""The prompts keep their promises and describe each image by the adjectives that fit it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from vlmad.testing import example_features, parametrize_parts, two_layer_backbone
from vlmad.text import embed_sides

from vlmad_described.prompts import DescribedPrompts


@parametrize_parts("vlmad-described")
def test_part_keeps_its_promises(check: Callable[[], None]) -> None:
    check()


def test_one_adjective_is_an_ordinary_sentence() -> None:
    backbone = two_layer_backbone()
    with torch.inference_mode():
        features = example_features(2, dimensions=backbone.spec.embedding_dim)
        text = DescribedPrompts(words=("dark",))(backbone, "nut", features)
        sides = (["a photo of a flawless dark nut"], ["a photo of a damaged dark nut"])
        expected = embed_sides(backbone, *sides).embeddings
    torch.testing.assert_close(text.embeddings, expected.expand(2, -1, -1))


def test_an_image_that_is_like_an_adjective_is_described_by_it() -> None:
    backbone, words = two_layer_backbone(), ("dark", "bright")
    with torch.inference_mode():
        looks = backbone.encode_text([f"a photo of a {word} nut" for word in words])
        features = replace(example_features(2, dimensions=looks.shape[1]), image=looks)
        text = DescribedPrompts(words, temperature=1e-4)(backbone, "nut", features)
        for row, word in enumerate(words):
            one = DescribedPrompts((word,))(backbone, "nut", features[[row]])
            torch.testing.assert_close(text.embeddings[[row]], one.embeddings)
