"""Changes to the words of compositional prompts, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from vlmad_winclip.prompts import Compositional, PromptList

from vlmad.detector import Detector
from vlmad.errors import InputError
from vlmad.text import check_place
from vlmad.types import TextEmbeddings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """A prompt list that differs from the detector's, and how in words."""

    words: str
    prompts: PromptList


def no_states(detector: Detector) -> str:
    """Return why a detector's prompts have no states that could be changed, or nothing."""
    if isinstance(detector.prompts, Compositional):
        return ""
    return f"{detector.assembly.parts['prompts']} has no states that could be changed"


def changes_of(
    prompts: PromptList, normal: Sequence[str] = (), anomalous: Sequence[str] = ()
) -> list[Change]:
    """Return the changes to try: each state left out, each word of the user's added.

    Args:
        prompts: the list in use.
        normal: further normal states, each with one ``{}``.
        anomalous: further anomalous ones.

    Raises:
        InputError: a state is malformed or there already.
    """
    for state in (*normal, *anomalous):
        check_place(state, "--state or --normal-state")
        given = (*normal, *anomalous, *prompts.normal_states, *prompts.anomalous_states)
        if given.count(state) > 1:
            raise InputError(f"the state '{state}' is there already: leave it out")
    changes = [*_without(prompts), *_with(prompts, normal, anomalous)]
    if len(normal) + len(anomalous) > 1:
        changes.append(Change("with all given states", _extended(prompts, normal, anomalous)))
    return changes


def _without(prompts: PromptList) -> Iterator[Change]:
    """Yield the lists that lack one state; no side is ever left empty."""
    for side in ("normal", "anomalous"):
        states: tuple[str, ...] = getattr(prompts, f"{side}_states")
        for state in states if len(states) > 1 else ():
            kept = tuple(each for each in states if each != state)
            words = f"without the {side} state '{state}'"
            yield Change(words, replace(prompts, **{f"{side}_states": kept}))


def _with(
    prompts: PromptList, normal: Sequence[str], anomalous: Sequence[str]
) -> Iterator[Change]:
    for state in normal:
        yield Change(f"with the normal state '{state}'", _extended(prompts, [state], []))
    for state in anomalous:
        yield Change(f"with the anomalous state '{state}'", _extended(prompts, [], [state]))


def _extended(
    prompts: PromptList, normal: Sequence[str], anomalous: Sequence[str]
) -> PromptList:
    return replace(
        prompts,
        normal_states=(*prompts.normal_states, *normal),
        anomalous_states=(*prompts.anomalous_states, *anomalous),
    )


def texts_of(
    detector: Detector, class_name: str, changes: Sequence[Change]
) -> list[TextEmbeddings]:
    """Return the embeddings of each changed list; each sentence is encoded once."""
    own: PromptList = detector.prompts.prompts
    normal = _all_of(own.normal_states, [change.prompts.normal_states for change in changes])
    anomalous = _all_of(
        own.anomalous_states, [change.prompts.anomalous_states for change in changes]
    )
    whole = PromptList(normal, anomalous, own.templates)
    text = with_prompts(detector, whole).text(class_name, None)
    assert text is not None
    return [_part_of(text, whole, change.prompts) for change in changes]


def _all_of(own: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*own, *(state for states in others for state in states)]))


def _part_of(text: TextEmbeddings, whole: PromptList, part: PromptList) -> TextEmbeddings:
    """Pick the sentences of some states out of those of all, which are ordered by state."""
    kept = [state in part.normal_states for state in whole.normal_states]
    kept += [state in part.anomalous_states for state in whole.anomalous_states]
    rows = torch.tensor(kept, device=text.embeddings.device)
    rows = rows.repeat_interleave(len(whole.templates))
    sentences = [s for s, keep in zip(text.sentences, rows.tolist(), strict=True) if keep]
    return TextEmbeddings(
        text.embeddings[rows], text.norms[rows], text.anomalous[rows], tuple(sentences)
    )


def with_prompts(
    detector: Detector, prompts: PromptList, file: Path | None = None
) -> Detector:
    """Return a detector of the same parts, weights and memory with another prompt list.

    Args:
        detector: one with compositional prompts.
        prompts: the list.
        file: where it is written, for what is to be stored.
    """
    chosen = detector.assembly.parts["prompts"]
    part = Compositional(file=file)
    part.prompts = prompts
    options = {**chosen.options, "file": file}
    parts = {**detector.assembly.parts, "prompts": replace(chosen, options=options, part=part)}
    changed = Detector(replace(detector.assembly, parts=parts), str(detector.resizing))
    changed.memory, changed.references = detector.memory, detector.references
    return changed


def to_toml(prompts: PromptList) -> str:
    """Return a prompt list as the option `prompts.file` reads it."""
    lists = ("normal_states", "anomalous_states", "templates")
    return "".join(f"{name} = [\n{_lines(getattr(prompts, name))}]\n" for name in lists)


def _lines(texts: Sequence[str]) -> str:
    return "".join(f"    {quoted(text)},\n" for text in texts)


def quoted(text: str) -> str:
    r"""Return a text as a TOML string.

    >>> quoted('a "{}"')
    '"a \\"{}\\""'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
