"""Whatever a document holds, it is read, or refused in one line that names the file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmad import load_detector
from vlmad.errors import InputError, OutputError, RecipeError, VlmadError
from vlmad.files import digest
from vlmad.recipes import read_recipe
from vlmad.registry import Registry
from vlmad.testing import TWO_LAYERS
from vlmad_datasets.object_groups import read_groups
from vlmad_datasets.tabular import read_rows
from vlmad_openclip.openclip import OpenClip
from vlmad_review._verdicts import read_verdicts
from vlmad_run.identity import Identity
from vlmad_run.manifest import MANIFEST, Manifest, describe_run
from vlmad_run.memory_documents import Reference
from vlmad_run.pictures import Range, read_map
from vlmad_run.repeating import repeat
from vlmad_run.rows import LINES, ScoreRow
from vlmad_run.stored_run import read_run
from vlmad_run.thresholds import Threshold, read_threshold
from vlmad_winclip.compositional import read_prompt_list


def nested(depth: int, table: bool = False) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = {"a": value} if table else [value]
    return value


ODD = {
    "deep list": nested(500),
    "deep table": nested(500, table=True),
    "400 digits": 10**399,
    "5,000 digits": 10**4999,
    "nothing": None,
    "true": True,
    "minus one": -1,
    "half": 0.5,
    "huge": 1e308,
    "empty": "",
    "nul": "a\0b",
    "surrogate": "\ud800",
    "escaped byte": "\udcff",
    "text": "no such thing",
    "up": "../../up",
    "list": ["a", 1],
    "table": {"a": {"b": 1}},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(table: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return a copy of a table with something odd at a place."""
    if not path:
        return odd
    changed = copy.copy(table)
    changed[path[0]] = put(table[path[0]], path[1:], odd)
    return changed


def to_json(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**4000:  # what json itself refuses to write
        return f"1{'0' * 4999}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {to_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(to_json, value))}]"
    return json.dumps(value)


def refusal(use: Callable[[Path], object], path: Path) -> str:
    """Return why a file is refused, if it is; any other error is the test's own failure."""
    try:
        use(path)
    except VlmadError as error:
        return str(error)
    return ""


@cache
def manifest() -> Manifest:
    made = describe_run(load_detector("winclip"), "nut", threshold=0.5)
    own = Path(__file__)
    return made.model_copy(update={"references": [Reference(path=str(own), sha256=digest(own))]})


def row() -> ScoreRow:
    stored = {"map": "maps/a.png", "overlay": "overlays/a.jpg", "map_low": 0.0, "map_high": 1.0}
    return ScoreRow(image="a.png", score=0.5, **stored)


def threshold() -> Threshold:
    return Threshold(value=0.5, evidence={"good": 3}, identity=manifest().identity)


def judge(path: Path) -> None:
    read_threshold(str(path)).check(manifest().identity)


def repeat_run(path: Path) -> None:
    (path.parent / LINES).write_bytes(row().to_json(indent=None))
    repeat(read_run(path), {}, fit=False).describe()


def read_scores(path: Path) -> None:
    manifest().write(path.parent / MANIFEST)
    stored = read_run(path.parent)
    stored.images  # noqa: B018


def review(path: Path) -> None:
    (path.parent / LINES).write_bytes(row().to_json(indent=None))
    manifest().write(path.parent / MANIFEST)
    read_verdicts(path, read_run(path.parent))


def build(path: Path) -> None:
    backbone = OpenClip(str(path), weights="random:0", precision="float32")
    backbone.visual  # noqa: B018
    backbone.model  # noqa: B018


DOCUMENTS: dict[str, tuple[str, Callable[[], Any], Callable[[Path], object]]] = {
    "threshold": ("threshold.json", lambda: threshold().model_dump(), judge),
    "manifest": (MANIFEST, lambda: manifest().model_dump(), repeat_run),
    "row": (LINES, lambda: row().model_dump(), read_scores),
    "verdict": ("v.jsonl", lambda: {"image": "a.png", "verdict": "ok", "sha256": None}, review),
    "model": ("m.json", lambda: json.loads(TWO_LAYERS.read_text()), build),
    "table": ("t.jsonl", lambda: {"image": "a.png", "label": "good"}, read_rows),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "use"), DOCUMENTS.values(), ids=DOCUMENTS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_document_is_read_or_refused(
    name: str,
    make: Callable[[], Any],
    use: Callable[[Path], object],
    data: st.DataObject,
    tmp_path: Path,
) -> None:
    table = make()
    place = data.draw(st.sampled_from(list(places(table))))
    odd = data.draw(st.sampled_from(sorted(ODD)))
    path = tmp_path / name
    path.write_text(to_json(put(table, place, ODD[odd])))
    reason = refusal(use, path)
    assert "\n" not in reason
    assert len(reason) < 1000


RECIPE = {
    "base": "winclip",
    "prompts": "compositional",
    "options": {"prompts": {"list": "paper22", "file": "list.toml"}, "scorer": {"pooling": "mean"}},
}
PROMPTS = {"normal_states": ["{}"], "anomalous_states": ["bad {}"], "templates": ["a {}"]}
GROUPS = {"groups": {"metal": ["nut"]}, "defects": {"dent": {"nut": ["bent"]}}}
TABLES: dict[str, tuple[Any, Callable[[Path], object]]] = {
    "recipe": (RECIPE, lambda path: load_detector(path)),
    "prompt list": (PROMPTS, read_prompt_list),
    "groups": (GROUPS, read_groups),
}
IN_TOML = sorted(ODD.keys() - {"nothing", "surrogate", "escaped byte"})  # these cannot be said


@pytest.mark.slow
@pytest.mark.parametrize(("table", "use"), TABLES.values(), ids=TABLES)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_table_of_toml_is_read_or_refused(
    table: Any, use: Callable[[Path], object], data: st.DataObject, tmp_path: Path
) -> None:
    place = data.draw(st.sampled_from([each for each in places(table) if each]))
    odd = ODD[data.draw(st.sampled_from(IN_TOML))]
    path = tmp_path / "odd.toml"
    text = tomli_w.dumps(put(table, place, "@@"))
    path.write_text(text.replace('"@@"', to_toml(odd)))
    reason = refusal(use, path)
    assert "\n" not in reason
    assert len(reason) < 1000


def to_toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {to_toml(each)}' for key, each in value.items())}}}"
    return to_json(value)


def test_what_is_nested_too_deeply_is_refused_by_name(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"format": "vlmad threshold 2", "value": 1, "evidence": %s}' % ("[" * 500))
    with pytest.raises(InputError, match=r"deep\.json is no JSON that can be read"):
        read_threshold(str(path))
    path.write_text(f'{{"value": {"[" * 500}{"]" * 500}}}')
    with pytest.raises(InputError, match=r"deep\.json .*nested deeper than 64"):
        read_threshold(str(path))
    recipe = tmp_path / "deep.toml"
    for text in (f"a = {'[' * 500}{']' * 500}", f"a = {'{a = ' * 500}1{'}' * 500}"):
        recipe.write_text(text)
        with pytest.raises(RecipeError, match=r"deep\.toml .*nested deeper than 64"):
            read_recipe(registry, recipe)


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_numbers_that_no_machine_holds_are_refused(digits: int, tmp_path: Path) -> None:
    path = tmp_path / "threshold.json"
    path.write_text(f'{{"format": "vlmad threshold 2", "value": 1{"0" * digits}}}')
    with pytest.raises(InputError, match=r"more than 64 bits|Exceeds the limit"):
        read_threshold(str(path))


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", True), ("identity", {}), ("rule", "a\0b"), ("rule", "\ud800"), ("evidence", [])],
)
def test_a_threshold_of_the_wrong_type_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "threshold.json"
    path.write_text(json.dumps({**threshold().model_dump(), field: value}))
    with pytest.raises(InputError, match=r"neither a number nor .*threshold\.json"):
        read_threshold(str(path))


@pytest.mark.parametrize("kind", ["backbone", "scorer"])
def test_a_part_without_a_name_is_refused(kind: str, registry: Registry, tmp_path: Path) -> None:
    table = manifest().model_dump()
    table["identity"]["parts"][kind]["name"] = ""
    with pytest.raises(InputError, match=rf"identity\.parts\.{kind}\.name"):
        Manifest.parse(json.dumps(table), "m")
    (tmp_path / "r.toml").write_text(f'{kind} = ""')
    with pytest.raises(RecipeError, match=f"'{kind}' must be a text"):
        read_recipe(registry, tmp_path / "r.toml")


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "F"])
def test_a_picture_of_eight_bits_is_no_map(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "maps" / "a.png"
    path.parent.mkdir()
    Image.new(mode, (4, 3)).save(path, "TIFF" if mode == "F" else "PNG")
    with pytest.raises(OutputError, match=r"a\.png is damaged, or no map"):
        read_map(path, Range(0, 1))
    Image.fromarray(np.full((3, 4), 65535, np.uint16)).save(path)
    assert read_map(path, Range(0, 0.5)).tolist() == [[0.5] * 4] * 3


def test_identities_say_in_what_they_differ() -> None:
    one = manifest().identity
    other = Identity.model_validate({**one.model_dump(), "references_sha256": ["a"]})
    assert one.differences(other) == ["references_sha256 ([], now ['a'])"]
