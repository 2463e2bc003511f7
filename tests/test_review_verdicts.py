"""Tables of verdicts on the images of a run, as people and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmad.errors import InputError
from vlmad_datasets.sides import ANOMALOUS_WORDS, NORMAL_WORDS, side_of
from vlmad_datasets.tabular import read_rows
from vlmad_groups.part_rows import PartRow
from vlmad_review._verdicts import UNDECIDED, read_verdicts, write_blank
from vlmad_run.csv_cells import csv_line
from vlmad_run.identity import Identity
from vlmad_run.manifest import Manifest
from vlmad_run.rows import ScoreRow, to_line
from vlmad_run.stored_run import StoredRun

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
WORDS = dict.fromkeys(NORMAL_WORDS, "normal") | dict.fromkeys(ANOMALOUS_WORDS, "anomalous")
IMAGES = ("line 1/000.png", "line 2/000.png", "line 2/001.png", "lone.png")


def stored(folder: Path, *rows: ScoreRow) -> StoredRun:
    """Write the rows of a run whose command was given in the folder above."""
    folder.mkdir()
    (folder / "scores.jsonl").write_bytes(b"".join(map(to_line, rows)))
    identity = Identity.model_construct(threshold=None)
    return StoredRun(folder, Manifest.model_construct(identity=identity, folder=str(folder.parent)))


def scored(name: str, index: int) -> ScoreRow:
    return ScoreRow(
        image=name,
        score=index / 10,
        sha256=f"{index:064x}",
        map=f"maps/{index}.png",
        map_low=0.0,
        map_high=1.0,
        overlay=f"overlays/{index}.png",
    )


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    """A run of four images, two of them of one file name; a fifth could not be scored."""
    broken = ScoreRow(image="broken.png", status="failed", reason="broken.png: the file is empty")
    return stored(tmp_path / "run", *(scored(n, i) for i, n in enumerate(IMAGES)), broken)


def table(run: StoredRun, *rows: Sequence[str], delimiter: str = ",") -> Path:
    path = run.folder / "verdicts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def judged(path: Path, run: StoredRun) -> dict[str, str]:
    return {each.row.image: each.verdict for each in read_verdicts(path, run)[0]}


def refusal(path: Path, run: StoredRun) -> str:
    with pytest.raises(InputError) as error:
        read_verdicts(path, run)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_part_that_is_good_stands_for_all_its_views(run: StoredRun, tmp_path: Path) -> None:
    views = [["line 1/000.png", "line 2/001.png"], ["line 2/000.png"]]
    rows = [
        PartRow(part=f"{n}", verdict="ok", status="whole", views=v) for n, v in enumerate(views)
    ]
    (run.folder / "parts.jsonl").write_bytes(b"".join(row.to_json(indent=None) for row in rows))
    path = table(run, ("image", "verdict"), ("0", "ok"), ("1", "ng"), ("lone.png", "ng"))
    found, wrong = read_verdicts(path, run)
    assert {each.row.image: each.verdict for each in found} == {
        **dict.fromkeys(views[0], "normal"),
        "lone.png": "anomalous",
    }
    assert wrong == [f"{path} line 3: 1 is a part: name the views that show a defect"]
    write_blank(run, tmp_path / "todo.csv")
    with (tmp_path / "todo.csv").open(newline="") as file:
        listed = [(row["part"], row["image"]) for row in csv.DictReader(file)]
    assert listed == [
        ("", "lone.png"),
        ("0", "line 2/001.png"),
        ("0", "line 1/000.png"),
        ("1", "line 2/000.png"),
    ]


@REUSE
@given(
    words=st.lists(st.sampled_from([*WORDS, *UNDECIDED]), min_size=4, max_size=4),
    write=st.sampled_from((str.lower, str.upper, str.title, " {} ".format, "{}\t".format)),
    gap=st.sampled_from(" _-"),
    delimiter=st.sampled_from(",;\t"),
    columns=st.sampled_from([("image", "verdict"), ("File", "My_Verdict"), ("PATH", "label")]),
)
def test_every_word_of_either_side_is_understood_however_it_is_written(
    run: StoredRun, words: list[str], write, gap: str, delimiter: str, columns: tuple[str, str]
) -> None:
    written = [write(word.replace(" ", gap) if word in WORDS else word) for word in words]
    path = table(run, columns, *zip(IMAGES, written, strict=True), delimiter=delimiter)
    found = {name: WORDS[w] for name, w in zip(IMAGES, words, strict=True) if w in WORDS}
    if found:
        assert judged(path, run) == found
    else:
        assert "holds no verdict yet" in refusal(path, run)


@REUSE
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12))
def test_any_text_is_a_verdict_or_is_refused_with_its_line(run: StoredRun, word: str) -> None:
    path = table(run, ("image", "verdict"), ("lone.png", "?"), (IMAGES[0], word))
    if side_of(word):
        assert judged(path, run) == {IMAGES[0]: side_of(word)}
    else:
        assert refusal(path, run).startswith((f"{path} line 3: ", f"{path} holds no verdict yet"))


@pytest.mark.parametrize("word", ["1", "0", "yes", "true", "maybe"])
def test_words_that_may_mean_either_side_are_refused(run: StoredRun, word: str) -> None:
    path = table(run, ("image", "verdict"), ("lone.png", "ok"), ("lone.png", word))
    why = f"{path} line 3: '{word}' is no verdict: write normal or anomalous, or leave it empty"
    assert read_verdicts(path, run)[1] == [why]
    path = table(run, ("image", "verdict"), ("lone.png", "?"), ("lone.png", word))
    assert refusal(path, run) == why


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("line 1/000.png", "line 1/000.png"),
        ("./line 1/000.png", "line 1/000.png"),
        ("line 1\\000.png", "line 1/000.png"),
        ("001.png", "line 2/001.png"),
        ("lone.png", "lone.png"),
        ("{folder}/lone.png", "lone.png"),
        ('"Z:\\photos\\line 2\\000.png"', "line 2/000.png"),  # of another machine
        ("/mnt/x/line 1/000.png", "line 1/000.png"),
    ],
)
def test_an_image_is_known_by_its_path_or_by_the_end_of_one(
    run: StoredRun, name: str, found: str
) -> None:
    path = table(run, ("image", "verdict"), (name.format(folder=run.folder.parent), "ok"))
    assert list(judged(path, run)) == [found]


def test_an_image_is_known_by_its_content(run: StoredRun) -> None:
    rows = (("", "ng", f"{1:064X}"), (IMAGES[2], "ng", f"{2:064x}"))
    path = table(run, ("image", "verdict", "sha256"), *rows)
    assert list(judged(path, run)) == [IMAGES[1], IMAGES[2]]


def test_a_file_that_is_here_is_no_image_of_the_run_by_the_end_of_its_path(
    run: StoredRun, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "lone.png"
    other.parent.mkdir()
    other.touch()
    path = table(run, ("image", "verdict"), (str(other), "ok"))
    assert "is not among the images of the run: see its scores.csv" in refusal(path, run)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("000.png", "ok", ""), "000.png may be line 1/000.png or line 2/000.png: give its path"),
        (("none.png", "ok", ""), "none.png is not among the images of the run"),
        (("broken.png", "ok", ""), "broken.png was not scored by the run"),
        (("", "ok", ""), "it names no image"),
        (("lone.png", "ok", "0" * 64), "lone.png had another SHA-256 when the run scored it"),
        (("lone.png", "ok"), "2 fields, but 3 columns"),
        (("lone.png", "=1+1\x1b[2J", ""), "'=1+1\\x1b[2J' is no verdict"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line_and_the_others_are_used(
    run: StoredRun, row: Sequence[str], reason: str
) -> None:
    path = table(run, ("image", "verdict", "sha256"), (IMAGES[2], "ok", ""), row)
    [judgement], [wrong] = read_verdicts(path, run)
    assert (judgement.row.image, judgement.line) == (IMAGES[2], 2)
    assert wrong.startswith(f"{path} line 3: {reason}")


def test_a_table_that_contradicts_itself_is_refused_with_both_lines(run: StoredRun) -> None:
    rows = (("lone.png", "ok"), ("lone.png", "defect"), ("x.png", "ok"), ("lone.png", "ng"))
    path = table(run, ("image", "verdict"), *rows)
    assert refusal(path, run) == (
        f"{path} line 3: lone.png is anomalous here and normal in line 2: keep one of the two "
        "(and lines 5)"
    )


def test_a_table_of_which_no_line_can_be_used_is_refused_with_all_of_them(run: StoredRun) -> None:
    path = table(run, ("image", "verdict"), ("x.png", "ok"), ("lone.png", ""), ("lone.png", "hm"))
    assert refusal(path, run) == (
        f"{path} line 2: x.png is not among the images of the run: see its scores.csv (and lines 4)"
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (("image", "score"), "has no column 'verdict'; it needs 'image' and 'verdict'"),
        (("score", "verdict"), "has no column 'image' (or 'sha256')"),
        (("image", "verdict", "label"), "'verdict' or 'label' may be the verdict: keep one"),
        (("image", "path", "verdict"), "'image' or 'path' may be the image: keep one"),
    ],
)
def test_columns_that_are_missing_or_may_be_confused_are_refused(
    run: StoredRun, header: Sequence[str], reason: str
) -> None:
    assert reason in refusal(table(run, header, ["x"] * len(header)), run)


TABLE = 'image,verdict,comment\nline 1/000.png,NOK,"a, b"\nlone.png,Ok,\n'


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace('"a, b"', "a").replace(",", "\t").encode("utf-16"),
        TABLE.replace("a, b", "a b").replace(",", ";").encode("utf-16"),
        TABLE.replace("comment\n", "comment,,\n").replace(",\n", ",,,\n").encode(),
    ],
    ids=["bom", "tabs", "semicolons", "trailing"],
)
def test_tables_of_spreadsheets_are_read_in_every_encoding_and_form(
    run: StoredRun, content: bytes
) -> None:
    path = run.folder / "verdicts.csv"
    path.write_bytes(content)
    assert judged(path, run) == {"line 1/000.png": "anomalous", "lone.png": "normal"}


def test_no_cell_of_the_table_to_fill_in_is_a_formula_and_it_is_read_back(tmp_path: Path) -> None:
    names = ("=cmd|' C'!A0.png", "+1.png", "-2.png", "@x/y.png")
    run = stored(tmp_path / "run", *(scored(name, n) for n, name in enumerate(names)))
    blank = tmp_path / "todo.csv"
    assert write_blank(run, blank) == 4
    with blank.open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    blank.write_text(blank.read_text().replace(".png,,", ".png,ng,"))
    assert set(judged(blank, run)) == set(names)


def test_any_name_that_a_file_can_have_is_written_and_read_back(tmp_path: Path) -> None:
    names = (
        *(" lead.png", "trail.png ", "A.png", "a.png", "a.png.", "two\nlines.png"),
        *("\u00e9.png", "e\u0301.png", "c\rd.png", "a\\b.png", 'a,b;"c".png', "\u202egnp.png"),
        *("t\udcfcr.png", "\u00fc" * 125, "\ty.png", "'=z.png", "$x.png", "~.png", "#1.png"),
    )
    run = stored(tmp_path / "run", *(scored(name, n) for n, name in enumerate(names)))
    blank = tmp_path / "todo.csv"
    write_blank(run, blank)
    rows = read_rows(blank).rows
    assert len(rows) == len(names)
    with blank.open("wb") as file:
        file.write(csv_line(["image", "verdict", "sha256"]))
        for row in rows:
            file.write(csv_line([row.fields["image"], "ok", row.fields["sha256"]]))
    assert set(judged(blank, run)) == set(names)


def test_a_name_that_is_no_text_is_found_as_the_table_of_the_run_has_it(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", scored("t\udcfcr.png", 0), scored("x/r\udcf6t.png", 1))
    path = table(run, ("image", "verdict"), ("t\\udcfcr.png", "ok"), ("r\\udcf6t.png", "ng"))
    assert set(judged(path, run)) == {"t\udcfcr.png", "x/r\udcf6t.png"}
