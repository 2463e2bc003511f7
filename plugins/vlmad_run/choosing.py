"""The options that choose a detector, one wording for every command that runs one.

Importing this module imports no torch, and neither does completing the name of a part.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vlmad.detector import Detector, Keep
    from vlmad_run.fitted import Fitted

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


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Which detector", **settings)


def _part(*kinds: str, names: tuple[str, ...] = ()) -> Any:
    return _option(*names, help=PART, autocompletion=completing(*kinds))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which detector, as the command line says it; see `choosing`."""

    detector: Annotated[
        str | None,
        _option(
            help="A recipe; winclip by default, vlmad plugins lists them.",
            autocompletion=completing("detector"),
        ),
    ] = None
    backbone: Annotated[str | None, _part("backbone")] = None
    prompt: Annotated[str | None, _part("prompts", names=("--prompt", "--prompts"))] = None
    extractor: Annotated[str | None, _part("extractor")] = None
    attention: Annotated[str | None, _part("attention")] = None
    scorer: Annotated[str | None, _part("scorer")] = None
    recipe: Annotated[Path | None, _option(help="A recipe file (TOML).")] = None
    settings: Annotated[
        list[str] | None,
        _option("--set", metavar="KIND.OPTION=VALUE", help="An option of a part; repeatable."),
    ] = None
    weights: Annotated[Path | None, _option(help="A checkpoint for the backbone.")] = None
    precision: Annotated[
        str | None, _option(help="Of the backbone: auto, float32 or bfloat16.")
    ] = None
    class_name: Annotated[
        str | None, _option(help="What the images show; 'object' by default.")
    ] = None
    references: Annotated[
        list[str] | None,
        _option(metavar="DIR", help="Normal images: a folder, file or pattern; repeatable."),
    ] = None
    shots: Annotated[
        int | None, _option(help="How many of them to draw; 4 by default, of named files all.")
    ] = None
    seed: Annotated[int, _option(min=0, help="Which of them to draw.")] = 0
    fitted: Annotated[
        Path | None, _option(help="A detector that vlmad fit stored, in place of all this.")
    ] = None
    resize: Annotated[
        str | None,
        _option(
            help="squash to the model's square (default), pad, or tiles:N.",
            autocompletion=complete_resize,
        ),
    ] = None

    def assemble(self) -> Assembled:
        """Assemble the detector, and fit it if there are references.

        Raises:
            VlmadError: a name, option, recipe or combination that cannot be, or references
                that cannot be used.
        """
        name = self._name()
        if self.fitted is not None:
            return self._from_file(self.fitted, name)
        detector = self.load()
        return Assembled(detector, name or "object", self._fit(detector))

    def _name(self) -> str | None:
        """Return the class name in the one spelling by which runs know it.

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

    def load(self, keep: Keep = "text") -> Detector:
        """Assemble the detector without references; `fitted` is not looked at.

        Args:
            keep: what is kept on disk, as `load_detector` takes it.

        Raises:
            VlmadError: a name, option, recipe or combination that cannot be.
        """
        from vlmad.building import load_detector

        return load_detector(
            self.detector,
            backbone=self.backbone,
            prompts=self.prompt,
            extractor=self.extractor,
            attention=self.attention,
            scorer=self.scorer,
            recipe=self.recipe,
            options=self.options(),
            resize=self.resize or "squash",
            keep=keep,
        )

    def _fit(self, detector: Detector) -> list[tuple[str, str]]:
        """Fit on references drawn from those named, if any are; return paths and hashes."""
        from vlmad.files import digest
        from vlmad_run.references import choose_references

        if not self.references:
            if self.shots is not None:
                raise InputError("--shots needs --references DIR to draw from")
            return []
        chosen = choose_references(self.references, self.shots, self.seed)
        detector.fit(chosen)
        return [(str(path), digest(path)) for path in chosen]

    def _from_file(self, path: Path, class_name: str | None) -> Assembled:
        from vlmad_run.fitted import load_fitted

        brought = ("fitted", "settings", "weights", "precision", "class_name", "seed")
        for field in fields(self):
            if field.name not in brought and getattr(self, field.name) is not None:
                raise InputError(f"--fitted brings its own parts: leave out --{field.name}")
        options = self.options()
        if set(options) - {"backbone"}:
            raise InputError("with --fitted only options of the backbone can be set")
        fitted = load_fitted(path, options)
        if class_name not in (None, fitted.class_name):
            raise InputError(f"{path} was fitted for '{fitted.class_name}': leave out --class-name")
        _remember_references(fitted)
        return Assembled(fitted.detector, fitted.class_name, fitted.references)

    def options(self) -> dict[str, dict[str, Any]]:
        """Return the options of parts, by kind.

        Raises:
            OptionError: one is malformed.
        """
        from vlmad.assembly import parse_settings

        options: dict[str, dict[str, Any]] = {**parse_settings(self.settings or [])}
        for name in ("weights", "precision"):
            if getattr(self, name) is not None:
                options.setdefault("backbone", {})[name] = getattr(self, name)
        return options


@dataclass(frozen=True, slots=True)
class Assembled:
    """A detector that is ready, and what goes with it."""

    detector: Detector
    class_name: str
    references: list[tuple[str, str]]
    """Path and SHA-256 of the images that it was fitted on."""


def _remember_references(fitted: Fitted) -> None:
    """Let explanations show the references, where they are still where they were."""
    from vlmad.files import digest
    from vlmad.images import Source

    sources = [Source(path, Path(path)) for path, _ in fitted.references]
    there = all(Path(p).is_file() and digest(Path(p)) == sha for p, sha in fitted.references)
    fitted.detector.references = tuple(sources) if there else ()


def choosing(
    command: Callable[..., None], without: Collection[str] = ()
) -> Callable[..., None]:
    """Give a command the fields of its parameters that are dataclasses as options of its own.

    Args:
        command: takes a `Choice`, and perhaps other dataclasses of annotated options.
        without: fields of `Choice` that it does not offer; they keep their defaults.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    expanded: dict[str, tuple[type, list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = own[parameter.name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=keyword, annotation=kind))
            continue
        assert isinstance(kind, type)
        hints = get_type_hints(kind, include_extras=True)
        offered = [f for f in fields(kind) if kind is not Choice or f.name not in without]
        expanded[parameter.name] = kind, [field.name for field in offered]
        parameters += [
            inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name])
            for f in offered
        ]

    @functools.wraps(command)
    def chosen(**given: Any) -> None:
        whole = {
            name: kind(**{field: given.pop(field) for field in offered})
            for name, (kind, offered) in expanded.items()
        }
        command(**whole, **given)

    chosen.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    chosen.__annotations__ = {p.name: p.annotation for p in parameters}
    return chosen
