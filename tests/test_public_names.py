"""What plugins may rely on is written down, and nothing of it goes unnoticed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from vlmad import hookspecs
from vlmad.hookspecs import HOOKS
from vlmad.registry import Registry

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

from public_names import LIST, broken, public_names  # noqa: E402 (a script beside the pages)

BEFORE = """API 1
class vlmad.parts.Scorer(Protocol)
class vlmad.types.Sample()
vlmad.hookspecs.register_scorers(register: Register) -> None
vlmad.parts.Scorer.fit(self, features: Features) -> Memory
vlmad.parts.TEXT
vlmad.text.pool(text: Text, way: str='mean', *, strict: bool=False) -> Tensor
vlmad.types.Sample.image: Path
"""


def test_the_list_of_public_names_is_fresh() -> None:
    """Written by ``python docs/public_names.py``."""
    assert LIST.read_text(encoding="utf-8") == public_names()


def test_the_list_has_all_hooks_and_what_vlmad_offers() -> None:
    import vlmad

    lines = public_names()
    for name in vlmad.__all__:
        assert f"vlmad.{name}" in lines
    for name in ("TWO_LAYERS", "example_images", "parametrize_parts"):
        assert f"vlmad.testing.{name}" in lines
    for hook in HOOKS.values():
        assert f"vlmad.hookspecs.{hook}(register: Register) -> None\n" in lines
    assert "class vlmad_run.kinds.Engine(Protocol)" in lines


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("vlmad.parts.TEXT", "vlmad.parts.TEXT\nvlmad.parts.SOUND"),
        ("strict: bool=False)", "strict: bool=False, loud: bool=True)"),
        ("way: str='mean',", "way: str='mean', more: int=0,"),
        ("(register: Register)", "(register: Register, colour: str)"),
        ("image: Path", "image: Path\nvlmad.types.Sample.mask: Path"),
    ],
)
def test_what_only_gains_breaks_no_plugin(line: str, instead: str) -> None:
    assert line in BEFORE
    assert broken(BEFORE, BEFORE.replace(line, instead)) == []


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("vlmad.parts.TEXT\n", ""),
        ("way: str='mean'", "manner: str='mean'"),
        ("text: Text, way: str='mean'", "way: str='mean', text: Text=None"),
        (", *, strict: bool=False", ""),
        ("strict: bool=False", "strict: bool=False, loud: bool"),
        ("-> Tensor", "-> None"),
        ("image: Path", "image: str"),
        ("features: Features)", "features: Features, more: int=0)"),
        ("-> Memory", "-> Memory\nvlmad.parts.Scorer.tell(self) -> str"),
    ],
)
def test_what_goes_or_is_asked_of_parts_anew_breaks_plugins(line: str, instead: str) -> None:
    assert line in BEFORE
    assert broken(BEFORE, BEFORE.replace(line, instead)) != []


def test_a_hook_that_is_to_go_warns_at_the_line_of_the_plugin(
    install: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hookspecs.hookspec(warn_on_impl=DeprecationWarning("register_scorers goes"))
    def going(register: hookspecs.Register) -> None:
        pass

    monkeypatch.setattr(hookspecs, "register_scorers", going)
    hook = "@hookimpl\ndef register_scorers(register):\n    pass\n"
    folder = install("acme", f"from vlmad import hookimpl\n\n\n{hook}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DeprecationWarning)
        Registry.discover()
    going_on = [each for each in said if "register_scorers goes" in str(each.message)]
    theirs = [each.lineno for each in going_on if each.filename == str(folder / "acme.py")]
    assert theirs == [4]  # where the hook is, from its first decorator on
