"""Several folders become one document; whatever else a file holds is refused in one line."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vlmad_evaluation.bench.reading import Results, read_results
from vlmad_evaluation.bench.tables import to_csv

from vlmad.errors import InputError
from vlmad_datasets.object_groups import read_groups
from vlmad_report.sections.categories import categories
from vlmad_report.sections.facts import facts
from vlmad_report.sections.few_shot import few_shot
from vlmad_report.sections.groups import groups
from vlmad_report.sections.published import published
from vlmad_report.sections.summary import summary
from vlmad_report.sections.windows import windows
from vlmad_report.sources.pool import pooled
from vlmad_report.sources.source import open_source

from .conftest import Copied

pytestmark = pytest.mark.xdist_group("benches")  # they share the benches


def read(*folders: Path) -> list[Results]:
    return [read_results(folder) for folder in folders]


def changed(results: Results, change: Callable[[Any], None]) -> Results:
    document = json.loads(json.dumps(results.document))
    change(document)
    return Results(results.folder, document, results.samples)


def test_a_single_folder_is_shown_as_it_is(benches: Path) -> None:
    (both,) = read(benches / "both")
    assert pooled([both]).document == both.document
    assert pooled([both]).baseline == "winclip"


def test_the_same_folder_twice_counts_once(benches: Path) -> None:
    pool = pooled(read(benches / "both", benches / "two" / ".." / "both"))
    assert pool.document == read(benches / "both")[0].document


def test_a_detector_that_differs_between_folders_is_named_with_its_folder(benches: Path) -> None:
    pool = pooled(read(benches / "both", benches / "one", benches / "two"))
    assert list(pool.document["detectors"]) == [
        "winclip (both)",
        "clip",
        "winclip (one)",
        "winclip (two)",
    ]
    assert list(pool.document["dataset"]["categories"]) == ["bolt", "metal nut"]
    assert {each["against"] for each in pool.document["comparisons"]} == {"winclip (both)"}


def test_folders_of_the_same_name_are_told_apart_by_their_place(
    benches: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(benches / "one", tmp_path / "two"))
    names = list(pooled(read(benches / "two", other)).document["detectors"])
    assert names == [f"winclip ({benches / 'two'})", f"winclip ({other})"]


def parted(folder: Path, category: str) -> Results:
    """Return a bench as if only one of its categories had been measured."""
    whole = read_results(folder)
    document = json.loads(json.dumps(whole.document))
    kept = document["dataset"]["categories"][category]
    document["dataset"]["categories"] = {category: kept}
    for part in ("cells", "categories"):
        document[part] = [each for each in document[part] if each["category"] == category]
    samples = tuple(sample for sample in whole.samples if sample.category == category)
    return Results(folder, document, samples)


def test_a_detector_measured_in_parts_is_averaged_as_if_it_had_been_measured_at_once(
    benches: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(benches / "both", tmp_path / "other"))
    parts = [parted(benches / "both", "metal nut"), parted(moved, "bolt")]
    whole = read_results(benches / "both").document
    document = pooled(parts).document
    assert list(document["detectors"]) == ["winclip", "clip"]
    for found, expected in zip(document["averages"], whole["averages"], strict=True):
        assert found["detector"] == expected["detector"]
        for name, metric in found["metrics"].items():
            assert metric["value"] == pytest.approx(expected["metrics"][name]["value"])
            assert set(metric["categories"]) == set(expected["metrics"][name]["categories"])
    assert len(to_csv(document).splitlines()) == len(to_csv(whole).splitlines())


def test_a_category_of_other_images_is_another_category(benches: Path) -> None:
    one, two = read(benches / "one", benches / "two")
    other = Results(two.folder, two.document, two.samples[1:])
    names = list(pooled([one, other]).document["dataset"]["categories"])
    assert names == ["metal nut (one)", "metal nut (two)"]
    assert pooled([one, other]).original("metal nut (two)") == "metal nut"


def test_a_category_of_another_class_name_or_other_masks_is_another_category(
    benches: Path,
) -> None:
    one, two = read(benches / "one", benches / "two")
    renamed = changed(
        two, lambda d: d["dataset"]["categories"]["metal nut"].update(class_name="washer")
    )
    unmasked = Results(two.folder, two.document, tuple(replace(s, mask=None) for s in two.samples))
    for other in (renamed, unmasked):
        names = list(pooled([one, other]).document["dataset"]["categories"])
        assert names == ["metal nut (one)", "metal nut (two)"]


def test_folders_measured_in_different_ways_are_refused(benches: Path) -> None:
    one, two = read(benches / "one", benches / "two")
    other = changed(two, lambda document: document["settings"].update(replicates=60))
    with pytest.raises(InputError, match=r"with replicates 50, .*two with 60: make a report"):
        pooled([one, other])


def test_a_baseline_that_the_document_names_is_the_one_compared_with(benches: Path) -> None:
    both, one = read(benches / "both", benches / "one")
    named = changed(both, lambda document: document.update(baseline="clip"))
    pool = pooled([named, one])
    assert pool.baseline == "clip"
    assert {each["against"] for each in pool.document["comparisons"]} == {"clip"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("settings"), "settings is missing"),
        (lambda d: d.update(averages={}), "averages is no list"),
        (lambda d: d["averages"][0]["metrics"].pop("image_ap"), r"averages\[0\].*image_ap is miss"),
        (lambda d: d["cells"][0].update(shots="1"), r"cells\[0\].shots is no count"),
        (lambda d: d["cells"][0].update(detector="x"), "is none of the detectors"),
        (lambda d: d["categories"][0].update(category="x"), "is none of the categories"),
        (lambda d: d["settings"].update(confidence=2), "confidence is not from 0 to 1"),
        (lambda d: d["settings"].update(confidence=0), "is not between 0 and 1"),
        (lambda d: d.update(baseline=["clip"]), "baseline is none of the detectors"),
        (lambda d: d["settings"].update(replicates=True), "replicates is no count"),
        (lambda d: d["detectors"].update(clip=1), r"detectors\.clip is no table"),
        (lambda d: d["cells"][0].update(run="../one"), r"cells\[0\]\.run is not inside"),
        (lambda d: d["cells"][0].update(run="cells\\..\\..\\x"), r"run is not inside"),
        (lambda d: d["cells"][1].update(run="/etc"), r"cells\[1\]\.run is not inside"),
        (lambda d: d["cells"][0].update(run="cells\0"), r"run is not inside"),
        (lambda d: d["cells"][0].update(threshold="C:x"), r"threshold is not inside"),
    ],
)
def test_a_damaged_document_is_refused_by_name(
    benches: Path, change: Callable[[Any], None], said: str
) -> None:
    (both,) = read(benches / "both")
    with pytest.raises(InputError, match=rf"both/bench\.json: it is damaged, .*{said}"):
        open_source(changed(both, change))


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_document_is_taken_or_refused(benches: Path, data: Any) -> None:
    (both,) = read(benches / "both")
    document = json.loads(json.dumps(both.document))
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.sampled_from([None, True, -1, 10**400, 7, math.nan, 0.5, "", "x", [], {}, [1], {"": 1}])
    )
    changed_one = [Results(both.folder, document, both.samples)]
    with suppress(InputError):
        for section in (facts, summary, categories, windows, published, few_shot):
            section(changed_one)
        groups(changed_one, read_groups())


def test_a_figure_that_is_no_finite_number_is_undefined(benches: Path) -> None:
    (both,) = read(benches / "both")

    def change(document: Any) -> None:
        document["averages"][0]["metrics"]["image_auroc"]["value"] = math.nan

    found = pooled([changed(both, change)]).document["averages"][0]["metrics"]["image_auroc"]
    assert found["value"] is None


@pytest.mark.parametrize("damage", ["gone", "no arrays", "short", "texts", "locked", "endless"])
def test_damaged_cells_are_refused_by_name(copied: Copied, benches: Path, damage: str) -> None:
    folder = copied("one")
    path = next(folder.glob("cells/winclip*/metal*/zero-shot")) / "replicates.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    if damage == "gone":
        path.unlink()
    elif damage == "no arrays":
        path.write_bytes(b"PK\x03\x04")
    elif damage == "locked":  # flags say that the first array is encrypted
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(content)
    elif damage == "endless":
        [header, *_] = re.findall(rb"'shape': \(\d+,\), } +", path.read_bytes())
        more = b"'shape': (999999999999999,), }".ljust(len(header))
        assert len(more) == len(header)
        path.write_bytes(path.read_bytes().replace(header, more))
    else:
        values = arrays["image_auroc.values"]
        arrays["image_auroc.values"] = values[:9] if damage == "short" else values.astype(str)
        np.savez(path, **arrays)
    with pytest.raises(InputError, match="zero-shot holds no metrics, or damaged ones: run its"):
        pooled(read(folder, benches / "two"))


def test_a_damaged_manifest_of_a_run_is_refused_by_name(copied: Copied, benches: Path) -> None:
    folder = copied("one")
    path = next(folder.glob("cells/winclip*/metal*/zero-shot")) / "manifest.json"
    path.write_text("[]")
    with pytest.raises(InputError, match=r"cannot read the manifest in .*zero-shot: it is damaged"):
        pooled(read(benches / "two", folder))


def test_a_document_of_brackets_within_brackets_is_damaged(copied: Copied) -> None:
    folder = copied("one")
    (folder / "bench.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="damaged"):
        read_results(folder)
