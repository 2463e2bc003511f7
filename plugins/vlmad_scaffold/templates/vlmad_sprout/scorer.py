"""The scorer `sprout`."""

from collections.abc import Mapping

from torch import Tensor
from vlmad import Features, Prediction, Scorer, TextEmbeddings
from vlmad.regions import mean_map, upsample
from vlmad.text import anomaly_probability, pool_sides


class SproutScorer(Scorer):
    """How much more a place is like the sentences of what is wrong; the highest place counts."""

    def __call__(
        self, features: Features, text: TextEmbeddings | None, memory: Mapping[str, Tensor] | None
    ) -> Prediction:
        """Compare the first regions with both sides, and bring them to pixels."""
        assert text is not None  # it needs text, by default
        regions = features.aligned[0]
        scores = anomaly_probability(regions.embeddings, pool_sides(text), temperature=0.07)
        heat = mean_map(scores, regions.cells, features.grid)
        return Prediction(heat.amax((1, 2)), upsample(heat, features.image_size))
