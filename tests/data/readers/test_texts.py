import os

import numpy as np
import pytest

from kfacealign.data.readers import texts


def written(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [b"one\n\n two \n", b"\xef\xbb\xbfone\n\ntwo", b"one\r\n\r\ntwo\r\n", b"one\r\rtwo\r"],
    ids=["plain", "byte order mark", "Windows", "old Mac"],
)
def test_lines_of_any_system_have_their_numbers(tmp_path, content):
    assert texts.read_lines(written(tmp_path, content)) == [(1, "one"), (3, "two")]


def test_only_line_ends_end_lines(tmp_path):
    content = "a\u2028b\x0bc\x85d\ne".encode()
    assert texts.read_lines(written(tmp_path, content)) == [(1, "a\u2028b\x0bc\x85d"), (2, "e")]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a\nb\ncaf\xe9\n", r"a\.txt:3: not UTF-8 \(byte 0xe9\): save the file as UTF-8"),
        (b"\xef\xbb\xbfa\r\n\xff", r"a\.txt:2: not UTF-8 \(byte 0xff\)"),
        ("a\nb".encode("utf-16"), r"a\.txt:1: not UTF-8 but UTF-16"),
        (b"a\nb\0c", r"a\.txt:2: a byte of value 0"),
        (b"a\n" + b"1 " * 600_000, r"a\.txt:2: a line of more than"),
    ],
)
def test_what_is_no_text_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        texts.read_lines(written(tmp_path, content))


def test_what_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file") as error:
            texts.read_text(tmp_path / name)
        assert error.value.filename == str(tmp_path / name)


def test_limit_of_size(tmp_path):
    path = written(tmp_path, b"12345")
    assert texts.read_text(path, limit=5) == "12345"
    with pytest.raises(OSError, match="larger than"):
        texts.read_text(path, limit=4)


@pytest.mark.parametrize("word", ["1_0", "٣", "0x10", "inf", "-inf", "nan", "", "1e", "--5", "1.2.3", "1,5", "½", "1e999"])
def test_numbers_are_plain_decimal_ones(word):
    with pytest.raises(ValueError, match=r"list:7: b is .*expected (a finite number|no number beyond)"):
        texts.numbers("list:7", ["1", word], ["a", "b"])


def test_numbers_that_are_read():
    np.testing.assert_array_equal(
        texts.numbers("", ["-1.5", "+2", ".5", "3.", "1e2", " 4 "], "abcdef"), [-1.5, 2, 0.5, 3, 100, 4]
    )


def test_a_lost_decimal_point_is_noticed():
    assert texts.numbers("", ["-1000000"], ["x"]) == -1e6
    with pytest.raises(
        ValueError, match=r"list:7: x is '55500000', expected no number beyond 1,000,000: is a decimal point lost"
    ):
        texts.numbers("list:7", ["55500000"], ["x"])


def test_points_that_are_not_annotated():
    columns, words = ["scale", "x0", "y0", "x1", "y1"], ["1", "nan", "NaN", "2", "3"]
    np.testing.assert_array_equal(texts.numbers("", words, columns, points=slice(1, None)), [1, np.nan, np.nan, 2, 3])
    np.testing.assert_array_equal(texts.numbers("", ["1", "", " ", "2", "3"], columns, points=slice(1, None))[1:3], [np.nan] * 2)
    with pytest.raises(ValueError, match="scale is 'nan', expected a finite number"):
        texts.numbers("", ["nan", *words[1:]], columns, points=slice(1, None))
    with pytest.raises(ValueError, match="y1 is '', expected a finite number, or none for the point's other coordinate"):
        texts.numbers("", [*words[:4], ""], columns, points=slice(1, None))


def test_points_of_lines():
    np.testing.assert_array_equal(texts.points("a", [(3, "1 2"), (4, "nan nan"), (5, "3\t4")]), [[1, 2], [np.nan] * 2, [3, 4]])
    for line in ("1", "1 2 3", "1 nan", "1 x", "1 2_0"):
        with pytest.raises(ValueError, match=f"a:4: '{line}', expected two finite numbers x y"):
            texts.points("a", [(3, "1 2"), (4, line)])


def test_tables(tmp_path):
    header, rows = texts.read_table(written(tmp_path, b'\xef\xbb\xbfname , x\n\n"a,b",1\n'))
    assert header == ["name", "x"] and rows == [(3, ["a,b", "1"])]
    with pytest.raises(ValueError, match=r"a\.txt:1: column 'x' is there twice"):
        texts.read_table(written(tmp_path, b"x,x\n1,2\n"))
    with pytest.raises(ValueError, match=r"a\.txt:2: field larger than"):
        texts.read_table(written(tmp_path, b"x\n" + b"1" * 200_000))


def test_whole_numbers():
    assert [texts.whole(word) for word in ("0", " 12 ", "\x1c 68")] == [0, 12, 68]  # int() refuses the last
    assert [texts.whole(word) for word in ("-1", "1.0", "٣", "1_0", "9" * 5000, "")] == [None] * 6
