"""What curves and histograms show."""

from __future__ import annotations

import io
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from sklearn.metrics import auc, roc_auc_score
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad_report.content import Figure
from vlmad_report.looking.looks import PRO_LIMIT, Look
from vlmad_report.looking.study import Study, study
from vlmad_report.sections.curves import curves

pytestmark = pytest.mark.xdist_group("benched")  # they share a bench

Benched = tuple[Path, Path]


def _figures(looked: Study) -> dict[str, Figure]:
    return {b.name: b for b in curves(looked).blocks if isinstance(b, Figure)}


def _draw(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.draw().savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def _names(drawing: Drawing) -> list[Text]:
    """Return the texts of a drawing that hold a name."""
    texts = drawing.findobj(Text)
    return [t for t in texts if isinstance(t, Text) and "$" in t.get_text()]


def test_the_area_below_a_drawn_curve_is_the_metric_of_the_bench(
    results: Results, looked: Study
) -> None:
    for line, looks in zip(looked.lines, looked.looks, strict=True):
        for place, look in zip(line.places, looks, strict=True):
            assert look.roc is not None
            assert auc(*look.roc.T) == pytest.approx(roc_auc_score(look.labels, look.scores))
            expected = place.cell["metrics"]["pixel_aupro_30"]["value"]
            if expected is None:
                assert look.pro is None
                continue
            assert look.pro is not None
            assert look.pro[-1, 0] == PRO_LIMIT
            assert auc(*look.pro.T) / PRO_LIMIT == pytest.approx(expected, abs=0.005)


def test_curves_start_at_the_origin_and_never_fall(looked: Study) -> None:
    for look in looked.looks[0]:
        assert look.roc is not None
        assert look.roc[0].tolist() == [0, 0]
        assert look.roc[-1].tolist() == [1, 1]
        assert (np.diff(look.roc, axis=0) >= 0).all()


def test_there_is_a_panel_for_each_category_and_a_line_for_each_detector(looked: Study) -> None:
    figures = _figures(looked)
    assert list(figures) == ["roc-curves", "pro-curves", "scores-1", "scores-2"]
    roc, pro = (figures[name].draw() for name in ("roc-curves", "pro-curves"))
    assert [axes.get_title() for axes in roc.axes] == ["bolt", "nut"]
    assert [axes.get_title() for axes in pro.axes] == ["bolt"]  # no masks of nuts
    lines = pro.axes[0].get_lines()
    assert len({line.get_linestyle() for line in lines}) == 2
    [legend] = pro.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["winclip", "clip"]


def test_histograms_mark_the_threshold_of_the_cell(looked: Study) -> None:
    drawing = _figures(looked)["scores-1"].draw()
    for axes, look in zip(drawing.axes, looked.looks[0], strict=True):
        [line] = axes.get_lines()
        assert line.get_xdata()[0] == look.threshold
        normal, anomalous = axes.patches  # an outline for each
        assert normal.get_fill()
        assert not anomalous.get_fill()


@pytest.mark.slow
@pytest.mark.parametrize("detectors", [5, 24])
def test_many_detectors_with_odd_names_stay_legible(looked: Study, detectors: int) -> None:
    names = ["_hidden", "a $x^2$ b", "检测器", "x" * 300, "tab\there", "\udcff", "$", "<b>&"]
    lines = [
        replace(looked.lines[0], name=f"{names[i % len(names)]}{i}") for i in range(detectors)
    ]
    crowd = tuple(
        replace(look, category=f"{names[i % len(names)]}{i}")
        for i, look in enumerate(looked.looks[0] * 8)
    )[:15]
    crowded = replace(looked, lines=tuple(lines), looks=(crowd,) * detectors)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the renderer sees to fonts
        figures = _figures(crowded)
        for figure in (figures["roc-curves"], figures["scores-1"]):
            assert _draw(figure).startswith(b"\x89PNG")
            assert figure.alternative.encode()
    drawing = figures["roc-curves"].draw()
    assert not any(text.get_parse_math() for text in _names(drawing))
    panels = [axes for axes in drawing.axes if axes.axison]
    assert len(panels) == (15 if detectors == 5 else 24)
    assert "Histograms are shown for the first 4" in " ".join(curves(crowded).paragraphs)


def test_colours_are_those_in_force(looked: Study) -> None:
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context(
        {"axes.prop_cycle": cycler(color=["#123456", "#654321"]), "text.color": "#abcdef"}
    ):
        drawing = _figures(looked)["pro-curves"].draw()
    colours = [line.get_color() for line in drawing.axes[0].get_lines()]
    assert [matplotlib.colors.to_hex(colour) for colour in colours] == ["#123456", "#654321"]


@pytest.mark.slow
def test_of_one_class_alone_there_are_no_curves_and_a_reason(looked: Study) -> None:
    def normal(look: Look) -> Look:
        kept = tuple(each for each in look.scored if not each.sample.anomalous)
        return replace(look, scored=kept, by_class={}, roc=None, pro=None, threshold=None)

    bare = replace(looked, looks=tuple(tuple(map(normal, looks)) for looks in looked.looks))
    section = curves(bare)
    assert "would fill this section" in " ".join(section.paragraphs)
    assert [b.name for b in section.blocks if isinstance(b, Figure)] == ["scores-1", "scores-2"]
    for figure in section.blocks:
        assert isinstance(figure, Figure)
        _draw(figure)


def test_without_maps_image_curves_stay(own: Benched) -> None:
    folder, _ = own
    for maps in (folder / "cells").rglob("maps"):
        shutil.rmtree(maps)
    looked = study([read_results(folder)])
    section = curves(looked)
    assert section.blocks[0].name == "roc-curves"  # type: ignore[union-attr]
    text = " ".join(section.paragraphs)
    assert "needs masks, and stored maps" in text
    assert "no map is on disk (--no-maps deletes them)" in text


def test_a_damaged_map_costs_its_image_alone(own: Benched, looked: Study) -> None:
    folder, _ = own
    broken = sorted((folder / "cells/winclip/bolt").rglob("maps/*.png"))
    broken[0].write_bytes(b"")
    one, other = study([read_results(folder)]).looks
    assert "is damaged" in one[0].problems[0]
    assert one[0].pro is not None
    assert other[0].by_class["all", ""] == looked.looks[1][0].by_class["all", ""]


def test_a_damaged_threshold_is_said_and_not_drawn(own: Benched) -> None:
    folder, _ = own
    path = next((folder / "thresholds/winclip/bolt").glob("*.json"))
    path.write_text("{")
    looked = study([read_results(folder)])
    assert looked.looks[0][0].threshold is None
    assert "is no JSON" in " ".join(curves(looked).paragraphs)


def test_scores_of_images_that_have_moved_are_said_to_be_missing(results: Results) -> None:
    moved = tuple(replace(s, image=Path("/elsewhere") / s.image.name) for s in results.samples)
    section = curves(study([replace(results, samples=moved)]))
    assert "has the scores of 0 of 6 measured images" in " ".join(section.paragraphs)
