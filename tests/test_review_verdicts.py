"""Tables of verdicts on the images of a run, as people and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmad.errors import InputError
from vlmad_review.asking import write_blank
from vlmad_review.verdicts import UNDECIDED, WORDS, read_verdicts
from vlmad_run.repeating import Earlier
from vlmad_run.rows import Row, to_line

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
IMAGES = ("line 1/000.png", "line 2/000.png", "line 2/001.png", "lone.png")


@pytest.fixture
def earlier(tmp_path: Path) -> Earlier:
    """A run of four images, two of them of one file name; a fifth could not be scored."""
    folder = tmp_path / "run"
    folder.mkdir()
    rows = [
        Row(
            name,
            score=index / 10,
            sha256=f"{index:064x}",
            map=f"maps/{index}.png",
            map_low=0.0,
            map_high=1.0,
            overlay=f"overlays/{index}.png",
        )
        for index, name in enumerate(IMAGES)
    ]
    rows.append(Row("broken.png", status="failed", reason="broken.png: the file is empty"))
    (folder / "scores.jsonl").write_bytes(b"".join(map(to_line, rows)))
    return Earlier(folder, {"identity": {}, "folder": str(tmp_path)})


def table(folder: Path, *rows: Sequence[str], delimiter: str = ",") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    path = folder / "verdicts.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def refused(path: Path, earlier: Earlier) -> str:
    with pytest.raises(InputError) as error:
        read_verdicts(path, earlier)
    assert "\n" not in str(error.value)
    return str(error.value)


SPELLINGS = (str.lower, str.upper, str.title, lambda word: f"  {word} ", lambda w: f"{w}\t")


@REUSE
@given(
    said=st.lists(
        st.tuples(
            st.sampled_from(IMAGES),
            st.sampled_from([*WORDS, *UNDECIDED]),
            st.sampled_from(SPELLINGS),
            st.sampled_from((" ", "_", "-")),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda row: row[0],
    ),
    delimiter=st.sampled_from(",;\t"),
    columns=st.sampled_from([("image", "verdict"), ("File", "My_Verdict"), ("PATH", "label")]),
)
def test_every_word_of_either_side_is_understood_however_it_is_written(
    earlier: Earlier, said: Any, delimiter: str, columns: tuple[str, str]
) -> None:
    rows = [
        (image, write(word.replace(" ", gap) if word in WORDS else word))
        for image, word, write, gap in said
    ]
    path = table(earlier.folder, columns, *rows, delimiter=delimiter)
    expected = {image: WORDS[word] for image, word, _, _ in said if word in WORDS}
    if not expected:
        assert "holds no verdict yet" in refused(path, earlier)
        return
    found = read_verdicts(path, earlier)
    assert {judged.row.image: judged.verdict for judged in found.judged} == expected
    assert found.undecided == len(said) - len(expected)


@REUSE
@given(
    word=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12),
    before=st.integers(0, 3),
)
def test_any_text_is_a_verdict_or_is_refused_with_its_line(
    earlier: Earlier, word: str, before: int
) -> None:
    blank = [("lone.png", "?")] * before
    path = table(earlier.folder, ("image", "verdict"), *blank, (IMAGES[0], word))
    outcome = ""
    try:
        outcome = read_verdicts(path, earlier).judged[0].verdict
    except InputError as error:
        outcome = str(error)
    refusals = (f"{path} line {before + 2}: ", f"{path} holds no verdict yet")
    assert outcome in ("normal", "anomalous") or outcome.startswith(refusals)


@pytest.mark.parametrize("word", ["1", "0", "yes", "true", "maybe"])
def test_words_that_may_mean_either_side_are_refused(earlier: Earlier, word: str) -> None:
    path = table(earlier.folder, ("image", "verdict"), ("lone.png", "ok"), ("lone.png", word))
    said = refused(path, earlier)
    assert said == (
        f"{path} line 3: '{word}' is no verdict: write normal or anomalous, or leave it empty"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("line 1/000.png", "line 1/000.png"),
        ("./line 1/000.png", "line 1/000.png"),
        ("line 1\\000.png", "line 1/000.png"),
        ("001.png", "line 2/001.png"),
        ("lone.png", "lone.png"),
    ],
)
def test_an_image_is_known_by_its_path_or_by_a_file_name_of_its_own(
    earlier: Earlier, name: str, expected: str
) -> None:
    [judged] = read_verdicts(
        table(earlier.folder, ("image", "verdict"), (name, "ok")), earlier
    ).judged
    assert judged.row.image == expected


def test_an_image_is_known_by_its_whole_path_and_by_its_content(
    earlier: Earlier, tmp_path: Path
) -> None:
    path = table(
        earlier.folder,
        ("image", "verdict", "sha256"),
        (str(tmp_path / "lone.png"), "ok", ""),
        ("", "ng", f"{1:064X}"),
        (IMAGES[2], "ng", f"{2:064x}"),
    )
    found = read_verdicts(path, earlier)
    assert [judged.row.image for judged in found.judged] == ["lone.png", IMAGES[1], IMAGES[2]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("000.png", "ok", ""), "000.png may be line 1/000.png or line 2/000.png: give its path"),
        (("none.png", "ok", ""), "none.png is not among the images of the run"),
        (("broken.png", "ok", ""), "broken.png was not scored by the run"),
        (("", "ok", ""), "it names no image"),
        (("lone.png", "ok", "abc"), "'abc' is no SHA-256"),
        (("lone.png", "ok", "0" * 64), "lone.png had another SHA-256 when the run scored it"),
        (("lone.png", "ok"), "2 fields, but 3 columns"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(
    earlier: Earlier, row: Sequence[str], reason: str
) -> None:
    path = table(earlier.folder, ("image", "verdict", "sha256"), (IMAGES[2], "ok", ""), row)
    assert refused(path, earlier).startswith(f"{path} line 3: {reason}")


def test_all_bad_lines_are_named_and_contradictions_with_both_lines(earlier: Earlier) -> None:
    path = table(
        earlier.folder,
        ("image", "verdict"),
        *(("lone.png", "ok"), ("lone.png", "defect"), ("x.png", "ok"), ("lone.png", "hm")),
    )
    assert refused(path, earlier) == (
        f"{path} line 3: lone.png is anomalous here and normal in line 2: keep one of the two "
        "(and lines 4, 5)"
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
    earlier: Earlier, header: Sequence[str], reason: str
) -> None:
    assert reason in refused(table(earlier.folder, header, ["x"] * len(header)), earlier)


# as spreadsheets write them

TABLE = 'image,verdict,comment\nline 1/000.png,NOK,"a, b"\nlone.png,Ok,\n'
EXPECTED = {"line 1/000.png": "anomalous", "lone.png": "normal"}


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        codecs.BOM_UTF8 + TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("a, b", "a b").replace(",", ";").encode("utf-8-sig"),
        TABLE.replace('"a, b"', "a").replace(",", "\t").encode("utf-16"),
        codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"),
        ("sep=;\r\n" + TABLE.replace("a, b", "a b").replace(",", ";")).encode("utf-16"),
        TABLE.replace("comment\n", "comment,,\n").replace(",\n", ",,,\n").encode(),
        TABLE.replace("NOK", "NoK").replace("Ok", "OK").replace("verdict", "VERDICT").encode(),
        TABLE.replace("line 1/", '"""line 1\\').replace(".png,NOK", '.png""",NOK').encode(),
    ],
    ids=["plain", "bom", "semicolons", "tabs", "utf16", "sep", "trailing", "case", "quotes"],
)
def test_tables_of_spreadsheets_are_read_in_every_encoding_and_form(
    earlier: Earlier, content: bytes
) -> None:
    path = earlier.folder / "verdicts.csv"
    path.write_bytes(content)
    found = read_verdicts(path, earlier).judged
    assert {judged.row.image: judged.verdict for judged in found} == EXPECTED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the table is empty; its first line names the columns"),
        (b"image,verdict\n", "holds no verdict yet"),
        ("image,verdict\nm\xfcller.png,ok\n".encode("cp1252"), "line 2: not UTF-8; .* CSV UTF-8"),
        (codecs.BOM_UTF16_LE + b"i", "not UTF-8"),
        (b"image,verdict\nlone.png,=1+1\x1b[2J\n", r"line 2: '=1\+1\\x1b\[2J' is no verdict"),
        (b"image,verdict\nlone.png," + b"x" * 500 + b"\n", "'x{80}\u2026' is no verdict"),
        (b"image,verdict\nLONE.PNG,ok\n", "if lone.png is meant, give that path"),
        (b"image,verdict\n/other/lone2.png,ok\n", "/other/lone2.png is not among .* scores.csv"),
    ],
)
def test_a_table_that_says_nothing_sure_is_refused_in_words(
    earlier: Earlier, content: bytes, reason: str
) -> None:
    path = earlier.folder / "verdicts.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_verdicts(path, earlier)


def test_the_path_of_another_machine_is_known_by_the_whole_name_of_the_run(
    earlier: Earlier, tmp_path: Path
) -> None:
    foreign = ("Z:\\photos\\line 2\\000.png", "/mnt/x/line 1/000.png")
    rows = [(name, "ok") for name in foreign]
    found = read_verdicts(table(earlier.folder, ("image", "verdict"), *rows), earlier).judged
    assert [judged.row.image for judged in found] == ["line 2/000.png", "line 1/000.png"]
    # a file that is here is itself, and no image of the run
    other = tmp_path / "other" / "lone.png"
    other.parent.mkdir()
    other.touch()
    path = table(earlier.folder, ("image", "verdict"), (str(other), "ok"))
    assert "if lone.png is meant, give that path" in refused(path, earlier)


def test_no_cell_of_the_table_to_fill_in_is_a_formula_and_it_is_read_back(
    tmp_path: Path,
) -> None:
    names = ("=cmd|' C'!A0.png", "+1.png", "-2.png", "@x/y.png")
    ranged = {"map": "maps/m.png", "map_low": 0.0, "map_high": 1.0, "overlay": "overlays/o"}
    rows = [Row(name, score=0.5, sha256=f"{n:064x}", **ranged) for n, name in enumerate(names)]
    (tmp_path / "scores.jsonl").write_bytes(b"".join(map(to_line, rows)))
    run = Earlier(tmp_path, {"identity": {}, "folder": str(tmp_path)})
    blank = tmp_path / "todo.csv"
    write_blank(run, blank)
    with blank.open(newline="") as file:
        cells = list(csv.reader(file))
    assert not [cell for line in cells for cell in line if cell.startswith(("=", "+", "-", "@"))]
    blank.write_text(blank.read_text().replace(".png,,", ".png,ng,"))
    assert [judged.row.image for judged in read_verdicts(blank, run).judged] == list(names)
