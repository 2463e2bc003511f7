"""The options that choose a detector, one wording for every command that runs one.

Importing this module imports no torch, and neither does completing the name of a part.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad.detector import Detector

PART = "A part, as NAME or NAME:ARGUMENT, in place of the recipe's."
RESIZES = {
    "squash": "to the model's square",
    "pad": "to it, keeping the format",
    "tiles": "cut into squares; tiles:N for N along the shorter side",
}

Completions = list[tuple[str, str]]


def completing(*kinds: str) -> Callable[[str], Completions]:
    """Return what completes the names of all parts of these kinds, with their summaries."""

    def complete(incomplete: str) -> Completions:
        from vlmad.registry import Registry

        registry = Registry.discover()
        found = {r.name: r.summary for kind in kinds for r in registry.of_kind(kind)}
        return [(name, summary) for name, summary in found.items() if name.startswith(incomplete)]

    return complete


def complete_resize(incomplete: str) -> Completions:
    """Return the ways of resizing that begin with `incomplete`."""
    return [(name, what) for name, what in RESIZES.items() if name.startswith(incomplete)]


ImagePaths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="Images, folders or glob patterns.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="A recipe; winclip by default, vlmad plugins lists them.",
        autocompletion=completing("detector"),
    ),
]
BackboneOption = Annotated[
    str | None, typer.Option(help=PART, autocompletion=completing("backbone"))
]
PromptOption = Annotated[
    str | None,
    typer.Option("--prompt", "--prompts", help=PART, autocompletion=completing("prompts")),
]
ExtractorOption = Annotated[
    str | None, typer.Option(help=PART, autocompletion=completing("extractor"))
]
AttentionOption = Annotated[
    str | None, typer.Option(help=PART, autocompletion=completing("attention"))
]
ScorerOption = Annotated[str | None, typer.Option(help=PART, autocompletion=completing("scorer"))]
RecipeOption = Annotated[Path | None, typer.Option(help="A recipe file (TOML).")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KIND.OPTION=VALUE", help="An option of a part; repeatable."),
]
WeightsOption = Annotated[Path | None, typer.Option(help="A checkpoint for the backbone.")]
ClassNameOption = Annotated[str, typer.Option(help="What the images show.")]
ReferencesOption = Annotated[Path | None, typer.Option(help="A folder of normal images.")]
ShotsOption = Annotated[
    int | None, typer.Option(help="How many of them to draw; 4 by default.")
]
SeedOption = Annotated[int, typer.Option(help="Which of them to draw.")]
ResizeOption = Annotated[
    str,
    typer.Option(
        help="squash to the model's square, pad, or tiles:N.", autocompletion=complete_resize
    ),
]


def detector_from(
    *,
    detector: str | None,
    backbone: str | None,
    prompt: str | None,
    extractor: str | None,
    attention: str | None,
    scorer: str | None,
    recipe: Path | None,
    settings: Sequence[str] | None,
    weights: Path | None,
    resize: str,
) -> Detector:
    """Assemble the detector that the options above name.

    Raises:
        VlmadError: a name, option, recipe or combination that cannot be.
    """
    from vlmad.assembly import parse_settings
    from vlmad.detector import load_detector

    return load_detector(
        detector,
        backbone=backbone,
        prompts=prompt,
        extractor=extractor,
        attention=attention,
        scorer=scorer,
        recipe=recipe,
        options=parse_settings(settings or []),
        weights=weights,
        resize=resize,
    )


def fit_from(
    detector: Detector, references: Path | None, shots: int | None, seed: int
) -> list[Path]:
    """Fit on references drawn from a folder, if one is named, and return them.

    Raises:
        InputError: `shots` without a folder, or a folder with too few images.
        IncompatiblePartsError: the scorer makes no use of references.
    """
    if references is None:
        if shots is not None:
            raise InputError("--shots needs --references DIR to draw from")
        return []
    from vlmad.references import DEFAULT_SHOTS, choose_references

    chosen = choose_references(references, DEFAULT_SHOTS if shots is None else shots, seed)
    detector.fit(chosen)
    return chosen
