import json
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import onnxruntime
import pytest
from hatchling.builders.wheel import WheelBuilder
from onnx import (
    ModelProto,
    SparseTensorProto,
    StringStringEntryProto,
    TensorProto,
    helper,
    numpy_helper,
)
from PIL import Image

from vlmad.errors import InputError, WeightsError
from vlmad.images import as_source
from vlmad.resizing import restore_map
from vlmad.types import Preprocessing
from vlmad_export._factored import take_apart
from vlmad_export._nodes import Nodes
from vlmad_export._own_files import check_files
from vlmad_export._parity import beyond, rank_correlation
from vlmad_export._precision import _levels
from vlmad_export._resizing_nodes import resized
from vlmad_export.exported import ExportedDetector, Parity
from vlmad_export.exporting import Wish, _describe, _threshold
from vlmad_export.onnx_detector import OnnxDetector, restored
from vlmad_export.sessions import open_session
from vlmad_line.line_products import open_product
from vlmad_run.choosing import Choice
from vlmad_run.manifest import GoodScores
from vlmad_run.pictures import PALETTE
from vlmad_run.references import References, assemble
from vlmad_run.thresholds import Threshold, read_threshold

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
    assert "ranks tell nothing" in str(beyond(_parity(rank_correlation=None), "int8", 0.1))


def test_ranks_of_fewer_than_three_scores_tell_nothing():
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert rank_correlation([1.0, 2.0, 3.0], [2.0, 3.0, 9.0]) == 1.0


FEW_PATCHES = ("--set", "backbone.image_size=80")
WINDOWS = ("--detector", "winclip", "--class-name", "nut", *SMALL, *FEW_PATCHES)
ROOT = Path(__file__).parents[1]
WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "open_clip", "timm", "scipy", "sklearn", "matplotlib", "onnx"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv.pop(1))
from vlmad_cli.__main__ import main
main()
"""
"""Runs the command line of a tree where nothing that large detectors need is installed."""


def _photographs(folder, count):
    random = np.random.default_rng(1)
    folder.mkdir()
    for number in range(count):
        noise = random.integers(90, 120, (60 + 7 * number, 90, 3), dtype=np.uint8)
        noise[20 : 20 + 3 * number, 30:50] = 230
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a folder with photographs and the graph of a detector."""
    folder = tmp_path_factory.mktemp("exported")
    photos = _photographs(folder / "photos", 4)
    done = vlmad(
        *("export", *WINDOWS, "--images", photos, "--threshold", "0.5", "--out", "nut.onnx"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_runtime_agrees_with_torch_on_windows(exported):
    document = ExportedDetector.read(exported / "nut.json")
    assert {each.runtime.split()[0] for each in document.parity} == {"onnxruntime", "openvino"}
    assert all(each.score < 1e-4 and each.changed_verdicts == 0 for each in document.parity)
    metadata = onnx.load(exported / "nut.onnx").metadata_props
    told = {each.key: each.value for each in metadata}
    assert (told["class_name"], told["threshold"]) == ("nut", "0.5")


@pytest.mark.slow
def test_a_run_of_a_graph_is_that_of_its_detector_but_no_part_of_it(exported):
    torch = vlmad("run", "photos", *WINDOWS, "--out", "torch", cwd=exported)
    graph = vlmad("run", "photos", "--model", "nut.onnx", "--out", "graph", cwd=exported)
    assert (torch.returncode, graph.returncode) == (0, 0), graph.stderr
    rows = [
        [json.loads(line) for line in (exported / run / "scores.jsonl").read_text().splitlines()]
        for run in ("torch", "graph")
    ]
    for torch_row, graph_row in zip(*rows, strict=True):
        assert graph_row["image"] == torch_row["image"]
        assert graph_row["score"] == pytest.approx(torch_row["score"], abs=1e-4)
        assert graph_row["map_high"] == pytest.approx(torch_row["map_high"], abs=1e-3)
    again = vlmad("run", "photos", *WINDOWS, "--out", "graph", cwd=exported)
    assert "holds a run that differs" in again.stderr


@pytest.mark.slow
def test_an_image_that_cannot_be_read_costs_itself_only(exported, tmp_path):
    whole, damaged = exported / "photos" / "1.png", tmp_path / "damaged.png"
    damaged.write_bytes(whole.read_bytes()[:200])
    failed, scored = OnnxDetector(exported / "nut.onnx").stream([damaged, whole])
    assert scored.error is None
    assert failed.error is not None
    assert np.isnan(failed.score)
    assert failed.map is None


def _verdicts(folder, run):
    rows = map(json.loads, (folder / run / "scores.jsonl").read_text().splitlines())
    return [(row["score"], row["verdict"]) for row in rows]


@pytest.mark.slow
def test_the_threshold_of_an_export_judges_unless_another_is_given(exported):
    words = ("run", "photos", "--model", "nut.onnx", "--overlays", "none", "--out")
    done = vlmad(*words, "own", "--fail-on", "anomalous", cwd=exported)
    scores = sorted(score for score, _ in _verdicts(exported, "own"))
    expected = [score >= 0.5 for score in scores]
    assert done.returncode == (3 if any(expected) else 0)
    assert sorted(v == "anomalous" for _, v in _verdicts(exported, "own")) == sorted(expected)
    between = (scores[1] + scores[2]) / 2
    vlmad(*words, "given", "--threshold", str(between), cwd=exported)
    judged = sorted(_verdicts(exported, "given"))
    assert [verdict for _, verdict in judged] == ["ok", "ok", "anomalous", "anomalous"]
    product = open_product(Choice(), References(model=exported / "nut.onnx"))
    assert (product.judges, product.threshold.value) == (True, 0.5)


@pytest.mark.slow
def test_a_threshold_that_was_calibrated_in_torch_goes_along(tmp_path):
    photos = _photographs(tmp_path / "photos", 4)
    of_two_layers = ("--detector", "gaussian", *SMALL, *FEW_PATCHES)
    steps = (
        ("fit", photos, *of_two_layers, "--out", "a.safetensors"),
        ("calibrate", "--model", "a.safetensors", "--good", photos, "--out", "threshold.json"),
    )
    for words in steps:
        done = vlmad(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    given = read_threshold(str(tmp_path / "threshold.json"))
    fitted = assemble(Choice(), References(model=tmp_path / "a.safetensors"))
    described = _describe(fitted, [], Wish(threshold=given))
    assert (described.threshold, described.threshold_rule) == (given.value, given.rule)
    assert described.threshold_evidence == given.evidence
    other = assemble(
        Choice(detector="rarity", backbone=SMALL[1], settings=[SMALL[3]]), References()
    )
    with pytest.raises(InputError, match="calibrated on other scores"):
        _describe(other, [], Wish(threshold=given))


@pytest.mark.slow
def test_a_graph_that_gives_something_else_scores_nothing(exported, tmp_path):
    whole = onnx.load(exported / "nut.onnx")
    score, heat = ("score", TensorProto.FLOAT, [1]), ("map", TensorProto.FLOAT, [1, 2, 2])
    results = [helper.make_tensor_value_info(*each) for each in (score, heat)]
    constants = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor("c", kind, size, values))
        for (name, kind, size), values in ((score, [0.1]), (heat, [0.1] * 4))
    ]
    graph = helper.make_graph(constants, "other", whole.graph.input, results)
    other = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=10)
    other.metadata_props.extend(whole.metadata_props)
    onnx.save(other, tmp_path / "a.onnx")
    photo = exported / "photos" / "1.png"
    [row] = OnnxDetector(tmp_path / "a.onnx").stream([photo])
    assert np.isnan(row.score)
    assert "gave no score and map of the size that it states" in row.error


@pytest.mark.slow
def test_an_image_scores_the_same_in_any_batch(exported):
    session = onnxruntime.InferenceSession(exported / "nut.onnx")
    image = np.asarray(Image.open(exported / "photos" / "1.png"))
    together, _ = session.run(None, {"image": np.stack([image, image[::-1]])})
    alone, _ = session.run(None, {"image": image[None]})
    assert together[0] == alone[0]
    assert together[0] != together[1]


@pytest.mark.slow
def test_what_the_runtime_brings_scores_without_torch(exported, tmp_path):
    builder = WheelBuilder(str(ROOT / "packaging" / "runtime"))
    [wheel] = builder.build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(wheel) as content:
        content.extractall(tmp_path)
    tree = tmp_path / "vlmad_runtime" / "tree"
    words = ["run", "photos", "--model", "nut.onnx", "--out", "alone", "--json"]
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH, tree, *words]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["done"] * 4


def test_the_runtime_is_of_the_version_of_vlmad():
    whole, runtime = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
        for folder in (".", "packaging/runtime")
    )
    named = (ROOT / "packaging/runtime/tree/vlmad.dist-info/METADATA").read_text("utf-8")
    assert runtime["version"] == whole["version"]
    assert f"\nVersion: {whole['version']}\n" in named
    wanted = set(whole["dependencies"]) | set(whole["optional-dependencies"]["onnx"])
    assert set(runtime["dependencies"]) <= wanted


@pytest.mark.slow
def test_the_standalone_script_needs_no_vlmad(exported):
    script, photos = ROOT / "examples/graphs/standalone.py", sorted((exported / "photos").iterdir())
    assert len(script.read_text("utf-8").splitlines()) <= 40
    command = [sys.executable, "-I", script, exported / "nut.onnx", *photos, script]
    done = subprocess.run(command, capture_output=True, text=True)
    told, *lines = done.stdout.splitlines()
    assert told == "nut, see the publisher of the weights, anomalous from 0.5 on"
    assert done.returncode == 1
    assert "not scored" in lines[-1]
    [row] = list(OnnxDetector(exported / "nut.onnx").stream([photos[1]]))
    assert lines[1].startswith(f"{row.score:.4f} ")


@pytest.mark.slow
def test_a_graph_is_compared_on_its_references_where_no_others_are_named(tmp_path):
    """Of which nothing is far from what is remembered: all scores are 0 in torch."""
    good = _photographs(tmp_path / "good", 4)
    fitted = vlmad(
        "fit", good, *SMALL, "--scorer", "nearest", "--out", "n.safetensors", cwd=tmp_path
    )
    assert fitted.returncode == 0, fitted.stderr
    done = vlmad("export", "n.safetensors", "--out", "n.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = vlmad(
        "export", "n.safetensors", "--graph-precision", "int8", "--out", "8.onnx", cwd=tmp_path
    )
    assert "add --images" in done.stderr


def test_a_graph_with_weights_in_other_files_is_refused(tmp_path):
    """Its digest would be the same with other weights."""
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "weights")
    graph = helper.make_graph([], "nothing", [], [], [weights])
    settings = {"save_as_external_data": True, "size_threshold": 0, "location": "other"}
    onnx.save_model(helper.make_model(graph), tmp_path / "nut.onnx", **settings)
    assert (tmp_path / "other").stat().st_size > 16000
    with pytest.raises(WeightsError, match="weights in other files"):
        open_session(tmp_path / "nut.onnx")


def _tensor(**fields):
    return TensorProto(name="w", dims=[1], data_type=TensorProto.FLOAT, **fields)


OUTSIDE = {"external_data": [StringStringEntryProto(key="location", value="other")]}
TENSORS = {
    "named only": lambda tensor: helper.make_graph([], "g", [], [], [tensor]),
    "sparse": lambda tensor: helper.make_graph(
        [], "g", [], [], sparse_initializer=[SparseTensorProto(values=tensor)]
    ),
    "of a node": lambda tensor: helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], []
    ),
    "of an inner graph": lambda tensor: helper.make_graph(
        [helper.make_node("Loop", [], [], body=helper.make_graph([], "b", [], [], [tensor]))],
        *("g", [], []),
    ),
}


@pytest.mark.parametrize("place", TENSORS)
def test_weights_in_other_files_are_found_wherever_a_graph_has_tensors(place, tmp_path):
    path = tmp_path / "nut.pb"  # whatever the file is called
    for fields in (OUTSIDE, {"data_location": TensorProto.EXTERNAL}):
        path.write_bytes(helper.make_model(TENSORS[place](_tensor(**fields))).SerializeToString())
        with pytest.raises(WeightsError, match="weights in other files"):
            check_files(path)
    inside = _tensor(raw_data=b"\x08location" * 4, doc_string="\x08location")
    path.write_bytes(helper.make_model(TENSORS[place](inside)).SerializeToString())
    check_files(path)


def test_lengths_that_are_written_longer_hide_nothing_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "nut.onnx"
    entry = b"\x0a\x88\x00location"  # 8 bytes, said in two
    tensor = b"\x6a" + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    content = b"\x3a" + bytes([len(graph)]) + graph
    path.write_bytes(content)
    assert ModelProto.FromString(content).graph.initializer[0].external_data[0].key == "location"
    with pytest.raises(WeightsError, match="weights in other files"):
        check_files(path)
    for damaged in (b"\x3a\x09abc", b"\x3a\xff", b"\x3b", b"\xff" * 30, b"<net/>"):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="no graph of ONNX"):
            check_files(path)


@pytest.mark.parametrize("content", [b"", b"<net>", b"<net/>", b"\x3a\x00"])
def test_a_file_of_openvino_that_says_nothing_is_refused_before_it_is_opened(content, tmp_path):
    (tmp_path / "nut.xml").write_bytes(content)
    with pytest.raises(WeightsError, match="is no detector"):
        check_files(tmp_path / "nut.xml")


def test_a_threshold_of_torch_does_not_go_along_with_a_graph_of_other_scores():
    good = GoodScores(scores=[0.1, 0.2, 0.3], how="left out")
    assert _threshold(good, Wish()) is not None
    assert _threshold(good, Wish(precision="int8")) is None
    own = Threshold(value=0.4, rule="mine")
    assert _threshold(good, Wish(precision="int8", threshold=own)) is own


def test_images_that_cannot_be_read_choose_no_ranges(tmp_path):
    names = ["image"]
    given = [helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in names]
    model = helper.make_model(helper.make_graph([], "g", given, []))
    (tmp_path / "broken.png").write_bytes(b"no image")
    (_photographs(tmp_path / "photos", 2) / "1.png").rename(tmp_path / "good.png")
    sources = [as_source(tmp_path / name, 0) for name in ("broken.png", "good.png", "gone.png")]
    found = list(_levels(model, [Preprocessing((8, 9), (0,) * 3, (1,) * 3, "bicubic")], sources))
    assert [each["image"].shape for each in found] == [(8, 9, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most"), [("float16", 0.65), ("int8", 0.9)])
def test_less_precision_takes_less_room_and_keeps_the_order(exported, precision, most):
    small = f"{precision}.onnx"
    (exported / "broken.png").write_bytes(b"no image")
    named = ("--images", "broken.png", "--images", "photos")
    more = ("--graph-precision", precision, *named, "--out", small)
    done = vlmad("export", *WINDOWS, *more, cwd=exported)
    assert done.returncode == 0, done.stderr
    assert ("left out: 1 of 5 images" in done.stderr) == (precision == "int8")
    document = ExportedDetector.read((exported / small).with_suffix(".json"))
    assert document.calibrated_on == (4 if precision == "int8" else 0)
    assert all(each.rank_correlation == 1.0 for each in document.parity)
    assert all(each.score > 0 for each in document.parity)
    sizes = [(exported / name).stat().st_size for name in (small, "nut.onnx")]
    assert sizes[0] < most * sizes[1]


@pytest.mark.slow
def test_openvino_has_files_of_its_own_that_belong_together(exported):
    words = ("export", *WINDOWS, "--images", "photos", "--format", "openvino")
    done = vlmad(*words, "--out", "own.xml", cwd=exported)
    assert done.returncode == 0, done.stderr
    [parity] = ExportedDetector.read(exported / "own.json").parity
    assert parity.runtime.startswith("openvino")
    run = ("run", "photos", "--model", "own.xml", "--overlays", "none", "--threshold", "0.1")
    done = vlmad(*run, "--out", "intel", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert [verdict for _, verdict in _verdicts(exported, "intel")] == ["anomalous"] * 4
    weights = exported / "own.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1  # of a number, whose last digit it changes at most
    weights.write_bytes(content)
    done = vlmad(*run, "--out", "other", cwd=exported)
    assert done.returncode == 2
    assert "own.bin does not have the weights of own.xml" in done.stderr
    weights.unlink()
    (exported / "own.json").unlink()
    (exported / "own.xml").unlink()


@pytest.mark.slow
def test_a_program_of_torch_is_compared_and_never_read_again(exported):
    words = ("export", *WINDOWS, "--images", "photos", "--format", "torch")
    done = vlmad(*words, "--out", "own.pt2", cwd=exported)
    assert done.returncode == 0, done.stderr
    document = ExportedDetector.read(exported / "own.json")
    [parity] = document.parity
    assert parity.runtime.startswith("torch")
    assert parity.score < 1e-5
    [given] = document.given
    assert (given.height, given.width, given.interpolation) == (80, 80, "bicubic")
    done = vlmad("run", "photos", "--model", "own.pt2", cwd=exported)
    assert done.returncode == 2
    assert "nothing installed opens files of type '.pt2'" in done.stderr


@pytest.mark.slow
def test_a_graph_that_differs_from_its_detector_is_not_kept(tmp_path):
    photos = _photographs(tmp_path / "photos", 2)
    words = (
        "export",
        "--detector",
        "clip",
        *SMALL,
        *FEW_PATCHES,
        "--images",
        photos,
        "--out",
        "a.onnx",
    )
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
