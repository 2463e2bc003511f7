"""Files of learned tensors from strangers, through every door: refused in one line, nothing run."""

from __future__ import annotations

import functools
import importlib
import io
import os
import pickle
import re
import runpy
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vlmad import load_detector
from vlmad.errors import InputError, WeightsError
from vlmad.testing import TWO_LAYERS as TWO
from vlmad_anomalyclip._official_checkpoint import convert_checkpoint
from vlmad_documents.learned_file import read_learned
from vlmad_openclip.checkpoint import read_checkpoint, read_weights
from vlmad_run.fitted import load_fitted

RANDOM = {"backbone": {"weights": "random:0"}}
GOLDEN = Path(__file__).parent / "golden" / "anomalyclip" / "epoch_15.pth"


class Calling:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def callers(witness: Path) -> dict[str, Calling]:
    """Return what would leave a trace, by different ways, and what would do other harm."""
    script = witness.with_name("evil.py")
    script.write_text(f"import os; os.mkdir({str(witness)!r})")
    return {
        "mkdir": Calling(os.mkdir, str(witness)),
        "system": Calling(os.system, f"mkdir {witness}"),
        "eval": Calling(eval, f"__import__('os').mkdir({str(witness)!r})"),
        "exec": Calling(exec, f"import os; os.mkdir({str(witness)!r})"),
        "popen": Calling(subprocess.Popen, ["mkdir", str(witness)]),
        "script": Calling(runpy.run_path, str(script)),
        "module": Calling(importlib.import_module, "antigravity"),
        "partial": Calling(functools.partial, os.mkdir, str(witness)),
        "open": Calling(open, str(witness), "w"),
        "load": Calling(torch.load, str(script)),
        "hub": Calling(torch.hub.load, "some/where", "model"),
    }


def official(**change: Any) -> dict[str, Any]:
    """Return what an official checkpoint holds, some of it changed."""
    learner = torch.load(GOLDEN, weights_only=True)["prompt_learner"]
    return {"prompt_learner": {**learner, **change}}


def refused(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        read(path)
    said = str(error.value)
    assert path.name in said
    assert "\n" not in said
    assert len(said) < 600 + len(str(path))
    return said


def as_backbone(path: Path) -> object:
    return read_weights(path)


def as_prompts(path: Path) -> object:
    return load_detector("anomalyclip", prompts=f"learned:{path}")


def as_context(path: Path) -> object:
    return load_detector("coop", prompts=f"coop:{path}")


def as_maps(path: Path) -> object:
    return load_detector("april-gan", extractor=f"projected:{path}")


def as_fitted(path: Path) -> object:
    return load_fitted(path, {})


DOORS = (convert_checkpoint, read_learned, as_prompts, as_context, as_maps, as_backbone, as_fitted)


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "legacy"])
@pytest.mark.parametrize("place", ["whole", "inside", "beside"])
def test_nothing_in_a_checkpoint_is_called(zipped: bool, place: str, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    for name, caller in callers(witness).items():
        table = {"whole": caller, "inside": official(ctx_pos=caller)}.get(place)
        path = tmp_path / f"{name}.pth"
        torch.save(
            table or {**official(), "x": caller}, path, _use_new_zipfile_serialization=zipped
        )
        assert "it wants to call" in refused(convert_checkpoint, path)
        assert not witness.exists(), name


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_nothing_in_a_pickle_is_called_whatever_it_is_given_for(
    door: Callable[[Path], object], suffix: str, tmp_path: Path
) -> None:
    witness = tmp_path / "ran"
    for name, caller in callers(witness).items():
        bare, archive = tmp_path / f"bare-{name}{suffix}", tmp_path / f"zip-{name}{suffix}"
        bare.write_bytes(pickle.dumps(caller, protocol=2))
        torch.save(caller, archive)
        refused(door, bare)
        refused(door, archive)
        assert not witness.exists(), name


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "none", "empty", "text", "zeros", "link"])
def test_what_is_no_such_file_is_refused_at_once(
    door: Callable[[Path], object], kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.safetensors"
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "none": lambda: None,
        "empty": path.touch,
        "text": lambda: path.write_text("no tensors"),
        "zeros": lambda: path.write_bytes(bytes(4096)),
        "link": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    refused(door, path)


def one(*shape: int) -> torch.Tensor:
    """Return a tensor that is a single number in a file, and more than a machine has in memory."""
    return torch.zeros(1).expand(*shape)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ctx_pos": one(1, 1, 10**9, 768)}, "not all in the file"),
        ({"compound_prompts_text.0": one(10**8, 10**6)}, "not all in the file"),
        ({"tokenized_prompts_pos": one(1, 10**12)}, "not all in the file"),
        ({"unused": [{"deep": (one(10**15),)}]}, "not all in the file"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 64, device="meta")}, "not all in the file"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 64).to_sparse()}, "not all in the file"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 64, dtype=torch.complex64)}, "complex64"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 64, dtype=torch.bool)}, "bool"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 64).to(torch.float8_e5m2)}, "float8"),
        ({"ctx_pos": torch.full((1, 1, 12, 64), float("nan"))}, "no finite number"),
        ({"ctx_pos": torch.zeros(1, 1, 12, 65)}, r"must be of shape \(vectors, 64\)|one shape"),
        ({"ctx_pos": torch.zeros(1, 1, 13, 64)}, "does not give its token ids"),
        ({"ctx_pos": torch.zeros(())}, "one context of vectors"),
        ({"ctx_pos": torch.zeros(5)}, "one context of vectors"),
        ({"ctx_pos": torch.zeros(2, 3, 12, 64)}, "one context of vectors"),
        ({"ctx_pos": torch.zeros(1, 1, 0, 64)}, "does not give its token ids|is empty"),
        ({"ctx_pos": torch.zeros(1, 1, 2000, 1000)}, "2000000 numbers, more than any"),
        ({"tokenized_prompts_neg": torch.full((1, 77), -5)}, "does not give its token ids"),
        ({"compound_prompts_text.0": torch.zeros(())}, r"'deep\.1' is no learned tensor"),
        ({"compound_prompts_text.0": torch.zeros(2, 2, 64)}, r"'deep\.1' must be of shape"),
        ({"compound_prompts_text.0": torch.zeros(0, 64)}, r"'deep\.1' is empty"),
        ({"compound_prompts_text.0": None}, "'compound_prompts_text.0' is missing"),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex")
def test_tensors_that_no_prompts_have_are_refused_by_the_import(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    torch.save(official(**change), tmp_path / "odd.pth")
    assert re.search(reason, refused(convert_checkpoint, tmp_path / "odd.pth"))


def test_names_that_stand_for_no_block_are_passed_over(tmp_path: Path) -> None:
    names = ("9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "-1", "00", "1.0", "", "999")
    odd = {f"compound_prompts_text.{name}": torch.zeros(4, 64) for name in names}
    torch.save(official(**odd), tmp_path / "odd.pth")
    tensors, _ = convert_checkpoint(tmp_path / "odd.pth")
    assert tensors.keys() == convert_checkpoint(GOLDEN)[0].keys()


def test_what_holds_itself_ends(tmp_path: Path) -> None:
    table: dict[str, Any] = official()
    table["self"], table["many"] = table, [[]]
    for _ in range(60):  # of which 2 to the 60 would be seen by whoever looks twice
        table["many"] = [table["many"], table["many"]]
    torch.save(table, tmp_path / "loop.pth")
    assert convert_checkpoint(tmp_path / "loop.pth")[0]


def repacked(path: Path, compression: int, **change: bytes) -> Path:
    """Write an archive anew, entries changed or added."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(entries)).partition("/")[0]
    entries |= {f"{root}/{name}": content for name, content in change.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_archives_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        torch.save(official(), tmp_path / name)
        return tmp_path / name

    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    deep = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
    huge = b"\x80\x02c__builtin__\nbytearray\n\x8a\x06" + b"\0\0\0\0\0@" + b"\x85R."
    for path, reason in (
        (repacked(fresh("noise"), stored, **{"data.pkl": os.urandom(999)}), "tensors only"),
        (repacked(fresh("none"), stored, **{"data.pkl": b""}), "no whole checkpoint"),
        (repacked(fresh("deep"), stored, **{"data.pkl": deep}), "no 'prompt_learner'"),
        (repacked(fresh("huge"), stored, **{"data.pkl": huge}), "tensors only"),
        (
            repacked(fresh("bomb"), deflated, **{"data/0": bytes(64 << 20)}),
            "far more than",
        ),
        (repacked(fresh("script"), stored, **{"code/x.py": b"", "constants.pkl": b""}), "Script"),
    ):
        assert reason in refused(convert_checkpoint, path)
    cut = fresh("cut")
    cut.write_bytes(cut.read_bytes()[:-2000])
    refused(convert_checkpoint, cut)


def test_archives_of_former_times_are_refused(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Calling(os.mkdir, str(witness)))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    refused(convert_checkpoint, tmp_path / "old.pth")
    assert not witness.exists()


def test_a_checkpoint_that_was_only_packed_anew_is_read(tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "good.pth")
    path = repacked(tmp_path / "good.pth", zipfile.ZIP_DEFLATED)
    assert read_checkpoint(path)["prompt_learner"].keys() == official()["prompt_learner"].keys()


@pytest.mark.slow
def test_a_malicious_pickle_is_refused_by_every_command(
    tmp_path: Path, photos: Path, command: Any
) -> None:
    witness = tmp_path / "ran"
    torch.save(official(ctx_pos=Calling(os.mkdir, str(witness))), tmp_path / "evil.pth")
    (tmp_path / "evil.toml").write_text(
        'detector = "anomalyclip"\n[options.prompts]\nfile = "evil.pth"\n', encoding="utf-8"
    )
    for words in (
        ("prompts", "import", "evil.pth"),
        ("prompts", "show", "evil.pth"),
        ("run", photos, "--detector", "anomalyclip", "--prompt", "learned:evil.pth"),
        ("run", photos, "--detector", "hybrid", "--set", "prompts.file=evil.pth"),
        ("run", photos, "--detector", "evil.toml"),
        ("run", photos, "--model", "evil.pth"),
        ("run", photos, "--prompt", "coop:evil.pth"),
        ("run", photos, "--detector", "april-gan", "--extractor", "projected:evil.pth"),
        ("train", photos, "--prompt", "learned:evil.pth", "--extractor", "dense"),
        ("run", photos, "--backbone", "openclip", "--set", "backbone.weights=evil.pth"),
        ("grid", photos, "--prompt", "learned:evil.pth", "--extractor", "dense"),
        ("fit", photos, "--detector", "anomalyclip", "--prompt", "learned:evil.pth"),
        ("explain", photos / "0000.png", "--prompt", "learned:evil.pth"),
    ):
        ended = command(*words)
        assert ended.status == 2, words
        assert ended.error.count("\n") <= 3, ended.error
        assert not witness.exists()
    assert not (tmp_path / "evil.safetensors").exists()


def test_nothing_is_written_where_the_import_is_refused(tmp_path: Path, command: Any) -> None:
    torch.save(official(ctx_pos=torch.full((1, 1, 12, 64), float("inf"))), tmp_path / "inf.pth")
    assert command("prompts", "import", "inf.pth").status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inf.pth"]


def test_learned_prompts_that_are_longer_than_any_sentence_are_refused(tmp_path: Path) -> None:
    tensors = {"context.normal": torch.ones(3, 48), "context.anomalous": torch.ones(3, 48)}
    texts = {"template.normal": "X X X a.", "template.anomalous": "X X X b."}
    save_file({**tensors, "deep.1": torch.ones(500, 48)}, tmp_path / "deep", texts)
    detector = load_detector(
        "hybrid", prompts=f"learned:{tmp_path / 'deep'}", backbone=f"openclip:{TWO}", options=RANDOM
    )
    with pytest.raises(InputError, match="500 learned tokens and the first are more than the 77"):
        detector.text()
