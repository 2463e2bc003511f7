import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from vlmad.resizing import restore_map
from vlmad_export._factored import take_apart
from vlmad_export._nodes import Nodes
from vlmad_export._parity import beyond, rank_correlation
from vlmad_export._resizing_nodes import resized
from vlmad_export.exported import ExportedDetector, Parity
from vlmad_export.onnx_detector import OnnxDetector, restored
from vlmad_run.pictures import PALETTE

from .conftest import SMALL, vlmad


def _session(model):
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def _resizing(size, interpolation):
    bands = helper.make_tensor_value_info("bands", TensorProto.UINT8, [1, 3, "h", "w"])
    graph = helper.make_graph([], "resizing", [bands], [])
    made = Nodes(graph, "own/")
    name = resized(made, "bands", size, interpolation)
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.UINT8, None))
    opset = helper.make_opsetid("", 20)
    return _session(helper.make_model(graph, opset_imports=[opset], ir_version=10))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_graph_resizes_as_pillow_does_but_for_one_level_in_few_pixels(interpolation):
    session = _resizing((40, 56), interpolation)
    random = np.random.default_rng(0)
    for height, width in ((333, 517), (40, 56), (23, 30), (41, 640), (1, 1), (3, 200)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        kind = Image.Resampling[interpolation.upper()]
        expected = np.asarray(Image.fromarray(image).resize((56, 40), kind)).astype(int)
        [found] = session.run(None, {"bands": image.transpose(2, 0, 1)[None]})
        apart = np.abs(found[0].transpose(1, 2, 0) - expected)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.02


def test_a_factor_in_a_graph_is_that_of_numpy():
    matrix = np.random.default_rng(0).normal(size=(60, 45))
    covariance = matrix.T @ matrix / 60 + 0.003 * np.eye(45)
    named = helper.make_tensor_value_info("matrix", TensorProto.DOUBLE, [45, 45])
    results = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, [45, 45]) for n in "fi"]
    node = helper.make_node("Cholesky", ["matrix"], ["f", "i"], domain="vlmad")
    graph = helper.make_graph([node], "factoring", [named], results)
    take_apart(graph, "Cholesky", {"matrix": 45})
    opset = helper.make_opsetid("", 20)
    session = _session(helper.make_model(graph, opset_imports=[opset], ir_version=10))
    factor, inverse = session.run(None, {"matrix": covariance})
    np.testing.assert_allclose(factor, np.linalg.cholesky(covariance), atol=1e-12)
    np.testing.assert_allclose(inverse @ factor, np.eye(45), atol=1e-9)


def test_maps_are_brought_to_images_as_torch_does_it():
    torch = pytest.importorskip("torch")
    heat = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    for size in ((31, 50), (24, 24), (7, 300), (1, 1)):
        expected = restore_map(torch.from_numpy(heat), size[::-1], "squash")
        np.testing.assert_allclose(restored(heat, size), expected, atol=1e-5)


def _parity(**changed):
    known = {"runtime": "r", "images": 10, "score": 0.001, "map": 0.001, "largest_score": 1.0}
    more = {"largest_map": 1.0, "rank_correlation": 1.0, "changed_verdicts": 0}
    times = {"milliseconds": 1.0, "torch_milliseconds": 1.0, "load_seconds": 1.0}
    none = {"megabytes": None, "torch_megabytes": None}
    return Parity(**{**known, **more, **times, **none, **changed})


def test_a_graph_is_judged_by_differences_and_a_quantised_one_by_ranks_and_verdicts():
    assert beyond(_parity(), "float32", 0.005) is None
    assert "scores differ by up to 2.00%" in str(beyond(_parity(score=0.02), "float32", 0.005))
    assert "maps differ" in str(beyond(_parity(map=0.02), "float32", 0.005))
    assert beyond(_parity(score=0.5, map=0.5), "int8", 0.1) is None
    assert "ranks correlate" in str(beyond(_parity(rank_correlation=0.5), "int8", 0.1))
    assert "2 of 10 verdicts" in str(beyond(_parity(changed_verdicts=2), "int8", 0.1))


def test_ranks_of_fewer_than_three_scores_tell_nothing():
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert rank_correlation([1.0, 2.0, 3.0], [2.0, 3.0, 9.0]) == 1.0


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "open_clip", "timm", "scipy", "sklearn", "matplotlib", "onnx"):
    sys.modules[name] = None
from vlmad.__main__ import main
main()
"""
"""Runs the command line where what large detectors need is not installed."""


def _photographs(folder, count):
    random = np.random.default_rng(1)
    folder.mkdir()
    for number in range(count):
        noise = random.integers(90, 120, (60 + 7 * number, 90, 3), dtype=np.uint8)
        noise[20 : 20 + 3 * number, 30:50] = 230
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_windows_become_a_graph_that_scores_as_the_detector_does(tmp_path):
    photos = _photographs(tmp_path / "photos", 4)
    words = ("--detector", "winclip", "--class-name", "nut", *SMALL)
    done = vlmad(
        *("export", *words, "--images", photos, "--threshold", "0.5", "--out", "nut.onnx"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    exported = ExportedDetector.read(tmp_path / "nut.json")
    assert {each.runtime.split()[0] for each in exported.parity} == {"onnxruntime", "openvino"}
    assert all(each.score < 1e-4 and each.changed_verdicts == 0 for each in exported.parity)
    metadata = onnx.load(tmp_path / "nut.onnx").metadata_props
    told = {each.key: each.value for each in metadata}
    assert (told["class_name"], told["threshold"]) == ("nut", "0.5")
    shared = vlmad("run", photos, *words, "--out", "torch", cwd=tmp_path)
    graph = vlmad("run", photos, "--model", "nut.onnx", "--out", "graph", cwd=tmp_path)
    assert (shared.returncode, graph.returncode) == (0, 0), graph.stderr
    rows = [
        [json.loads(line) for line in (tmp_path / run / "scores.jsonl").read_text().splitlines()]
        for run in ("torch", "graph")
    ]
    for torch_row, graph_row in zip(*rows, strict=True):
        assert graph_row["image"] == torch_row["image"]
        assert graph_row["score"] == pytest.approx(torch_row["score"], abs=1e-4)
        assert graph_row["map_high"] == pytest.approx(torch_row["map_high"], abs=1e-3)
    again = vlmad("run", photos, *words, "--out", "graph", cwd=tmp_path)
    assert "holds a run that differs" in again.stderr

    command = [sys.executable, "-c", WITHOUT_TORCH, "run", photos, "--model", "nut.onnx"]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr

    damaged = photos / "damaged.png"
    damaged.write_bytes((photos / "1.png").read_bytes()[:200])
    scored, failed = OnnxDetector(tmp_path / "nut.onnx").stream([photos / "1.png", damaged])
    assert scored.error is None
    assert failed.error is not None
    assert np.isnan(failed.score)
    assert failed.map is None

    session = onnxruntime.InferenceSession(tmp_path / "nut.onnx")
    image = np.asarray(Image.open(photos / "1.png"))
    together, _ = session.run(None, {"image": np.stack([image, image[::-1]])})
    alone, _ = session.run(None, {"image": image[None]})
    assert together[0] == alone[0]
    assert together[0] != together[1]


@pytest.mark.slow
def test_a_graph_that_differs_from_its_detector_is_not_kept(tmp_path):
    photos = _photographs(tmp_path / "photos", 2)
    words = ("export", "--detector", "clip", *SMALL, "--images", photos, "--out", "a.onnx")
    done = vlmad(*words, "--tolerance", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "the graph is not kept: in onnxruntime" in done.stderr
    assert "--tolerance allows more" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--detector", "musc"), "scorer 'mutual' compares all images of a set"),
        (("--extractor", "tiles"), "extractor 'tiles' cuts crops from the original"),
        (("--resize", "pad"), "--resize pad adds margins"),
    ],
)
def test_what_cannot_be_a_graph_is_said_by_name(tmp_path, words, reason):
    photos = _photographs(tmp_path / "photos", 1)
    done = vlmad("export", *words, *SMALL, "--images", photos, cwd=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr


def test_a_graph_of_something_else_is_refused(tmp_path):
    photos = _photographs(tmp_path / "photos", 1)
    named = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [named], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    ])  # fmt: skip
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"\0" * 100)
    for name, reason in (("a", "is no detector; vlmad export makes some"), ("b", "is no graph")):
        done = vlmad("run", photos, "--model", f"{name}.onnx", cwd=tmp_path)
        assert done.returncode == 2
        assert reason in done.stderr


def test_the_colours_of_heat_maps_are_those_of_matplotlib():
    from matplotlib import colormaps

    expected = colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    with Image.open(PALETTE) as colours:
        np.testing.assert_array_equal(np.asarray(colours)[0], expected)
