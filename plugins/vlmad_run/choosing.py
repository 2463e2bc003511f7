"""The options that choose a detector, one wording for every command that runs one.

Importing this module imports no torch, and neither does completing the name of a part.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from vlmad.errors import InputError, OptionError, did_you_mean
from vlmad.hookspecs import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from vlmad.detector import Detector
    from vlmad_formats.reading import Reading

Completions = list[tuple[str, str]]
DEFAULT_WITH_REFERENCES = "change"
"""The recipe where neither one nor a part is named, and there are references."""
EMBEDDED, ON_OTHERS = "tiny", "gaussian"
"""The backbone on whose levels the network of that recipe learned; likewise on others."""
DEFAULT_ALONE = "rarity"
"""Likewise without references, unless a backbone is named: that may know words well."""
COMPUTING = ("device", "precision")
"""Options that any backbone may have, for which the command line has words of its own."""
OF_PARTS = ("settings", *COMPUTING)
"""Fields of a `Choice` that name no part but set its options."""
HOW = ("epochs", "budget", "auxiliary")
"""Options of scorers that learn, for which the command line has words of its own."""
IMAGE = "image"
"""What takes options in `--set` beside the kinds of parts: how images are read."""


def completing(*kinds: str) -> Callable[[str], Completions]:
    """Return what completes the names of all parts of these kinds, with their summaries."""

    def complete(incomplete: str) -> Completions:
        from vlmad.registry import installed

        registry = installed()
        found = {r.name: r.summary for kind in kinds for r in registry.of_kind(kind)}
        return [(name, summary) for name, summary in found.items() if name.startswith(incomplete)]

    return complete


WHICH_PARTS, WHICH_PIXELS = "Which parts", "What is looked at"


def option(
    *names: str, metavar: str | None = None, help: str, panel: str | None = None, **settings: Any
) -> Any:
    """Return an option; help pages of a screen only name those of a panel."""
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, **settings)


def _part(kind: str, help: str, *names: str) -> Any:
    complete = completing(kind)
    return option(*names, metavar="PART", help=help, panel=WHICH_PARTS, autocompletion=complete)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which detector, as the command line has it; see `choosing`."""

    detector: Annotated[
        str | None,
        option(
            metavar="RECIPE",
            help="A recipe, as vlmad plugins lists them, or a FILE.toml; by default what fits.",
            autocompletion=completing("detector"),
        ),
    ] = None
    backbone: Annotated[
        str | None, _part("backbone", "Instead of the recipe's, as NAME or NAME:ARGUMENT.")
    ] = None
    prompt: Annotated[
        str | None, _part("prompts", "Likewise: the texts.", "--prompt", "--prompts")
    ] = None
    extractor: Annotated[str | None, _part("extractor", "Likewise: windows or patches.")] = None
    attention: Annotated[str | None, _part("attention", "Likewise: what attention becomes.")] = None
    scorer: Annotated[str | None, _part("scorer", "Likewise: from features to scores.")] = None
    settings: Annotated[
        list[str] | None,
        option(
            "--set",
            metavar="KIND.OPTION=VALUE",
            help="An option of a part; repeatable.",
            panel=WHICH_PARTS,
        ),
    ] = None
    device: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Of backbones that can choose: auto, cpu, cuda or mps.",
            panel=WHICH_PARTS,
        ),
    ] = None
    precision: Annotated[
        str | None,
        option(metavar="NAME", help="Likewise: auto, float32 or bfloat16.", panel=WHICH_PARTS),
    ] = None
    class_name: Annotated[
        str | None, option(metavar="WORDS", help="What the images show; 'object' by default.")
    ] = None
    resize: Annotated[
        str | None,
        option(
            metavar="HOW",
            help="squash to the model's square, pad, tiles:N, or auto: tiles of long formats, a "
            "closer look at textures.",
            panel=WHICH_PIXELS,
        ),
    ] = None
    align: Annotated[
        bool,
        option(
            "--align",
            help="Bring each image to where the part lies in the first reference.",
            panel=WHICH_PIXELS,
        ),
    ] = False
    range: Annotated[
        str | None,
        option(
            metavar="HOW",
            help="Black and white of more than 8 bits: auto (default), full, 12 (bits), LOW:HIGH.",
            panel=WHICH_PIXELS,
        ),
    ] = None

    @property
    def names_nothing(self) -> bool:
        """Whether no recipe, no part but the backbone, and no option of another is named."""
        parts = (self.detector, self.prompt, self.extractor, self.attention, self.scorer)
        return parts == (None,) * len(parts) and self.options().keys() <= {"backbone"}

    def recipe(self, references: bool | None) -> str | None:
        """Return the recipe for what will be fitted, or not, or both; None for the core's own."""
        if references is None or not self.names_nothing:
            return self.detector
        if references:
            embedded = self.backbone in (None, EMBEDDED)
            return DEFAULT_WITH_REFERENCES if embedded else ON_OTHERS
        return DEFAULT_ALONE if self.backbone is None else None

    def load(self, references: bool | None = False) -> Detector:
        """Assemble the detector, not fitted; see `vlmad.load_detector`.

        Args:
            references: whether it will be fitted, None if it may or may not: where nothing is
                named, other recipes are better then.
        """
        from vlmad.building import load_detector

        return load_detector(
            self.recipe(references),
            backbone=self.backbone,
            prompts=self.prompt,
            extractor=self.extractor,
            attention=self.attention,
            scorer=self.scorer,
            options=self.options(),
            resize=self.resize,
            reading=self.reading(),
        )

    def name(self) -> str | None:
        """Return the class name in the one spelling by which runs know it, if it was given.

        Raises:
            InputError: it has no words.
        """
        from vlmad.datasets import class_name

        if self.class_name is None:
            return None
        name = class_name(self.class_name)
        if not name or not self.class_name.isprintable():
            raise InputError("--class-name takes printable words, such as 'metal nut'")
        return name

    def options(self) -> dict[str, dict[str, str]]:
        """Return the options of parts by kind; see `parse_settings`."""
        return {kind: options for kind, options in self._settings().items() if kind != IMAGE}

    def reading(self) -> Reading:
        """Return how files are read, from ``--range`` and ``--set image.OPTION=VALUE``.

        Raises:
            OptionError: an option is unknown or takes something else.
        """
        from vlmad.options import check_options, options_of
        from vlmad_formats.reading import Reading

        given = self._settings().get(IMAGE, {})
        given |= {} if self.range is None else {"range": self.range}
        return Reading(**check_options("reading images", options_of(Reading), given))

    def _settings(self) -> dict[str, dict[str, str]]:
        settings = parse_settings(self.settings or [], (*KINDS, IMAGE))
        for name in COMPUTING:
            if getattr(self, name) is not None:
                settings.setdefault("backbone", {})[name] = getattr(self, name)
        return settings


@dataclass(frozen=True, slots=True)
class LearningChoice(Choice):
    """The same for commands that fit, where some scorers learn."""

    epochs: Annotated[
        int | None,
        option(min=1, help="Of scorers that learn in fit: rounds.", panel=WHICH_PARTS),
    ] = None
    budget: Annotated[
        float | None,
        option(metavar="MINUTES", help="Likewise: the most time, for each.", panel=WHICH_PARTS),
    ] = None
    auxiliary: Annotated[
        str | None,
        option(
            metavar="DATA",
            help="Of scorers that learn across categories: a data set of others.",
            panel=WHICH_PARTS,
        ),
    ] = None

    def load(self, references: bool | None = False) -> Detector:
        """Assemble the detector; tell where its scorer learns nothing, though it was told how."""
        from vlmad.watching import note

        # plain super() would mean the class without slots
        found = Choice.load(self._without(HOW), references)
        scorer, given = found.assembly.parts["scorer"], self._how()
        unused = [name for name in given if name not in scorer.options]
        if {"epochs", "budget"} & {*unused}:
            note(f"--epochs and --budget: {scorer} learns nothing in fit")
        if "auxiliary" in unused:
            note(f"--auxiliary: {scorer} learns nothing from other categories")
        if len(unused) == len(given):
            return found
        return Choice.load(self._without(unused), references)

    def options(self) -> dict[str, dict[str, str]]:
        """Return the options of parts by kind, with those of learning."""
        settings, how = Choice.options(self), self._how()
        own = {"scorer": {**settings.get("scorer", {}), **how}} if how else {}
        return {**settings, **own}

    def _without(self, names: Iterable[str]) -> LearningChoice:
        nothing: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **nothing)

    def _how(self) -> dict[str, str]:
        given = {name: getattr(self, name) for name in HOW}
        return {name: str(value) for name, value in given.items() if value is not None}


def parse_settings(texts: Iterable[str], kinds: Iterable[str] = KINDS) -> dict[str, dict[str, str]]:
    """Read ``KIND.OPTION=value`` settings as the command line takes them.

    Args:
        texts: the settings.
        kinds: what a command takes options of.

    Raises:
        OptionError: one has another form or an unknown kind.

    >>> parse_settings(["scorer.temperature=0.07"])
    {'scorer': {'temperature': '0.07'}}
    """
    settings: dict[str, dict[str, str]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        kind, dot, option = place.partition(".")
        kind = "prompts" if kind == "prompt" else kind
        if not (equals and dot and option):
            raise OptionError(f"'{text}' is not of the form KIND.OPTION=value")
        if kind not in kinds:
            raise OptionError(f"'{text}': no kind '{kind}'; {did_you_mean(kind, kinds)}")
        settings.setdefault(kind, {})[option] = value
    return settings


def choosing(command: Callable[..., None], without: Collection[str] = ()) -> Callable[..., None]:
    """Give a command the fields of its parameters that are dataclasses as options of its own.

    Args:
        command: takes a `Choice`, and perhaps other dataclasses of annotated options.
        without: fields of these that it does not offer; they keep their defaults.
    """
    hints = get_type_hints(command, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Any, list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=keyword, annotation=kind))
            continue
        own = get_type_hints(kind, include_extras=True)
        offered = [field for field in fields(kind) if field.name not in without]
        groups[parameter.name] = kind, [field.name for field in offered]
        parameters += [
            inspect.Parameter(f.name, keyword, default=f.default, annotation=own[f.name])
            for f in offered
        ]

    @functools.wraps(command)
    def chosen(**given: Any) -> None:
        whole = {
            name: kind(**{field: given.pop(field) for field in offered})
            for name, (kind, offered) in groups.items()
        }
        command(**whole, **given)

    chosen.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    chosen.__annotations__ = {p.name: p.annotation for p in parameters}
    return chosen
