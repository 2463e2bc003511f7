"""The commands beside ``vlmad run``, and completion as shells ask for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from vlmad.hookspecs import HOOKS
from vlmad.options import options_of
from vlmad.registry import Registry
from vlmad_doctor.health import Check, check_health
from vlmad_openclip.devices import computes_bfloat16

from .conftest import Done, vlmad

SAMPLES = Path(__file__).parents[1] / "examples" / "samples"
CIRCUIT = SAMPLES / "circuit"
CUT = CIRCUIT / "test" / "cut_trace" / "000.png"
PLAIN = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


# vlmad explain


@pytest.mark.slow
def test_explain_writes_a_picture_and_json_names_what_it_cannot_read_and_exits_with_1(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.png").write_text("no image")
    done = vlmad(
        *("explain", CUT, "broken.png", "--class-name", "circuit", "--out", "told", "--top", "2"),
        *("--references", CIRCUIT / "train" / "good", "--shots", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "vlmad: not explained: broken.png: not an image of a known format",
    ]
    assert "1 decided" in done.stdout
    [picture] = (tmp_path / "told").glob("cut_trace_000-*.png")
    with Image.open(picture) as image:
        assert image.format == "PNG"
    document = json.loads(picture.with_suffix(".json").read_text())
    [explanation] = document["explanations"]
    assert explanation["image"] == str(CUT)
    assert len(document["references"]) == 2
    assert len(explanation["findings"]) == 4
    total = sum(part["weight"] * part["value"] for part in explanation["parts"])
    assert total == pytest.approx(explanation["score"], abs=1e-6)
    assert f"{explanation['score']:.3f}  {CUT}" in done.stdout


@pytest.mark.slow
def test_explain_as_json_prints_one_document_and_writes_nothing(tmp_path: Path) -> None:
    done = vlmad("explain", CUT, "--json", "--detector", "comparison", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["detector"]["parts"]["scorer"]["name"] == "max-cosine"
    [explanation] = document["explanations"]
    assert explanation["unit"] == "cosine"
    assert explanation["parts"][0]["place"].keys() == {"left", "top", "right", "bottom"}
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--shots", "2"), "--shots needs --references DIR"),
        (("--resize", "melt"), "resizing takes squash, pad, tiles or tiles:N"),
        (("--scorer", "harmoni"), "did you mean 'harmonic'?"),
        (("--out", "full"), "full exists and is not an empty folder"),
        (("--scorer", "dense", "--references", str(CIRCUIT / "train")), "no use of references"),
    ],
)
def test_explain_refuses_in_one_line_and_writes_nothing(
    words: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    done = vlmad("explain", CUT, *words, cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, done.stderr
    assert expected in lines[0]
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "kept.txt"]


# vlmad doctor


@pytest.mark.slow
def test_doctor_finds_that_vlmad_works_here(tmp_path: Path) -> None:
    done = vlmad("doctor", "--json", cwd=tmp_path, VLMAD_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["works"] is True
    assert checks["vlmad cache"]["details"]["folder"] == str(tmp_path / "cache")
    assert checks["output folder"]["details"]["folder"] == str(tmp_path)
    assert checks["image formats"]["details"]["JPEG"] is True
    assert checks["backbone tiny"]["details"]["at_hand"] == ["embedded"]
    assert checks["libraries"]["details"]["torch"]
    assert 0 <= checks["detection"]["details"]["score"] <= 1
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder no one can write to")
def test_doctor_exits_with_1_and_a_remedy_where_no_file_can_be_written() -> None:
    done = vlmad("doctor", cwd=Path("/proc"))
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = [text for text in done.stdout.splitlines() if text.startswith("wrong ")]
    assert "output folder: /proc: " in line
    assert line.endswith("work in another folder, or give --out FOLDER")
    assert done.stdout.splitlines()[-1] == "wrong: output folder"


@pytest.mark.slow
def test_a_broken_plugin_of_someone_else_is_a_note_with_a_remedy(
    install: Callable[..., Path],
) -> None:
    install("odd-lens", "raise RuntimeError('no licence')")
    checks: dict[str, Check] = {check.name: check for check in check_health()}
    assert checks["plugin odd_lens"].status == "note"
    assert "no licence" in checks["plugin odd_lens"].found
    assert "pip install --upgrade odd-lens" in checks["plugin odd_lens"].remedy
    assert checks["detection"].status == "ok"


@pytest.mark.slow
def test_a_backbone_that_fails_to_tell_what_is_at_hand_stops_no_other_check(
    install: Callable[..., Path],
) -> None:
    source = (
        "import vlmad\n"
        "class Lens:\n"
        "    @staticmethod\n    def at_hand():\n        raise OSError('no drive')\n"
        "@vlmad.hookimpl\n"
        "def register_backbones(register):\n    register('lens', Lens)\n"
    )
    install("lens", source)
    checks = {check.name: check for check in check_health()}
    check = checks["backbone lens"]
    assert check.status == "note"
    assert check.found == "backbone 'lens' of lens 1.0 cannot tell: OSError: no drive"
    assert checks["backbone tiny"].status == "ok"
    assert checks["detection"].status == "ok"


def test_no_device_of_an_unknown_kind_is_said_to_compute_bfloat16() -> None:
    assert computes_bfloat16(torch.device("mps")) is False


@pytest.mark.slow
def test_published_weights_in_the_hubs_cache_are_found(tmp_path: Path) -> None:
    repository = tmp_path / "models--timm--vit_base_patch16_plus_clip_240.laion400m_e31"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    script = "from vlmad_openclip.at_hand import models_at_hand; print(models_at_hand())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**PLAIN, "HF_HUB_CACHE": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "'ViT-B-16-plus-240/laion400m_e31'" in done.stdout, done.stderr


# completion

ASKING = """
import os, sys
os.environ.update(_VLMAD_COMPLETE="complete_bash", COMP_WORDS={words!r}, COMP_CWORD={index!r})
sys.argv = ["vlmad"]
from vlmad.cli import main
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules, file=sys.stderr)
"""


def completed(words: str) -> list[str]:
    """Ask as bash does what the last word may become, and check that torch stays out of it."""
    script = ASKING.format(words=words, index=str(words.count(" ")))
    done = subprocess.run(
        [sys.executable, "-c", script], env=PLAIN, capture_output=True, text=True, timeout=300
    )
    assert done.stderr.strip() == "False"
    return done.stdout.split()


@pytest.mark.slow
def test_the_names_of_parts_are_completed_from_the_registry_without_torch(
    registry: Registry,
) -> None:
    assert completed("vlmad explain --scorer h") == ["harmonic"]
    assert completed("vlmad explain --prompt ") == registry.names("prompts")
    assert completed("vlmad explain --resize p") == ["pad"]
    assert set(completed("vlmad describe win")) == {"window", "winclip"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_can_be_installed_into_bash_and_is_then_known_there(tmp_path: Path) -> None:
    def bash(script: str) -> Done:
        return subprocess.run(
            ["bash", "-c", f"{script}; true"],  # the last word keeps bash the caller's parent
            env={**PLAIN, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    installed = bash(f"'{sys.executable}' -m vlmad --install-completion")
    assert "bash completion installed" in installed.stdout, installed.stderr
    known = bash("source ~/.bashrc; complete -p vlmad")
    assert "_vlmad_completion vlmad" in known.stdout, known.stderr
    assert {"--install-completion", "--show-completion"} <= set(completed("vlmad --"))


# plugins and describe as JSON


def test_plugins_as_json_holds_every_registration_and_plugin(
    registry: Registry, tmp_path: Path
) -> None:
    done = vlmad("plugins", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document.keys() == {"registered", "plugins", "clashes"}
    expected = {(kind, r.name) for kind in HOOKS for r in registry.of_kind(kind)}
    assert {(row["kind"], row["name"]) for row in document["registered"]} == expected
    assert {p["name"]: p["status"] for p in document["plugins"]}["winclip"] == "ok"


def test_describe_as_json_holds_options_with_types_and_defaults(
    registry: Registry, tmp_path: Path
) -> None:
    [part] = json.loads(vlmad("describe", "scorer:harmonic", "--json", cwd=tmp_path).stdout)[
        "described"
    ]
    options = options_of(registry.get("scorer", "harmonic").resolve())
    assert {option["name"]: option["default"] for option in part["options"]} == {
        name: option.default for name, option in options.items()
    }
    assert part["needs"] == ["class token", "regions", "text"]
    assert part["recipe"] is None


def test_describe_as_json_tells_the_parts_of_a_recipe(tmp_path: Path) -> None:
    [found] = json.loads(vlmad("describe", "comparison", "--json", cwd=tmp_path).stdout)[
        "described"
    ]
    assert found["recipe"]["parts"]["scorer"] == "max-cosine"
    assert found["recipe"]["options"]["extractor"] == {"scales": [2, 3, 5]}


def test_describe_shows_the_help_of_a_command_that_is_a_typer_app(tmp_path: Path) -> None:
    done = vlmad("describe", "command:prompts", cwd=tmp_path)
    assert "Import learned prompts and look at them." in done.stdout
    assert "Typer" not in done.stdout
