"""What the page on data sets shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..conftest import vlmad  # noqa: TID252 (tests are no package)

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "datasets.md").read_text(encoding="utf-8")
IN_PYTHON, READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_lines_of_python_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    exec(IN_PYTHON, {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 9
    assert all(line.startswith("examples/samples/cloth/test/") for line in printed)


def test_the_reader_reads(tmp_path: Path, draw) -> None:
    names: dict[str, type] = {}
    exec(READER, names)
    draw("belt/1.jpg")
    draw("belt/rejects/2.jpg")
    (tmp_path / "belt/belt.ini").write_text("")
    belt = names["Belt"](tmp_path / "belt")
    assert belt.recognises(tmp_path / "belt")
    assert not belt.recognises(tmp_path)
    assert [sample.defect for sample in belt.read().samples] == ["good", "reject"]


def test_the_output_of_the_command_is_its_output() -> None:
    shown = re.search(r"```\n\$ vlmad (.*?)\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    done = vlmad(*shown[1].split(), cwd=REPOSITORY, COLUMNS="80")  # as without a terminal
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert printed == shown[2].splitlines()


def test_every_reader_and_every_severity_is_on_the_page(registry) -> None:
    for name in [*registry.names("dataset"), "fatal", "warning", "note"]:
        assert re.search(rf"^\| `?{name}`? \|", PAGE, re.MULTILINE), name
