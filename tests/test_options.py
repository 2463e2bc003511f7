"""Options are read from signatures, checked for name and type, and shown as people write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt
from hypothesis import given
from hypothesis import strategies as st

from vlmad.errors import OptionError, PluginError
from vlmad.hookspecs import KINDS
from vlmad.options import (
    REQUIRED,
    check_options,
    convert,
    describe_type,
    in_order,
    options_of,
)
from vlmad.registry import Registry
from vlmad_run.choosing import parse_settings


class Part:
    """A part.

    Args:
        count: how many,
            over two lines.
        shape: of it, one of two.
        file: where it is.
    """

    def __init__(
        self,
        count: int,
        shape: Literal["round", "square"] = "round",
        file: Path | None = None,
        sizes: tuple[int, ...] = (2, 3),
        weight: float = 0.5,
        sharp: bool = False,
    ) -> None:
        """Take them."""


def test_options_are_the_arguments_of_the_factory_with_type_default_and_documentation() -> None:
    options = options_of(Part)
    assert list(options) == ["count", "shape", "file", "sizes", "weight", "sharp"]
    assert options["count"].default is REQUIRED
    assert options["count"].doc == "how many, over two lines."
    assert options["file"].doc == "where it is."
    names = [option.type_name for option in options.values()]
    assert names == ["int", "round|square", "file or none", "int,int,…", "number", "true|false"]


def test_texts_become_the_types_of_their_options() -> None:
    given = {
        "count": "3",
        "shape": "square",
        "file": "a/b.txt",
        "sizes": "2, 5",
        "weight": "1e-2",
        "sharp": "yes",
    }
    assert check_options("part", options_of(Part), given) == {
        "count": 3,
        "shape": "square",
        "file": Path("a/b.txt"),
        "sizes": (2, 5),
        "weight": 0.01,
        "sharp": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "three", "option 'count' takes int, not 'three'"),
        ("count", "3.5", "takes int"),
        ("count", 3.0, "takes int"),
        ("count", True, "takes int"),
        ("count", None, "takes int"),
        ("shape", "oval", r"takes round\|square, not 'oval'"),
        ("sizes", "2,x", "takes int,int"),
        ("sizes", "", "takes int,int"),
        ("weight", "heavy", "takes number"),
        ("weight", "nan", "takes number"),
        ("weight", "inf", "takes number"),
        ("sharp", "perhaps", r"takes true\|false"),
        ("sharp", 1, r"takes true\|false"),
        ("file", 3, "takes file or none"),
        ("cuont", "3", "part has no option 'cuont'; did you mean 'count'"),
    ],
)
def test_wrong_names_and_types_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_options("part", options_of(Part), {name: value})


def test_none_is_a_value_where_the_type_allows_it() -> None:
    assert check_options("part", options_of(Part), {"file": "none"}) == {"file": None}
    assert check_options("part", options_of(Part), {"file": None}) == {"file": None}


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=5))
def test_lists_of_numbers_survive_being_written_and_read(numbers: list[int]) -> None:
    assert convert(tuple[int, ...], ",".join(map(str, numbers))) == tuple(numbers)
    assert convert(tuple[int, ...], numbers) == tuple(numbers)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_being_written_and_read(number: float) -> None:
    assert convert(float, str(number)) == number


@given(st.text())
def test_any_text_is_converted_or_refused_but_never_crashes(text: str) -> None:
    for kind in (int, float, bool, tuple[int, ...], Literal["a", "b"], int | None):
        try:
            convert(kind, text)
        except ValueError:
            continue


@pytest.mark.parametrize("kind", [list[int], set[str], list[int] | None])
def test_no_type_but_a_tuple_takes_a_text_apart(kind: Any) -> None:
    with pytest.raises(ValueError, match="23"):
        convert(kind, "23")


def test_an_argument_without_a_type_is_the_plugins_fault() -> None:
    def factory(count):  # type: ignore[no-untyped-def]
        return count

    with pytest.raises(PluginError, match=r"option 'count' of .* has no type"):
        options_of(factory)


def test_a_type_that_cannot_be_read_is_the_plugins_fault() -> None:
    def factory(count: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        return None

    with pytest.raises(PluginError, match="cannot read the options"):
        options_of(factory)


BOUNDED = Annotated[tuple[Annotated[int, Interval(ge=1, le=64)], ...], Len(1, 3), in_order]


@pytest.mark.parametrize("text", ["", "0", "65", "-1,2", "1,2,3,4"])
def test_what_lies_outside_the_declared_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\d|^$"):
        convert(BOUNDED, text)


def test_absurdly_many_or_long_numbers_are_refused_in_one_short_line() -> None:
    def part(sizes: BOUNDED = (1,)) -> None:
        """Take sizes."""

    for text in ("1," * 10_000, "9" * 5_000):
        with pytest.raises(OptionError, match="takes int,int,… from 1 to 64") as refused:
            check_options("part", options_of(part), {"sizes": text})
        assert len(str(refused.value)) < 500


def test_bounds_are_shown_beside_the_type() -> None:
    assert describe_type(BOUNDED) == "int,int,… from 1 to 64 (3 at most)"
    assert describe_type(Annotated[float, Gt(0)] | None) == "number above 0 or none"
    assert describe_type(Annotated[float, Ge(0), Lt(1)]) == "number from 0 to below 1"
    assert convert(BOUNDED, "64,1,64") == (1, 64)


def test_every_number_that_a_part_takes_has_bounds(registry: Registry) -> None:
    unbounded = {
        f"{kind}.{option.name}"
        for kind in KINDS
        for registration in registry.of_kind(kind)
        for option in options_of(registration.resolve()).values()
        if re.search(r"\b(int|number)\b(?!,| (from|above))", option.type_name)
    }
    assert not unbounded


def test_every_option_of_every_part_is_documented_and_typed(registry: Registry) -> None:
    for kind in KINDS:
        for registration in registry.of_kind(kind):
            for option in options_of(registration.resolve()).values():
                assert option.doc, f"{kind} {registration.name}: {option.name}"
                assert describe_type(option.type)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scorer.temperature", "is not of the form KIND.OPTION=value"),
        ("temperature=1", "is not of the form"),
        ("=1", "is not of the form"),
        ("scorer.=1", "is not of the form"),
        ("scorrer.temperature=1", "no kind 'scorrer'; did you mean 'scorer'"),
    ],
)
def test_malformed_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_settings([text])


def test_settings_keep_what_follows_the_first_equals_sign() -> None:
    assert parse_settings(["prompts.normal=a {} = b.c", "prompt.anomalous=x {}"]) == {
        "prompts": {"normal": "a {} = b.c", "anomalous": "x {}"}
    }


@given(numbers=st.lists(st.integers(), min_size=1), seed=st.randoms())
def test_numbers_without_an_order_are_one_setting_however_they_are_written(
    numbers: list[int], seed: Any
) -> None:
    again = [*numbers, numbers[0]]
    seed.shuffle(again)
    written = [",".join(map(str, some)) for some in (numbers, again)]
    one, other = (convert(Annotated[tuple[int, ...], in_order] | None, text) for text in written)
    assert one == other == in_order(numbers)
    assert sorted(one) == list(one)
    assert convert(tuple[int, ...], written[0]) == tuple(numbers)
