import json
import os

import pytest

from kfacealign.cli.given_boxes import boxes_of, read_boxes


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.json", '{"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8.5]], "n/b.jpg": [[0, 0, 9, 9]], "c.jpg": []}'),
        ("b.json", '{"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8.5]], "n/b.jpg": [0, 0, 9, 9]}'),
        (
            "b.json",
            '[{"photo": "a.jpg", "box": [1, 2, 3, 4]}, {"photo": "n/b.jpg", "box": [0, 0, 9, 9]},'
            ' {"photo": "a.jpg", "box": [5, 6, 7, 8.5]}]',
        ),
        (
            "b.json",
            '[{"photo": "a.jpg", "faces": [{"box": [0, 0, 50, 50], "face_box": [1, 2, 3, 4]}, {"face_box": [5, 6, 7, 8.5]}]},'
            ' {"photo": "n/b.jpg", "faces": [{"face_box": [0, 0, 9, 9]}]}]',
        ),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,3,4\nn/b.jpg,0,0,9,9\na.jpg,5,6,7,8.5\n"),
        ("B.CSV", b"\xef\xbb\xbfy1, x1,photo,x0,y0,note\r\n4,3,a.jpg,1,2,\r\n\r\n8.5,7,a.jpg,5,6,left\r\n9,9,n/b.jpg,0,0,\r\n"),
        (
            "landmarks.csv",
            "photo,face,box_x0,box_y0,box_x1,box_y1,x0,y0,x1,y1,x2,y2\n"
            "a.jpg,1,1,2,3,4,0,0,1,1,2,2\na.jpg,2,5,6,7,8.5,0,0,1,1,2,2\nn/b.jpg,1,0,0,9,9,0,0,1,1,2,2\n",
        ),
    ],
)
def test_kinds_of_files(tmp_path, name, content):
    assert read_boxes(write(tmp_path / name, content)) == {"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8.5]], "n/b.jpg": [[0, 0, 9, 9]]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,3,4\na.jpg,1,2,nan,4\n", "b.csv:3: a box is four finite numbers"),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,1e999,4\n", "b.csv:2: a box is four finite numbers"),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,,4\n", "b.csv:2: a box is four finite numbers"),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,3,2,1,4\n", "b.csv:2: x0 must be less than x1"),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,3\n", "b.csv:2: expected 5 fields as in the header, got 4"),
        ("b.csv", "photo,x0,y0,x1,y1\n,1,2,3,4\n", "b.csv:2: there is no photograph in this row"),
        ("b.csv", 'photo,x0,y0,x1,y1\n"a.jpg,1,2,3,4\n', "b.csv:2: unexpected end of data"),
        ("b.csv", "a.jpg,1,2,3,4\n", "b.csv:1: the header must have photo,x0,y0,x1,y1"),
        ("b.csv", "photo;x0;y0;x1;y1\na.jpg;1;2;3;4\n", "b.csv:1: the header must have"),
        ("b.csv", "photo,x0,y0,x1,y1,x2,y2\na.jpg,1,2,3,4,5,6\n", "b.csv:1: x0, y0, ... are landmarks here"),
        ("b.csv", "", "b.csv:1: the header must have"),
        ("b.csv", "photo,x0,y0,x1,y1\n", "b.csv: there is no box in it"),
        ("b.csv", "photo,x0,y0,x1,y1\ncaf\u00e9.jpg,1,2,3,4\n".encode("latin-1"), "b.csv:2: the file is not UTF-8"),
        ("b.csv", "photo,x0,y0,x1,y1\na.jpg,1,2,3,4\n".encode("utf-16"), "b.csv:1: the file is not UTF-8"),
        ("b.json", '{"a.jpg": [[1, 2, 3, 4], [1, 2, NaN, 4]]}', "b.json: a.jpg, box 2: a box is four finite numbers"),
        ("b.json", '{"a.jpg": [[1, 2, true, 4]]}', "b.json: a.jpg, box 1: a box is four finite numbers"),
        ("b.json", '{"a.jpg": [[1, 2, 3]]}', "b.json: a.jpg, box 1: a box is four numbers"),
        ("b.json", '{"a.jpg": "1,2,3,4"}', "b.json: a.jpg, box 1: a box is four numbers"),
        ("b.json", '{"a.jpg": null}', "b.json: a.jpg, box 1: a box is four numbers"),
        ("b.json", '{"a.jpg": [1, 2, %s, 4]}' % ("9" * 400), "b.json: a.jpg, box 1: a box is four finite numbers"),
        ("b.json", '{"a.jpg": [[1, 2, 3, 4]],\n "a.jpg": [[1, 2, 3, 4]]}', "b.json: 'a.jpg' is there twice"),
        ("b.json", '{"a.jpg":\n [[1, 2, 3, 4]', "b.json:2: not JSON"),
        ("b.json", "[" * 100000, "b.json: "),
        ("b.json", '[{"photo": "a.jpg", "box": [1, 2, 3, 4]}, {"box": [1, 2, 3, 4]}]', "b.json: entry 2: expected a photograph"),
        ("b.json", '[{"photo": "a.jpg"}]', "b.json: entry 1: a box is four numbers"),
        ("b.json", '{"photo": "a.jpg", "faces": [{"face_box": [1, 2, 3, 4]}, {}]}', "b.json: entry 1, face 2: a box is four"),
        ("b.json", "7", "b.json: entry 1: expected a photograph"),
        ("b.json", "{}", "b.json: there is no box in it"),
        ("b.txt", "1 2 3 4", "b.txt: boxes are read from .json and .csv files"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, name, content, message):
    with pytest.raises(ValueError) as caught:
        read_boxes(write(tmp_path / name, content))
    assert str(caught.value).startswith(f"{tmp_path}/{message}") and len(str(caught.value)) < 400


def test_every_bad_row_is_named_up_to_five(tmp_path):
    rows = [f"{number}.jpg,1,2,{'x' if number % 2 else 3},4" for number in range(14)]
    with pytest.raises(ValueError) as caught:
        read_boxes(write(tmp_path / "b.csv", "\n".join(["photo,x0,y0,x1,y1", *rows])))
    message = str(caught.value)
    assert [f"b.csv:{line}: " in message for line in (3, 5, 7, 9, 11, 13, 15)] == [True] * 5 + [False] * 2
    assert message.endswith("; and 2 more")


def test_a_file_that_is_missing_or_has_no_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name, reason in (("none.csv", "No such file"), ("pipe.csv", "not a regular file")):
        with pytest.raises(OSError, match=reason):
            read_boxes(tmp_path / name)


def test_paths_are_from_the_current_folder_before_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").mkdir()
    boxes = {
        "x.jpg": [[1, 1, 2, 2]],
        "y.jpg": [[3, 3, 4, 4]],
        str(tmp_path / "z.jpg"): [[5, 5, 6, 6]],
        "other.jpg": [[0, 0, 1, 1]],
    }
    photos = ["x.jpg", "lists/x.jpg", "./lists/y.jpg", "z.jpg"]
    found, unused = boxes_of(photos, boxes, "lists/boxes.json")
    # x.jpg of the list is the one of the current folder, and no photograph gets it a second time.
    assert found == {"x.jpg": [[1, 1, 2, 2]], "./lists/y.jpg": [[3, 3, 4, 4]], "z.jpg": [[5, 5, 6, 6]]}
    assert unused == ["other.jpg"]


def test_names_that_are_no_utf8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.jpg")
    for written in (name, "caf\\xe9.jpg"):  # by Python, and by this package
        file = write(tmp_path / "b.json", json.dumps({written: [[1, 2, 3, 4]]}))
        assert boxes_of([name], read_boxes(file), file) == ({name: [[1, 2, 3, 4]]}, [])
