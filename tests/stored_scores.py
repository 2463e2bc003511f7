"""What built-in detectors score drawn images, stored to see when a change of vlmad changes it.

``python tests/stored_scores.py`` renews them. It refuses where nothing else says that the scores
are others: a part's `scores_revision` or `vlmad_run.identity.REVISION` has to rise, so that fitted
detectors, thresholds and runs from before are not used with them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmad import load_detector
from vlmad.testing import TWO_LAYERS, example_images
from vlmad_documents.learned_file import Learns
from vlmad_run.identity import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.detector import Detector

FILE = Path(__file__).with_suffix(".json")
REFERENCES = 2
SMALL = {"backbone": {"weights": "random:0", "image_size": 80}}
ANEW = {"anew": True}
DETECTORS: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Mapping[str, object]]]] = {
    **{f"{name} on tiny": (name, {}, {}) for name in ("anomalyclip", "change", "gaussian")},
    **{f"{name} on tiny": (name, {}, {}) for name in ("hybrid", "rarity", "winclip")},
    "anomalyclip": ("anomalyclip", {"prompts": "learned"}, {"prompts": ANEW}),
    "april-gan": ("april-gan", {}, {"extractor": ANEW}),
    "april-gan scaled": ("april-gan", {"scorer": "projected-scaled"}, {"extractor": ANEW}),
    "autoencoder": ("autoencoder", {}, {"scorer": {"epochs": 2}}),
    "autoencoder of pixels": (
        "autoencoder",
        {"backbone": "pixels"},
        {"backbone": {"size": 32}, "scorer": {"epochs": 1, "width": 8}},
    ),
    "draem": (
        "draem",
        {"backbone": "pixels"},
        {"backbone": {"size": 32}, "scorer": {"epochs": 1, "batch": 16}},
    ),
    "cutpaste": (
        "cutpaste",
        {"backbone": "pixels"},
        {"backbone": {"size": 64}, "scorer": {"epochs": 1, "width": 16, "code": 8}},
    ),
    "regad": (
        "regad",
        {"backbone": "pixels"},
        {
            "backbone": {"size": 48},
            "scorer": {"epochs": 1, "auxiliary": "examples/samples", "channels": 16},
        },
    ),
    "coop": ("coop", {}, {"prompts": ANEW}),
    "padim": ("padim", {}, {"scorer": {"channels": 32}}),
    "clip diagonal": ("clip", {"attention": "diagonal"}, {"attention": {"gamma": 0.5}}),
    "clip kk": ("anomalyclip", {"prompts": "plain", "attention": "kk"}, {}),
    "clip qq": ("anomalyclip", {"prompts": "plain", "attention": "qq"}, {}),
    "winclip tiles": ("winclip", {"extractor": "tiles"}, {}),
    "winclip padded": ("winclip", {}, {"image": {"resize": "pad"}}),
    "rarity in tiles": ("rarity", {}, {"image": {"resize": "tiles:2"}}),
    "gaussian of timm": ("gaussian", {"backbone": "timm:test_vit"}, {}),
    **{
        name: (name, {}, {})
        for name in (
            *("anomalydino", "clip", "clip-ac", "comparison", "gaussian", "musc", "patchcore"),
            *("rad", "rarity", "spade", "subspace", "winclip"),
        )
    },
}
"""Their recipes, what takes the place of parts, and options, by the name of each."""


REMEDY = (
    "if they are meant to be, raise the `scores_revision` of the part that was changed (a number "
    "of its class, 1 where none is written), or vlmad_run.identity.REVISION for a change around "
    "the parts, and then run: python tests/stored_scores.py"
)


class Stored(NamedTuple):
    """What came of a detector."""

    parts: list[str]
    identity: str
    """A digest of all that says that scores are others."""
    scores: list[list[float]]
    """Of each image the score, the mean and the largest value of its map; once without references
    and once with them, where both can be."""


def built(name: str) -> Detector:
    """Return a detector by its name here."""
    recipe, parts, options = DETECTORS[name]
    own = dict(options)
    resize = own.pop("image", {}).get("resize")
    if not name.endswith("on tiny"):
        parts = {"backbone": f"openclip:{TWO_LAYERS}", **parts}
        usual = SMALL if "timm" not in name else {"backbone": {"weights": "random:0"}}
        own = {**usual, **own}
    detector = load_detector(recipe, **parts, options=own, resize=resize)
    for chosen in detector.assembly.parts.values():
        if chosen.options.get("anew") and isinstance(chosen.part, Learns):
            chosen.part.learnable(detector.backbone.spec, 0)
    return detector


def scored(name: str) -> Stored:
    """Score the drawn images with a detector."""
    detector = built(name)
    document = identity(detector, "bolt").model_dump(mode="json")
    for part in document["parts"].values():
        del part["version"]
    text = json.dumps(document, sort_keys=True)
    parts = [
        f"{c.registration.kind}:{c.registration.name}" for c in detector.assembly.parts.values()
    ]
    images = example_images(REFERENCES + (2 if "tiny" in name else 5)).sources
    results = []
    if detector.scorer.references != "required":
        results += detector.predict(images[REFERENCES:], "bolt")
    if detector.scorer.references != "none":
        results += detector.fit(images[:REFERENCES]).predict(images[REFERENCES:], "bolt")
    values = [[each.score, each.map.mean(), each.map.max()] for each in results]
    values = [[float(f"{value:.7g}") for value in image] for image in values]
    return Stored(parts, hashlib.sha256(text.encode()).hexdigest()[:16], values)


def stored() -> dict[str, Stored]:
    """Read what is stored."""
    return {name: Stored(**kept) for name, kept in json.loads(FILE.read_text()).items()}


def agree(one: Stored, other: Stored) -> bool:
    """Whether scores are the same but for what processors and versions of torch change."""
    return len(one.scores) == len(other.scores) and np.allclose(
        one.scores, other.scores, rtol=1e-4, atol=1e-5
    )


def renew() -> None:
    """Store what detectors score now; those whose scores are the same stay as they are."""
    before = stored() if FILE.exists() else {}
    now = {}
    for name in DETECTORS:
        now[name] = scored(name)
        was = before.get(name, now[name])
        if agree(was, now[name]):
            now[name] = was._replace(identity=now[name].identity)
        elif was.identity == now[name].identity:
            sys.exit(f"{name}: its scores are others, but nothing says so; {REMEDY}")
        else:
            print(f"renewed: {name}")
    rows = (f"{json.dumps(name)}: {json.dumps(kept._asdict())}" for name, kept in now.items())
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    renew()
