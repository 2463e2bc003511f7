"""Tables are read as written; what makes no sense is a problem with its line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmad import Sample
from vlmad.errors import InputError, VlmadError
from vlmad_datasets import OpenDataset, open_dataset
from vlmad_datasets._image_table import ImageTable
from vlmad_datasets.sides import ANOMALOUS_WORDS, NORMAL_WORDS
from vlmad_datasets.survey import survey
from vlmad_datasets.tabular import TableRows, read_rows

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
CELL = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12).map(str.strip)
NAME = CELL.filter(lambda text: text and "/" not in text)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "image": NAME,
            "label": st.sampled_from(NORMAL_WORDS + ANOMALOUS_WORDS),
            "mask": st.one_of(st.just(""), NAME),
            "category": CELL,
            "defect": CELL,
            "split": st.sampled_from(["train", "test", "validation", "val", ""]),
        }
    ),
    min_size=1,
    max_size=6,
)


def opened(folder: Path, text: str, name: str = "parts.csv", **options: str) -> OpenDataset:
    for image in ("a", "b", "c", "a.png", "b.png"):
        (folder / image).touch()
    (folder / name).write_text(text, encoding="utf-8")
    return open_dataset(folder / name, options=options)


def expected(folder: Path, row: dict[str, str]) -> Sample:
    normal = row["label"] in NORMAL_WORDS
    return Sample(
        folder / row["image"],
        "normal" if normal else "anomalous",
        row["category"] or "parts",
        {"": "test", "val": "validation"}.get(row["split"], row["split"]),  # type: ignore[arg-type]
        "good" if normal else row["defect"] or "anomalous",
        folder / row["mask"] if row["mask"] else None,
    )


def make_files(folder: Path, rows: list[dict[str, str]]) -> None:
    for name in filter(None, (row[column] for row in rows for column in ("image", "mask"))):
        (folder / name).touch()


@REUSE
@given(ROWS, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_csv_file_holds_is_read(
    tmp_path: Path, rows: list[dict[str, str]], sign: str, newline: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=sign, lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "parts.csv").write_bytes(text.getvalue().encode())
    make_files(tmp_path, rows)
    contents = ImageTable(tmp_path / "parts.csv").read()
    assert contents.samples == tuple(expected(tmp_path, row) for row in rows)
    assert contents.problems == ()


@REUSE
@given(ROWS)
def test_json_lines_and_csv_hold_the_same(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    lines = (json.dumps({k: v for k, v in row.items() if v}) for row in rows)
    (tmp_path / "parts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    make_files(tmp_path, rows)
    contents = ImageTable(tmp_path / "parts.jsonl").read()
    assert contents.samples == tuple(expected(tmp_path, row) for row in rows)


@REUSE
@given(st.binary(max_size=300), st.sampled_from(["parts.csv", "parts.tsv", "parts.jsonl"]))
def test_any_bytes_give_contents_or_an_error_of_vlmads_own(
    tmp_path: Path, data: bytes, name: str
) -> None:
    for prefix in (b"", b"image,label\n", b'{"image": "a.png", "label": '):
        (tmp_path / name).write_bytes(prefix + data)
        with contextlib.suppress(VlmadError):
            survey(open_dataset(tmp_path / name))


@REUSE
@given(st.text(max_size=200))
def test_a_row_is_named_by_the_line_where_it_begins(tmp_path: Path, cell: str) -> None:
    cell = cell.replace("\r", "").replace("\0", "").encode("utf-8", "ignore").decode()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["image", "label"], ["a.png", cell], ["b.png", "good"]])
    path = tmp_path / "parts.csv"
    path.write_bytes(text.getvalue().encode())
    [first, second] = read_rows(path).rows
    assert first.line == 2
    assert second.line == 3 + cell.count("\n")


def test_a_table_finds_its_images_beside_itself(tmp_path: Path, draw, draw_mask) -> None:
    for name in ("train", "good", "bad"):
        draw(f"images/{name}.png")
    draw_mask("masks/bad.png")
    table = opened(
        tmp_path,
        "\ufeffImage;Label;Mask;Split\n"
        "images/train.png;ok;;train\n"
        "images/good.png;0;;\n"
        "\n"
        "images/bad.png;ANOMALY;masks/bad.png;test\n",
    )
    found = survey(table)
    assert table.name == "table"
    assert found.problems == ()
    assert [measured.defective for measured in found.measured] == [None, None, 6]


def test_categories_and_defects_stay_as_written(tmp_path: Path) -> None:
    table = opened(
        tmp_path,
        "image,label,category,defect\na,bad,Schraube groß,Riß\nb,good,Mutter,\nc,good,,\n",
        category="valve",
    )
    assert table.categories == ("Schraube groß", "Mutter", "valve")
    assert [sample.defect for sample in table.samples] == ["Riß", "good", "good"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("a.png,godo,", "label 'godo' is neither side; did you mean 'good'"),
        ("a.png,,", "label '' is neither side; known: 0, 1, "),
        (",good,", "no image"),
        ("a.png,good,trian", "no split is called 'trian'; did you mean 'train'?"),
        ("a.png,good", "2 fields, but 3 columns"),
        ("a.png,good,test,more", "4 fields, but 3 columns"),
        ("none.png,good,test", "{folder}/none.png: No such file or directory"),
        ("a.png/b.png,good,test", "{folder}/a.png/b.png: Not a directory"),
        ("x\0y.png,good,test", "{folder}/x\0y.png: embedded null byte"),
    ],
)
def test_rows_that_make_no_sense_are_problems_with_their_line_and_the_others_are_read(
    tmp_path: Path, row: str, what: str
) -> None:
    table = opened(tmp_path, f"image,label,split\nb.png,good,test\n{row}\n")
    [problem] = table.problems
    assert problem.path == tmp_path / "parts.csv"
    assert problem.what.startswith(f"line 3: {what.format(folder=tmp_path)}")
    assert problem.severity == "warning"
    assert table.wrong_lines == (problem,)
    assert len(table.samples) == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[1]", "not a JSON object"),
        ("{", "Expecting property name"),
        ('{"image": ["a"], "label": "good"}', "'image' is neither text nor a whole number"),
        ('{"image": "a", "label": 0.5}', "'label' is neither text nor a whole number"),
        ("[" * 100_000, ""),
    ],
)
def test_lines_that_are_no_samples_are_problems_with_their_line(
    tmp_path: Path, line: str, what: str
) -> None:
    good = '{"image": "b.png", "label": 0}'
    table = opened(tmp_path, f"{good}\n{line}\n", "parts.jsonl")
    [problem] = table.wrong_lines
    assert problem.what.startswith(f"line 2: {what}")
    assert len(table.samples) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("path,label\na,good\n", "has no column 'image'; columns: image, label, mask"),
        ("a.png\nb.png\n", "has no column 'image' or 'label'"),
        ("image,label,image\na,good,b\n", "line 1: column 'image' stands there more than once"),
        ("image,lable\na,good\n", "no column is called 'lable'; did you mean 'label'?"),
        ("image,label\n", "holds no samples for the reader 'table'"),
        ("image,label\na,godo\n", "holds no samples .*line 2: label 'godo' is neither side"),
        ('image,label\n"a,good\n', "line 2: unexpected end of data"),
        ("image,label\n" + "x" * 200_000 + ",good\n", "line 2: field larger than field limit"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        opened(tmp_path, text)


def test_a_column_that_means_nothing_here_is_left_out_with_a_word(tmp_path: Path) -> None:
    table = opened(tmp_path, "image,label,weight,operator\na,good,3.5,Q\n")
    [problem] = table.problems
    assert problem.what == "columns that are not used: weight, operator"
    assert problem.severity == "note"


def test_rows_that_contradict_each_other_are_fatal_and_those_without_a_mask_left_out(
    tmp_path: Path, draw
) -> None:
    draw("part.png")
    rows = "part.png,good,\npart.png,bad,\npart.png,bad,none.png\n"
    found = survey(opened(tmp_path, f"image,label,mask\n{rows}"))
    [fatal] = found.of("fatal")
    assert fatal.what == "listed more than once, but labelled anomalous rather than normal"
    assert f"line 4: {tmp_path}/none.png: No such file" in str(found.of("warning")[0])


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;;;"])
def test_a_first_line_of_excels_says_how_fields_are_separated(tmp_path: Path, first: str) -> None:
    text = f"{first}\r\nimage;label;defect,operator,date\r\na.png;bad;x\r\n;;\r\n;\r\n"
    table = read_rows_of(tmp_path, text)
    assert table.columns == ("image", "label", "defect,operator,date")
    assert [(row.line, row.fields["image"]) for row in table.rows] == [(3, "a.png")]
    assert table.problems == ()


def read_rows_of(folder: Path, text: str) -> TableRows:
    (folder / "parts.csv").write_text(text, encoding="utf-8", newline="")
    return read_rows(folder / "parts.csv")
