"""Looking closer where references ask for it, such as those of one even texture.

It is for whom `--resize auto` cuts long formats too, and who named no levels: which levels are read
becomes an option of the extractor, so that a manifest or a fitted file repeats it without asking.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad_run.kinds import LooksCloser

if TYPE_CHECKING:
    from vlmad.assembly import Assembly
    from vlmad.detector import Detector

UNNAMED = "levels"
"""The option of the extractor that has to be left open."""


def look_closer(detector: Detector) -> tuple[Detector, tuple[str, ...]]:
    """Return a fitted detector, or one that is fitted on the same references at closer levels.

    With it come the words that say so.
    """
    levels = _closer_levels(detector)
    if not levels:
        return detector, ()
    closer = detector.on(detector.backbone)
    closer.assembly = _at_levels(detector.assembly, levels)
    closer.extractor = closer.assembly.parts["extractor"].part
    closer.fit(detector.references)
    sides = [max(each.size) for each in (*closer.preprocessings(), *detector.preprocessings())]
    return closer, (
        f"the references are one texture: images are looked at in {max(sides)} instead of "
        f"{min(sides)} pixels, which takes nearly three times as long; --resize squash does not",
    )


def _closer_levels(detector: Detector) -> tuple[str, ...]:
    scorer, options = detector.scorer, detector.assembly.parts["extractor"].options
    left_open = options.get(UNNAMED, ()) is None and detector.resizing.mode == "auto"
    if not (left_open and isinstance(scorer, LooksCloser) and detector.memory):
        return ()
    count = len(detector.references) // (1 + len(detector.views))
    return scorer.closer_levels(detector.memory, detector.backbone.spec, count)


def _at_levels(assembly: Assembly, levels: tuple[str, ...]) -> Assembly:
    extractor = assembly.parts["extractor"]
    options = {**extractor.options, UNNAMED: levels}
    part = extractor.registration.resolve()(**options)
    return replace(
        assembly,
        parts={**assembly.parts, "extractor": replace(extractor, options=options, part=part)},
    )
