"""Sections made of the metric tables show what was measured, and say what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vlmad_evaluation.bench.published import published_beside, read_published
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad import load_detector
from vlmad_datasets.object_groups import Groups, read_groups
from vlmad_evaluation.comparison import compare_replicates
from vlmad_report.content import Figure, Section, Table
from vlmad_report.sections.categories import categories
from vlmad_report.sections.facts import facts, title
from vlmad_report.sections.few_shot import few_shot
from vlmad_report.sections.groups import groups
from vlmad_report.sections.published import published
from vlmad_report.sections.summary import summary
from vlmad_report.sections.windows import windows
from vlmad_report.sources.pool import pooled
from vlmad_report.sources.source import open_source

pytestmark = pytest.mark.xdist_group("benches")  # they share the benches

DASH = "\N{EN DASH}"


@pytest.fixture
def both(benches: Path) -> Results:
    """Two detectors, with one reference and without."""
    return read_results(benches / "both")


def changed(results: Results, change: Callable[[Any], None]) -> Results:
    document = json.loads(json.dumps(results.document))
    change(document)
    return Results(results.folder, document, results.samples)


def tables(section: Section) -> dict[str, dict[tuple[str, ...], dict[str, Any]]]:
    """Return the tables by caption: from the names of a row to its entries by column."""
    found = {}
    for block in section.blocks:
        if isinstance(block, Table):
            rows = {}
            for row in block.rows:
                assert len(row) == len(block.columns)
                names = tuple(entry.text for entry in row[: block.words])
                rows[names] = dict(zip(block.columns, row, strict=True))
            found[block.caption] = rows
    return found


def table(section: Section, start: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the only table whose caption starts like this."""
    (found,) = [rows for caption, rows in tables(section).items() if caption.startswith(start)]
    return found


def figures(section: Section) -> list[str]:
    """Draw all figures and return their names."""
    found = [block for block in section.blocks if isinstance(block, Figure)]
    for figure in found:
        figure.draw()
        assert figure.alternative
    return [figure.name for figure in found]


def value(results: Results, part: str, metric: str, **wanted: Any) -> dict[str, Any]:
    entries = results.document[part]
    (entry,) = [e for e in entries if all(e.get(k) == v for k, v in wanted.items())]
    return dict(entry["metrics"][metric])


def test_facts_and_title_say_what_was_measured_on_what(both: Results) -> None:
    said = dict(facts([both]))
    assert said["Categories"] == "2: bolt, metal nut"
    assert said["Test images"] == "7 normal, 7 anomalous"
    assert said["References"] == "0, 1 (2 seeds)"
    sha256 = both.document["detectors"]["clip"]["weights_sha256"]
    assert f"weights {sha256[:12]}" in said["Backbone"]
    assert title([both]) == "winclip, clip on parts"


def test_the_summary_has_averages_with_intervals_and_the_best_of_each_column(
    both: Results,
) -> None:
    section = summary([both])
    rows = table(section, "Pixel metrics, zero-shot")
    shown = {name: row["AUPRO"] for (name,), row in rows.items()}
    for name, entry in shown.items():
        metric = value(both, "averages", "pixel_aupro_30", detector=name, shots=0)
        assert entry.text == f"{metric['value']:.3f}"
        assert entry.note == f"[{metric['low']:.3f}, {metric['high']:.3f}]"
    highest = max(entry.text for entry in shown.values())
    assert {e.text for e in shown.values() if e.best} in ({highest}, set())
    assert figures(section) == [
        "summary-image-auroc",
        "summary-pixel-auroc",
        "summary-pixel-aupro-30",
    ]


def test_detectors_show_the_options_in_which_they_differ(both: Results) -> None:
    def scaled(document: Any) -> None:
        detectors = document["detectors"]
        detectors["other"] = json.loads(json.dumps(detectors["winclip"]))
        detectors["other"]["options"]["extractor"]["scales"] = [3, 5]

    section = summary([changed(both, scaled)])
    rows = {row[0]: entries for row, entries in table(section, "Detectors").items()}
    assert [rows[name]["extractor"].note for name in ("winclip", "other")] == [
        "scales=2,3", "scales=3,5",
    ]  # fmt: skip
    assert rows["winclip"]["scorer"].note == ""
    [shared] = [each for each in section.paragraphs if each.startswith("Options that are the same")]
    assert "scorer harmonic: temperature=0.07" in shared
    assert "scales" not in shared
    [alone] = [each for each in summary([both]).paragraphs if "Options that" in each]
    assert "extractor window: scales=2,3" in alone


def test_a_grid_says_what_it_left_out_and_no_speed(both: Results) -> None:
    def gridded(document: Any) -> None:
        document["grid"] = {
            "combinations": {}, "illegal": {"a + b": "b does not fit a"}, "same": {"c": "winclip"},
        }  # fmt: skip
        for each in document["detectors"].values():
            each["seconds_per_image"] = None

    section = summary([changed(both, gridded)])
    assert ("a + b", "b does not fit a") in table(section, "Combinations that cannot be")
    assert ("c", "winclip") in table(section, "Combinations that came out as another")
    rows = table(section, "Detectors")
    assert not any("seconds" in entries for entries in rows.values())
    assert any("were not measured" in caption for caption in tables(section))
    assert not any(caption.startswith("Comb") for caption in tables(summary([both])))


def test_the_summary_says_what_was_skipped_and_what_is_undefined(both: Results) -> None:
    said = " ".join(summary([both]).paragraphs)
    assert "clip, 1-shot: not measured, scorer 'dense' makes no use of references" in said
    assert "bolt: pixel metrics are undefined and not averaged, no mask" in said


def test_an_unfinished_bench_is_said_to_be(both: Results) -> None:
    unfinished = changed(both, lambda document: document.update(finished=False))
    assert summary([unfinished]).paragraphs[0].startswith("Unfinished")


def test_only_corrected_differences_to_the_baseline_are_marked(both: Results) -> None:
    def change(document: Any) -> None:
        for each in document["comparisons"]:
            each["p_value"] = 0.001
            clear = each["metric"] == "image_ap"
            each["p_value_max_t"] = 0.01 if clear else 0.06
            each["difference"] = -0.1

    marked = summary([changed(both, change)])
    images = table(marked, "Image metrics, zero-shot")
    marks = {(name, c) for (name,), row in images.items() for c, e in row.items() if e.mark}
    assert marks == {("clip", "image AP")}
    differences = table(marked, "Differences")
    row = differences["clip", "zero-shot"]
    assert row["image AP"].mark == "\N{DOWNWARDS ARROW}"
    assert row["image AUROC"].mark == ""
    assert "p = 0.06" in row["image AUROC"].note


def test_categories_have_image_and_pixel_metrics_apart_and_a_dash_with_its_reason(
    both: Results,
) -> None:
    section = categories([both])
    pixels = table(section, "Pixel metrics, zero-shot")
    assert (pixels["bolt", "clip"]["AUPRO"].text, pixels["bolt", "clip"]["AUPRO"].note) == (
        DASH,
        "no mask",
    )
    images = table(section, "Image metrics, 1-shot")
    metric = value(both, "categories", "image_ap", detector="winclip", category="bolt", shots=1)
    entry = images["bolt", "winclip"]["image AP"]
    assert entry.text == f"{metric['value']:.3f}"
    assert entry.note.startswith(f"± {metric['deviation_over_seeds']:.3f}")
    assert ("bolt", "clip") not in images
    assert len(figures(section)) == 6


def test_one_row_or_equal_rows_have_no_best(both: Results) -> None:
    alone = table(categories([both]), "Image metrics, 1-shot")
    assert not any(entry.best for row in alone.values() for entry in row.values())

    def same(document: Any) -> None:
        for each in document["averages"]:
            each["metrics"]["image_ap"]["value"] = 0.5

    equal = table(summary([changed(both, same)]), "Image metrics, zero-shot")
    assert not any(row["image AP"].best for row in equal.values())


def test_groups_average_their_categories_with_number_and_deviation(both: Results) -> None:
    kinds = Groups({"Metal-nut": "parts", "bolt": "parts"}, {})
    section = groups([both], kinds)
    entry = table(section, "Averages over groups, zero-shot")["parts", "clip"]["image AUROC"]
    pair = [
        value(both, "categories", "image_auroc", detector="clip", category=name, shots=0)["value"]
        for name in ("bolt", "metal nut")
    ]
    mean, deviation = sum(pair) / 2, abs(pair[0] - pair[1]) / 2**0.5
    # a group of all categories has the interval of the average over all
    whole = value(both, "averages", "image_auroc", detector="clip", shots=0)
    interval = f"[{whole['low']:.3f}, {whole['high']:.3f}]"
    assert (entry.text, entry.note) == (f"{mean:.3f}", f"± {deviation:.3f} {interval} (2)")
    pixels = table(section, "Averages over groups, zero-shot")["parts", "clip"]["AUPRO"]
    assert pixels.note.endswith("] (1), 1 undefined")
    assert figures(section)


AVERAGES = "Averages over groups, zero-shot"


def test_groups_without_stored_cells_have_averages_without_intervals(
    both: Results, copied: Any
) -> None:
    folder = copied("both")
    for path in (folder / "cells").rglob("replicates.npz"):
        path.unlink()
    section = groups([read_results(folder)], read_groups())
    assert any(each.startswith("Intervals are missing: ") for each in section.paragraphs)
    entries = table(section, "Averages over groups, zero-shot")["rigid", "clip"]
    assert entries["image AUROC"].text == table(groups([both], read_groups()), AVERAGES)[
        "rigid", "clip"
    ]["image AUROC"].text
    assert "[" not in entries["image AUROC"].note


def test_a_category_in_no_group_is_named_and_a_space_is_as_good_as_a_line(both: Results) -> None:
    section = groups([both], read_groups())
    assert "rigid: metal nut." in section.paragraphs
    assert any("In no group, and not shown here: bolt" in each for each in section.paragraphs)
    nothing = groups([both], Groups({}, {}))
    assert nothing.blocks == ()
    assert "[groups]" in nothing.paragraphs[0]


def test_few_shot_stands_beside_zero_shot_with_the_difference_and_its_interval(
    both: Results,
) -> None:
    section = few_shot([both])
    found = table(section, "pixel AUROC with")
    row = found["metal nut", "winclip"]
    zero, few = (
        value(both, "categories", "pixel_auroc", detector="winclip", category=name, shots=shots)
        for name, shots in (("metal nut", 0), ("metal nut", 1))
    )
    assert row["zero-shot"].text == f"{zero['value']:.3f}"
    assert row["1-shot"].note == f"± {few['deviation_over_seeds']:.3f}"
    assert float(row["1-shot, difference"].text) == pytest.approx(
        few["value"] - zero["value"], abs=0.003
    )
    assert row["1-shot, difference"].note.startswith("[")
    assert found["bolt", "winclip"]["1-shot, difference"].text == DASH
    assert ("metal nut", "clip") not in found
    assert ("average", "winclip") in found
    assert figures(section) == ["few-shot-0"]


def test_the_difference_of_a_single_seed_is_that_of_the_paired_bootstrap(benches: Path) -> None:
    one = read_results(benches / "one")
    source = open_source(one)
    few, zero = (source.stored(*one.cells(shots=shots)) for shots in (1, 0))
    expected = compare_replicates(
        few.replicates["pixel_aupro_30"], zero.replicates["pixel_aupro_30"]
    )
    row = table(few_shot([one]), "AUPRO with")["metal nut", "winclip"]
    assert row["1-shot, difference"].text == f"{expected.difference:+.3f}"
    assert row["1-shot, difference"].note == f"[{expected.low:+.3f}, {expected.high:+.3f}]"


def test_without_few_shot_the_section_says_what_makes_it(both: Results) -> None:
    def change(document: Any) -> None:
        for part in ("averages", "categories", "cells"):
            document[part] = [each for each in document[part] if each["shots"] == 0]

    section = few_shot([changed(both, change)])
    assert section.blocks == ()
    assert "vlmad bench DATA --detector winclip --shots 0,1,2,4" in section.paragraphs[0]


def test_windows_are_found_by_options_that_differ_in_one_size_alone(benches: Path) -> None:
    runs = [read_results(benches / name) for name in ("both", "two", "one")]
    section = windows(runs)
    found = tables(section)
    assert list(found) == [
        "pixel AUROC by window size, zero-shot.",
        "image AUROC by window size, 1-shot.",
        "pixel AUROC by window size, 1-shot.",
    ]
    row = found["pixel AUROC by window size, zero-shot."]["metal nut",]
    assert list(row) == ["category", "size 1", "size 2"]
    for size, run in (("size 1", runs[2]), ("size 2", runs[1])):
        metric = value(run, "categories", "pixel_auroc", category="metal nut", shots=0)
        assert row[size].text == f"{metric['value']:.3f}"
    assert figures(section) == ["windows-0-0", "windows-0-1"]


def test_windows_of_detectors_that_differ_otherwise_are_apart(benches: Path) -> None:
    runs = [read_results(benches / name) for name in ("one", "two")]

    def change(document: Any) -> None:
        document["detectors"]["winclip"]["options"]["scorer"]["temperature"] = 0.5

    assert windows([runs[0], changed(runs[1], change)]).blocks == ()
    grid = changed(runs[0], lambda document: as_grid(document, runs[1].document))
    captions = list(tables(windows([grid])))
    assert "pixel AUROC by window size, zero-shot; scorer.temperature=0.07." in captions
    assert "pixel AUROC by window size, zero-shot; scorer.temperature=0.5." in captions


def as_grid(document: Any, other: Any) -> None:
    """Make a document that of a grid of two sizes and two temperatures."""
    both = {1: document["detectors"]["winclip"], 2: other["detectors"]["winclip"]}
    parts = {"averages": document["averages"], "categories": document["categories"]}
    document.update(detectors={}, averages=[], categories=[], cells=[])
    for size, detector in both.items():
        for temperature in (0.07, 0.5):
            scorer = {**detector["options"]["scorer"], "temperature": temperature}
            options = {**detector["options"], "scorer": scorer}
            name = f"scales={size} temperature={temperature}"
            document["detectors"][name] = {**detector, "options": options}
            for part, entries in parts.items():
                document[part] += [{**each, "detector": name} for each in entries]


def test_without_single_sizes_the_section_says_what_makes_them(both: Results) -> None:
    section = windows([both])
    assert section.blocks == ()
    assert '--set "extractor.scales=1|2|3|4|5|6|7" --shots 0,1' in section.paragraphs[0]


def test_published_figures_stand_beside_measured_ones(both: Results, registry: Any) -> None:
    assembly = load_detector("anomalyclip", registry=registry).assembly
    entries = published_beside(assembly, "mvtec", read_published()[0]["mvtec_ad"].images, 0)
    entry = next(each for each in entries if each["categories"])

    def change(document: Any) -> None:  # as if this were that recipe on MVTec AD
        text = json.dumps(document).replace('"metal nut"', '"metal_nut"')
        document.update(json.loads(text))
        document["published"] = [{"detector": "clip", "shots": 0, **entry}]

    run = changed(both, change)
    section = published([run])
    (rows,) = tables(section).values()
    assert list(rows) == [
        ("metal_nut", "published"),
        ("metal_nut", "measured"),
        ("average", "published, stated"),
        ("average", "published, recomputed"),
        ("average", "measured"),
    ]
    shown = {names: row["pixel AUROC"].text for names, row in rows.items()}
    stated = entry["categories"]["metal_nut"]["pixel_auroc"]
    assert shown["metal_nut", "published"] == f"{stated:.3f}"
    assert (shown["average", "published, stated"], shown["average", "published, recomputed"]) == (
        "0.907",
        "0.911",
    )
    measured = value(run, "averages", "pixel_auroc", detector="clip", shots=0)
    assert shown["average", "measured"] == f"{measured['value']:.3f}"
    assert any(entry["source"] in paragraph for paragraph in section.paragraphs)


def test_without_published_figures_the_section_says_when_there_are(both: Results) -> None:
    section = published([both])
    assert section.blocks == ()
    assert "exactly the public numbers of test images" in section.paragraphs[0]


def test_names_of_markup_and_control_are_shown_on_one_line(both: Results) -> None:
    name = "<b>$x$\n\x1b[31m"

    def change(document: Any) -> None:
        document.update(json.loads(json.dumps(document).replace('"clip"', json.dumps(name))))

    run = [changed(both, change)]
    for section in (summary(run), categories(run), groups(run, read_groups()), few_shot(run)):
        texts = [*section.paragraphs, *tables(section)]
        texts += [t for rows in tables(section).values() for names in rows for t in names]
        assert all(text.isprintable() for text in texts)
        figures(section)
    assert ("<b>$x$ \\x1b[31m",) in table(summary(run), "Image metrics, zero-shot")


def test_of_many_detectors_the_first_and_the_best_are_drawn_and_all_are_in_the_table(
    both: Results,
) -> None:
    def change(document: Any) -> None:
        for number in range(24):
            name = f"clip {number}"
            document["detectors"][name] = document["detectors"]["clip"]
            for part in ("averages", "categories"):
                copies = [e for e in document[part] if e["detector"] == "clip"]
                document[part] += [{**json.loads(json.dumps(e)), "detector": name} for e in copies]
                for entry in document[part][-len(copies) :]:
                    entry["metrics"]["image_auroc"]["value"] = number / 30

    section = categories([changed(both, change)])
    assert len(table(section, "Image metrics, zero-shot")) == 2 * 26
    figure = next(b for b in section.blocks if isinstance(b, Figure))
    assert "Of 26 detectors the first and the best on average are drawn" in figure.caption
    legend = {text.get_text() for text in figure.draw().legends[0].get_texts()}
    assert "winclip" in legend
    assert len(legend) == 6
    assert len(pooled([changed(both, change)]).metrics(0)) == 26
