"""Tables as people have them: read for what they are, and written back as they were."""

import datetime as dt
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from diabolo.data import read, write
from diabolo.data.frames import Frame
from diabolo.data.tables import read_frame, write_frame
from diabolo.errors import InputError

GERMAN = """Messreihe 2024;;;;;
Nr;Größe;Gewicht;Raucher;Straße;Datum
1;1,75;1.234,5;ja;Nord;01.03.2024
2;1,8;999,0;nein;Süd;02.03.2024
3;;1.000,25;ja;Süd;
"""
JAPANESE = """番号,身長,性別,喫煙,日付
1,170.5,男,はい,2024/3/1
2,欠測,女,いいえ,2024/12/11
3,165.0,女,はい,2024/3/3
"""
KOREAN = """키,몸무게,성별,흡연,날짜,분류
170.5,"1,065",남,예,2024-03-01,가
,없음,여,아니오,2024-03-02,나
165.0,55,여,예,2024-03-03,가
"""


def put(folder: Path, text: str, encoding: str = "utf-8", name: str = "t.csv") -> Path:
    """A file with that text."""
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def text_of(path: Path, frame: Frame, encoding: str = "utf-8") -> str:
    """The table of a frame as `write_frame` writes it."""
    write_frame(path, frame.table, frame)
    return path.read_bytes().decode(encoding)


def refused(path: Path, **options: object) -> str:
    """The sentence with which a table is refused."""
    with pytest.raises(InputError) as caught:
        read_frame(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_german_export(tmp_path, encoding, newline):
    text = GERMAN.replace("\n", newline)
    frame = read_frame(put(tmp_path, text, encoding))
    assert list(frame.kinds.values()) == ["number", "number", "boolean", "category", "date"]
    assert frame.table["Gewicht"].tolist() == [1234.5, 999.0, 1000.25]
    assert frame.table["Raucher"].tolist() == [True, False, True]
    assert frame.table["Datum"][1] == pd.Timestamp(2024, 3, 2)
    assert (frame.index, frame.label, len(frame)) == ("Nr", None, 3)
    assert frame.notes[1:3] == [
        "Above the header, passed over: Messreihe 2024.",
        'Taken as the index, and not learnt: "Nr".',
    ]
    below = text.partition(newline)[2].replace("1.234", "1234").replace("1.000", "1000")
    assert text_of(tmp_path / "o.csv", frame, encoding).removeprefix("\ufeff") == below


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "utf-8"])
def test_a_japanese_export(tmp_path, encoding):
    frame = read_frame(put(tmp_path, JAPANESE, encoding))
    assert frame.form.encoding == encoding
    assert frame.kinds == dict(
        zip(
            ["身長", "性別", "喫煙", "日付"],
            ["number", "category", "boolean", "date"],
            strict=True,
        )
    )
    assert frame.index == "番号"
    assert text_of(tmp_path / "o.csv", frame, encoding) == JAPANESE.replace("欠測", "")


@pytest.mark.parametrize("encoding", ["cp949", "utf-8-sig"])
def test_a_korean_export(tmp_path, encoding):
    frame = read_frame(put(tmp_path, KOREAN, encoding))
    assert frame.form.encoding == encoding
    assert frame.table["몸무게"].tolist()[::2] == [1065, 55]
    assert frame.table["몸무게"].isna().tolist() == [False, True, False]
    assert frame.labels.tolist() == ["가", "나", "가"]
    assert 'Taken as the label, and not learnt: "분류".' in frame.notes
    back = KOREAN.replace('"1,065"', "1065").replace("없음", "")
    assert text_of(tmp_path / "o.csv", frame, encoding) == back


def test_an_encoding_that_shows_late(tmp_path):
    text = "a,b\n" + "1,x\n" * 80_000 + "2,日本\n3,日本\n"
    frame = read_frame(put(tmp_path, text, "cp932"))
    assert frame.table["b"].iloc[-1] == "日本"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_separators_and_no_header(tmp_path, separator):
    lines = "5.1 3.5 red\n4.9 3.0 red\n7.0 3.2 blue\n".replace(" ", separator)
    path = put(tmp_path, lines, name="t.txt")
    frame = read_frame(path)
    assert frame.columns == ["column_1", "column_2", "column_3"]
    assert frame.notes[-1] == "No header was found: the columns are named column_1 to column_3."
    assert text_of(tmp_path / "o.txt", frame) == lines.replace(" ", ",")
    named = read_frame(put(tmp_path, "a b c\n".replace(" ", separator) + lines, name="t.txt"))
    assert named.columns == ["a", "b", "c"]


HEADERS = {  # the first lines of a file: its header
    "0,1,2\n0.5,1,2\n1,2,2.5": ["0", "1", "2"],
    "1,2,3\n4,5,6\n7,8,9": ["column_1", "column_2", "column_3"],
    "name,2019,2020\na,1,2\nb,3,2": ["name", "2019", "2020"],
    "b,1.5,2.5\na,1,2\na,3,2": ["column_1", "column_2", "column_3"],
    "a,b\nx,y\nz,y": ["a", "b"],
    "x,y\nx,z\nq,y": ["column_1", "column_2"],
    "sep=;\na;b\n1,5;2\n2,5;3": ["a", "b"],
    "# made by X\n\na,b\n1,2\n2,4": ["a", "b"],
    "a,b\n1,2,\n1,2\n3,4,": ["a", "b"],
    "400,410,420,430,440,450,460,470\n" + "1,3,2,4,2,1,2,1\n" * 3: [
        str(400 + 10 * n) for n in range(8)
    ],
    '"a\nb",c\n1,"x, y"\n2,"x\ny"': ["a\nb", "c"],
}


@pytest.mark.parametrize("text", HEADERS)
def test_headers(tmp_path, text):
    assert read_frame(put(tmp_path, text + "\n")).columns == HEADERS[text]


def test_all_problems_are_named_at_once(tmp_path):
    lines = ["a,b,c", "1,2,x", "", "2,three,y", '"<3",4,"y', 'y"', "5,n.d.,y", "6,6,x,7", "7,8,x"]
    path = put(tmp_path, "\n".join([*lines, *["1,1,x"] * 9]))
    assert refused(path) == (
        f"{path} has rows with more cells than its header, which has 3: line 8 (4);"
        ' column "a" holds numbers, but "<3" in line 5; column "b" holds numbers, but "three" in'
        ' line 4, "n.d." in line 7: give each row as many cells'
    )


def test_what_is_set_aside_comes_back(tmp_path):
    words = [f"note {n}" for n in range(30)]
    rows = [f"{n},{n / 8},{'ab'[n % 2]},,{words[n]},{n % 3}" for n in range(30)]
    text = "\n".join([",x,kind,void,remark,label", *rows, ""])
    frame = read_frame(put(tmp_path, text))
    assert frame.columns == ["x", "kind"]
    assert frame.notes == [
        'Taken as the index, and not learnt: "unnamed_1".',
        'Taken as the label, and not learnt: "label".',
        'Left out, since nearly all its texts differ: "remark".',
        'Left out, since it is empty: "void".',
    ]
    assert frame.labels.tolist() == [n % 3 for n in range(30)]
    assert text_of(tmp_path / "o.csv", frame) == text
    every = read_frame(tmp_path / "t.csv", index="none", label="none")
    assert every.columns == ["unnamed_1", "x", "kind", "label"]
    assert read_frame(tmp_path / "t.csv", label="kind").labels.tolist() == list("ab" * 15)
    known = read_frame(tmp_path / "t.csv", kinds={"label": "number", "x": "number"})
    assert known.columns == ["x", "kind", "label"]
    assert refused(tmp_path / "t.csv", index="lable") == (
        "There is no column 'lable'; did you mean 'label'?"
    )
    few = frame.table.iloc[:3]
    write_frame(tmp_path / "few.csv", few, frame)
    assert (tmp_path / "few.csv").read_text().splitlines()[:2] == ["x,kind", "0.0,a"]


def test_columns_whose_kinds_are_known(tmp_path):
    path = put(tmp_path, "grade,smokes,day,size\n1,ja,2024-01-01,3\n2,ja,2024-01-02,x\n")
    kinds = dict(grade="category", smokes="boolean", day="date", size="number")
    assert refused(path, kinds=kinds).endswith(
        'column "size" holds numbers, but "x" in line 3; correct or empty them'
    )
    frame = read_frame(path, kinds=kinds | {"size": "category"})
    assert frame.table["grade"].tolist() == ["1", "2"]
    assert frame.table["smokes"].tolist() == [True, True]
    texts = pd.DataFrame(
        {"smokes": ["nein", "ja"], "day": ["05.01.2024", "13.01.2024"], "size": ["3", "x"]}
    )
    texts.to_parquet(tmp_path / "t.parquet")
    table = read_frame(tmp_path / "t.parquet", kinds=kinds).table
    assert table["smokes"].tolist() == [False, True]
    assert table["day"].dt.day.tolist() == [5, 13]
    assert table["size"].tolist() == ["3", "x"], "which the model refuses"


DATES = {  # as text: day and hour of the first
    "2024-03-01,2024-12-31": (1, 0),
    "2024/3/1 9:05,2024/12/31 10:00": (1, 9),
    "01.03.2024 09:05:07,31.12.2024 00:00:00": (1, 9),
    "2024年3月1日,2024年12月31日": (1, 0),
    "2024. 3. 1.,2024. 12. 31.": (1, 0),
    "3/1/2024,12/31/2024": (1, 0),
    "13/3/2024,1/12/2024": (13, 0),
    "2024-03-01T09:05:00Z,2024-03-01T09:06:00Z": (1, 9),
    "2024-03-01T09:05:00.25,2024-03-01T09:06:00.500000": (1, 9),
    "2024-03-01T09:05:00+0000,2024-03-01T09:06:00+0000": (1, 9),
}


@pytest.mark.parametrize("dates", DATES)
def test_dates(tmp_path, dates):
    text = "\n".join(["day;n", *(f"{date};1" for date in dates.split(",")), ""])
    frame = read_frame(put(tmp_path, text))
    first = frame.table["day"][0]
    assert (first.year, first.month, first.day, first.hour) == (2024, 3, *DATES[dates])
    assert frame.notes[1:] == [
        f'The dates of "day" are read as {"day/month" if "13/" in dates else "month/day"}/year.'
    ] * ("/2024" in dates)
    back = text_of(tmp_path / "o.csv", frame)
    assert back == text.replace("00.25;", "00.250000;")


def test_rows_that_are_cut_off(tmp_path):
    frame = read_frame(put(tmp_path, 'a,b,c\n1,2,3\n\n1,"2\n"\n5,6,7\n1\n'))
    assert frame.notes == [
        "Rows with fewer cells than the header, which has 3: line 4 (2), line 7 (1).",
        '3 cells are empty, in "b", "c".',
    ]


def test_codes_and_what_is_aside_keep_their_letters(tmp_path):
    text = "id,a,zip,label\n001,1,01234,ja\n002,2,01234,nein\n003,4,99999,ja\n"
    frame = read_frame(put(tmp_path, text))
    assert frame.kinds == {"a": "number", "zip": "category"}
    assert (frame.index, frame.labels.tolist()) == ("id", ["ja", "nein", "ja"])
    assert text_of(tmp_path / "o.csv", frame) == text
    long = "id,a\n123456789012345678901234,1\n123456789012345678901235,2\n"
    frame = read_frame(put(tmp_path, long))
    assert text_of(tmp_path / "o.csv", frame) == long
    known = read_frame(put(tmp_path, "m\n01\n02\n"), kinds={"m": "number"})
    assert known.table["m"].tolist() == [1, 2]


def test_a_workbook(tmp_path):
    book = openpyxl.Workbook()
    rows = [["Bericht 2024"], [], ["Nr", "Größe", "an", "Tag"]]
    rows += [[n, n / 4, n % 2 == 0, dt.datetime(2024, 3, n)] for n in range(1, 9)]
    for row in [*rows, [9, "kaputt", True, None]]:
        book.active.append(row)
    book.create_sheet("Zwei")
    book.save(tmp_path / "a.xlsx")
    words = 'column "Größe" holds numbers, but "kaputt" in line 12'
    assert words in refused(tmp_path / "a.xlsx")
    frame = read_frame(tmp_path / "a.xlsx", limit=8)
    assert frame.kinds == {"Größe": "number", "an": "boolean", "Tag": "date"}
    assert frame.notes == [
        'Of the sheets, only the first is read: "Sheet".',
        "Above the header, passed over: Bericht 2024.",
        'Taken as the index, and not learnt: "Nr".',
    ]
    write_frame(tmp_path / "b.xlsx", frame.table, frame)
    found = openpyxl.load_workbook(tmp_path / "b.xlsx").active
    assert [[cell.value for cell in row] for row in found.iter_rows()] == rows[2:]


def test_names_that_come_twice(tmp_path):
    frame = read_frame(put(tmp_path, "a,a,b\n1,2,3.5\n4,5,6.5\n"))
    assert frame.columns == ["a", "a.2", "b"]
    assert text_of(tmp_path / "o.csv", frame) == "a,a,b\n1,2,3.5\n4,5,6.5\n"


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".xlsx", ".tsv", ".csv"])
def test_types_survive_every_form(tmp_path, suffix):
    table = pd.DataFrame(
        {
            "whole": pd.array([1, None, 2**40], dtype="Int64"),
            "real": [0.1, np.nan, -3.5],
            "truth": [True, False, True],
            "kind": ["x", None, "x"],
            "day": pd.to_datetime(["2024-03-01T10:30", None, "2024-03-02T00:00"]),
        }
    )
    write_frame(tmp_path / f"a{suffix}", table)
    frame = read_frame(tmp_path / f"a{suffix}")
    assert [*frame.kinds.values()] == ["number", "number", "boolean", "category", "date"]
    write_frame(tmp_path / f"b{suffix}", frame.table, frame)
    for found in (frame.table, read_frame(tmp_path / f"b{suffix}").table):
        assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == (
            table.astype(object).where(table.notna(), None).to_numpy().tolist()
        )


def test_integers_are_rounded_and_numbers_are_not(tmp_path):
    frame = read_frame(put(tmp_path, "n,x,s\n1,2,yes\n5,,no\n2,2,yes\n"))
    new = pd.DataFrame({"n": [1.4, 4.6, 1.9], "x": [2.2, 1.7, np.nan], "s": [0.9, 0.2, np.nan]})
    write_frame(tmp_path / "o.csv", new, frame)
    assert (tmp_path / "o.csv").read_text() == "n,x,s\n1,2,yes\n5,2,no\n2,,\n"
    narrow = pd.DataFrame({"a": np.float32([0.1, np.nan]).astype(float), "b": [0.1, np.pi]})
    write_frame(tmp_path / "o.csv", narrow)
    assert (tmp_path / "o.csv").read_text() == "a,b\n0.1,0.1\n,3.141592653589793\n"


def test_a_table_of_numbers_is_an_array_and_keeps_its_form(tmp_path):
    samples = read(put(tmp_path, "id;a;b\n7;1,5;2\n8;2,5;3\n9;0,5;4\n"))
    assert samples.array.dtype == np.float64
    assert samples.columns == ["a", "b"]
    write(tmp_path / "o.csv", samples.array + 0.25, samples)
    assert (tmp_path / "o.csv").read_text() == ("id;a;b\n7;1,75;2,25\n8;2,75;3,25\n9;0,75;4,25\n")
    assert samples.frame.index == "id"
    mixed = read(put(tmp_path, "a,b\n1,x\n2,y\n"))
    assert mixed.array.to_numpy().tolist() == [[1, "x"], [2, "y"]]


def test_a_stream_of_arrow_and_its_beginning(tmp_path):
    table = pa.table({"a": range(1000), "day": [dt.date(2024, 1, 1)] * 1000})
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=100)
    assert read_frame(tmp_path / "a.arrow").kinds == {"a": "number", "day": "date"}
    write_frame(tmp_path / "a.parquet", table.to_pandas())
    write_frame(tmp_path / "a.csv", table.to_pandas())
    for suffix in ("arrow", "parquet", "csv"):
        assert len(read_frame(tmp_path / f"a.{suffix}", limit=7)) == 7


def random_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Columns of all kinds, with gaps."""
    makers = [
        lambda: rng.normal(size=n).round(4),
        lambda: rng.integers(-(10**6), 10**6, n).astype(float),
        lambda: rng.choice(["rot", "grün", "blau, hell", 'sehr "gut"', "zwei\nZeilen"], n),
        lambda: rng.choice(["ja", "nein"], n),
        lambda: pd.Timestamp(2020, 1, 1) + pd.to_timedelta(rng.integers(0, 999, n), unit="D"),
    ]
    columns = {f"Größe {k}": pd.Series(makers[m]()) for k, m in enumerate(rng.integers(0, 5, 6))}
    table = pd.DataFrame({"Wert": rng.normal(size=n), **columns})
    return table.mask(rng.random(table.shape) < 0.1 * rng.integers(0, 2))


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(60))
def test_random_tables_come_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    separator, encoding, decimal, date = (
        str(rng.choice(choices))
        for choices in (
            [",", ";", "\t", "|"],
            ["utf-8", "utf-8-sig", "cp1252", "utf-16"],
            [".", ","],
            ["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d"],
        )
    )
    table = random_table(rng, int(rng.integers(8, 400)))
    table.to_csv(
        tmp_path / "t.csv",
        sep=separator,
        decimal=decimal,
        encoding=encoding,
        date_format=date,
        index=False,
    )
    frame = read_frame(tmp_path / "t.csv", index="none")
    assert frame.columns == [name for name in table if table[name].notna().any()]
    for name, kind in frame.kinds.items():
        given, found = table[name], frame.table[name]
        assert found.isna().tolist() == given.isna().tolist()
        if kind == "boolean":
            given = given.map({"ja": True, "nein": False})
        assert found.dropna().tolist() == given.dropna().tolist()
    write_frame(tmp_path / "o.csv", frame.table, frame)
    again = read_frame(tmp_path / "o.csv", index="none")
    pd.testing.assert_frame_equal(again.table, frame.table)
    assert again.form.encoding == frame.form.encoding
    assert again.form.separator == separator
