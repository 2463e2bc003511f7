"""What is said of contrast and size: from pixels to the section."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from vlmad_evaluation.bench.reading import Results, read_results

from vlmad_report.content import Figure, Section, Table
from vlmad_report.looking.averages import mean_of
from vlmad_report.looking.classes import Classes, thirds
from vlmad_report.looking.colours import difference, lab
from vlmad_report.looking.defects import Defect, ring
from vlmad_report.looking.defects import contrast as contrast_of
from vlmad_report.looking.study import CONTRAST, CONTRASTS, SIZES, Study, study
from vlmad_report.sections.contrast import contrast
from vlmad_report.sections.defect_sizes import defect_sizes

pytestmark = pytest.mark.xdist_group("benched")  # they share a bench

Benched = tuple[Path, Path]
colours = hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.just(3)))
masks = hnp.arrays(bool, st.tuples(st.integers(2, 24), st.integers(2, 24))).filter(
    lambda mask: bool(mask.any() and not mask.all())
)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (100, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_colours_become_the_known_values_of_cielab(
    colour: tuple[int, int, int], expected: tuple[float, float, float]
) -> None:
    found = lab(np.array([colour], np.uint8))[0]
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.slow
@given(colours)
def test_equal_colours_have_no_contrast(pixels: np.ndarray) -> None:
    assert difference(lab(pixels), lab(pixels)) == 0


@given(colours, colours)
def test_contrast_is_the_same_both_ways(one: np.ndarray, other: np.ndarray) -> None:
    assert difference(lab(one), lab(other)) == difference(lab(other), lab(one)) >= 0


def test_noise_is_no_contrast() -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(128, 25, (80, 80, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((80, 80), bool)
    mask[30:50, 30:50] = True
    assert contrast_of(image, mask) < 2.3  # less than can be seen
    step = image.copy()
    step[mask] = np.clip(step[mask].astype(int) + 40, 0, 255)
    assert 12 < contrast_of(step, mask) < 20  # 40 grey levels are about 16 units of lightness


@given(masks)
def test_the_ring_holds_the_nearest_pixels_as_many_as_the_mask(mask: np.ndarray) -> None:
    around = ring(mask)
    assert not (around & mask).any()
    distances = ndimage.distance_transform_edt(~mask)
    wanted = min(mask.sum(), (~mask).sum())
    assert around.sum() >= wanted
    farthest = distances[around].max()
    assert (around == (~mask & (distances <= farthest))).all()  # no direction, no holes
    assert (~mask & (distances < farthest)).sum() < wanted  # and not wider than needed


def test_the_ring_of_half_a_strip_is_the_other_half() -> None:
    mask = np.zeros((4, 400), bool)
    mask[:, :200] = True
    assert (ring(mask) == ~mask).all()


@given(st.lists(st.floats(0, 200), min_size=1), st.floats(0, 200))
def test_each_value_is_in_one_class_and_classes_are_ordered(
    values: list[float], other: float
) -> None:
    classes = thirds(CONTRASTS, values)
    order = [classes.names.index(classes.name_of(value)) for value in sorted([*values, other])]
    assert order == sorted(order)


@given(st.lists(st.floats(0, 200), min_size=3, unique=True))
def test_thirds_hold_a_third_each(values: list[float]) -> None:
    classes = thirds(CONTRASTS, values)
    counts = [sum(classes.name_of(v) == name for v in values) for name in classes.names]
    assert sum(counts) == len(values)
    assert max(counts) - min(counts) <= 1


def test_sizes_have_stated_limits() -> None:
    assert [SIZES.name_of(share) for share in (0.01, 0.0101, 0.05, 0.051, 1)] == [
        "small", "medium", "medium", "large", "large",
    ]  # fmt: skip
    assert SIZES.ranges("{:g}%", 100) == ("up to 1%", "above 1%, up to 5%", "above 5%")


def test_faint_squares_have_less_contrast_than_bright_ones(looked: Study) -> None:
    by_kind: dict[str, list[float]] = {}
    for sample, defect in looked.known():
        by_kind.setdefault(sample.defect, []).append(defect.contrast)
    assert set(by_kind) == {"mark", "spot"}
    assert max(by_kind["mark"]) < min(by_kind["spot"])


def test_a_class_has_the_auroc_of_scikit_learn(looked: Study) -> None:
    for looks in looked.looks:
        bolt = next(look for look in looks if look.category == "bolt")
        for name in CONTRASTS:
            chosen = [
                each
                for each in bolt.scored
                if not each.sample.anomalous
                or (CONTRAST, name) in looked.classes_of(each.sample)
            ]
            labels = [each.sample.anomalous for each in chosen]
            expected = roc_auc_score(labels, [each.row.score for each in chosen])
            accuracy = bolt.by_class[CONTRAST, name]
            assert accuracy.value("image_auroc") == pytest.approx(expected)
            maps = [image for each in chosen if (image := each.map()) is not None]
            truth = np.concatenate([image.mask.ravel() for image in maps])
            heat = np.concatenate([image.scores.ravel() for image in maps])
            metric = accuracy.metrics["pixel_auroc"]
            assert metric.value == pytest.approx(roc_auc_score(truth, heat), abs=metric.error)
            assert metric.error < 0.002


def test_over_categories_each_anomalous_image_counts_the_same(looked: Study) -> None:
    looks = looked.looks[0]
    shares = []
    for look in looks:
        normal = look.scores[~look.labels]
        for score in look.scores[look.labels]:
            shares.append(((normal < score) + (normal == score) / 2).mean())
    mean = mean_of(looks, ("all", ""), "image_auroc")
    assert mean is not None
    assert (mean.images, mean.categories) == (9, 2)
    assert mean.value == pytest.approx(np.mean(shares))


def test_the_section_states_definition_limits_and_what_is_left_out(looked: Study) -> None:
    section = contrast(looked)
    text = " ".join(section.paragraphs)
    assert "median colour" in text
    assert looked.contrasts is not None
    assert all(f"{limit:.1f}" in text for limit in looked.contrasts.limits)
    assert "3 of 9 anomalous images are left out: no mask" in text
    classes, figures, figure = section.blocks
    assert isinstance(classes, Table)
    assert sum(int(row[2].text) for row in classes.rows) == 6
    assert isinstance(figures, Table)
    assert [row[0].text for row in figures.rows] == ["winclip", "clip"]
    assert isinstance(figure, Figure)
    assert "winclip: low" in figure.alternative


def test_limits_can_be_given(results: Results) -> None:
    looked = study([results], contrast_limits=(1.0, 1000.0))
    assert {looked.class_of(CONTRAST, defect) for _, defect in looked.known()} == {"medium"}
    assert "The limits, 1.0 and 1000.0, were given." in contrast(looked).paragraphs[0]


def _sizes(section: Section) -> list[str]:
    table = section.blocks[0]
    assert isinstance(table, Table)
    return [row[2].text for row in table.rows]


def test_the_section_on_size_counts_by_the_share_of_the_mask(looked: Study) -> None:
    shares = [defect.share for _, defect in looked.known()]
    assert min(shares) == pytest.approx(36 / 1600)
    counts = [sum(SIZES.name_of(s) == name for s in shares) for name in SIZES.names]
    assert _sizes(defect_sizes(looked)) == list(map(str, counts))


def test_without_masks_sections_say_what_would_fill_them(own: Benched) -> None:
    folder, _ = own
    path = folder / "samples.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps([{**sample, "mask": None} for sample in table]))
    looked = study([read_results(folder)])
    for section in (contrast(looked), defect_sizes(looked)):
        [text] = section.paragraphs
        assert "no mask. Masks in the data set would fill this section" in text
        assert section.blocks == ()


def test_a_damaged_mask_costs_its_image_alone(own: Benched) -> None:
    folder, data = own
    (data / "bolt/ground_truth/spot/000_mask.png").write_bytes(b"broken")
    (data / "bolt/test/mark/001.png").unlink()
    looked = study([read_results(folder)])
    assert sum(isinstance(defect, Defect) for defect in looked.defects.values()) == 4
    text = " ".join(contrast(looked).paragraphs)
    assert "5 of 9 anomalous images are left out" in text
    assert "000_mask.png: not an image" in text
    assert "001.png: no such file" in text
    bolt = looked.looks[0][0]
    assert (bolt.by_class["all", ""].images, bolt.by_class["all", ""].mapped) == (6, 4)


def test_a_mask_over_the_whole_image_has_nothing_around_it(own: Benched) -> None:
    folder, data = own
    from PIL import Image

    Image.new("L", (40, 40), 255).save(data / "bolt/ground_truth/spot/000_mask.png")
    looked = study([read_results(folder)])
    assert "covers the whole image" in " ".join(contrast(looked).paragraphs)


def test_classes_of_any_number_have_ranges() -> None:
    assert Classes(("a", "b"), (2.0,)).ranges() == ("up to 2", "above 2")
