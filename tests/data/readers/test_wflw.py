import os
import warnings

import numpy as np
import pytest

from kfacealign.data.readers.wflw import SUBSETS, wflw

LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
SUBSET_LISTS = "WFLW_annotations/list_98pt_test/list_98pt_test_{}.txt"


def numbers(values):
    return " ".join(f"{value:.6f}" for value in np.ravel(values))


class Copy:
    """A small WFLW in `root`: 6 training and 8 test faces, the last two test faces in one photograph."""

    def __init__(self, root):
        rng = np.random.default_rng(3)
        self.root = root
        self.landmarks, self.flags, self.paths = {}, {}, {}
        for part, count in (("train", 6), ("test", 8)):
            self.landmarks[part] = rng.uniform(-5, 300, (count, 98, 2)).round(6)
            self.flags[part] = (rng.random((count, 6)) < 0.4).astype(int)
            self.paths[part] = [f"{i}--Event/{part}_{i}.jpg" for i in range(count)]
        self.paths["test"][7] = self.paths["test"][6]
        os.makedirs(root / "WFLW_images")
        for part in ("train", "test"):
            self.write(LISTS.format(part), self.lines(part))
        for i, name in enumerate(SUBSETS.values()):
            self.write_subset(name, np.flatnonzero(self.flags["test"][:, i]))

    def lines(self, part):
        boxes = [np.r_[points.min(0), points.max(0)].astype(int) for points in self.landmarks[part]]
        rows = zip(self.landmarks[part], boxes, self.flags[part], self.paths[part], strict=True)
        return [f"{numbers(p)} {' '.join(map(str, b))} {' '.join(map(str, f))} {name}" for p, b, f, name in rows]

    def write(self, path, lines):
        path = self.root / path
        os.makedirs(path.parent, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines))

    def write_subset(self, name, rows):
        lines = [f"{numbers(self.landmarks['test'][row])} {self.paths['test'][row]}" for row in rows]
        self.write(SUBSET_LISTS.format(name), lines)

    def spoil(self, part, line, change):
        lines = self.lines(part)
        lines[line - 1] = " ".join(change(lines[line - 1].split()))
        self.write(LISTS.format(part), lines)


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_reads_what_was_written(copy):
    dataset = wflw(copy.root)
    assert (dataset.name, dataset.scheme.name) == ("wflw", "wflw98")
    assert (dataset.normalizer, dataset.enlarge) == ("inter_ocular", 1.25)
    for part, faces in (("train", dataset.train), ("test", dataset.test)):
        # The files are 0-based with pixel centres at whole numbers; here the centres are at the halves.
        np.testing.assert_allclose(faces.landmarks, copy.landmarks[part] + 0.5, atol=1e-4)
        np.testing.assert_array_equal(faces.boxes[:, 0], copy.landmarks[part][..., 0].min(1).astype(int) + 0.5)
        assert faces.images == [os.path.join(copy.root, "WFLW_images", path) for path in copy.paths[part]]
        for i, name in enumerate(SUBSETS):
            np.testing.assert_array_equal(faces.attributes[name], copy.flags[part][:, i] == 1)
    assert list(dataset.subsets) == ["pose", "expression", "illumination", "makeup", "occlusion", "blur"]
    for i, indices in enumerate(dataset.subsets.values()):
        np.testing.assert_array_equal(indices, np.flatnonzero(copy.flags["test"][:, i]))
    assert "6 training and 8 test faces" in dataset.summary()


def test_faces_of_one_photograph_are_told_apart(copy):
    copy.flags["test"][6:, :] = [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    copy.write(LISTS.format("test"), copy.lines("test"))
    for i, (name, rows) in enumerate(zip(SUBSETS.values(), ([6], [7], [], [], [], []), strict=True)):
        copy.write_subset(name, [*np.flatnonzero(copy.flags["test"][:6, i]), *rows])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subsets = wflw(copy.root).subsets
    assert 6 in subsets["pose"] and 7 not in subsets["pose"]
    assert 7 in subsets["expression"] and 6 not in subsets["expression"]


def test_flags_stand_in_for_an_absent_list(copy):
    os.remove(copy.root / SUBSET_LISTS.format("largepose"))
    np.testing.assert_array_equal(wflw(copy.root).subsets["pose"], np.flatnonzero(copy.flags["test"][:, 0]))


def test_disagreement_warns(copy):
    copy.write_subset("blur", [0])
    copy.flags["test"][:, 5] = [0, 1, 1, 0, 0, 0, 0, 0]
    copy.write(LISTS.format("test"), copy.lines("test"))
    with pytest.warns(UserWarning, match=r"list_98pt_test_blur\.txt: 3 faces .* not flagged 'blur'"):
        assert wflw(copy.root).subsets["blur"].tolist() == [0]


def test_subset_face_not_in_the_test_list(copy):
    copy.write(SUBSET_LISTS.format("blur"), [f"{numbers(copy.landmarks['test'][0] + 1)} {copy.paths['test'][0]}"])
    with pytest.raises(ValueError, match=r"list_98pt_test_blur\.txt:1: no face of the test list"):
        wflw(copy.root)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda row: row[1:], r"expected 207 fields .*, found 206"),
        (lambda row: [*row, "again.jpg"], r"expected 207 fields .*, found 208"),
        (lambda row: [*row[:5], "nan", *row[6:]], r"field 6 is 'nan', expected a finite number"),
        (lambda row: [*row[:5], "1.2.3", *row[6:]], r"field 6 is '1\.2\.3', expected a finite number"),
        (lambda row: [*row[:202], "2", *row[203:]], r"fields 201 to 206 are flags of 0 or 1"),
        (lambda row: row[:198] + row[196:198] + row[200:], r"the face has no size: its box"),
        (lambda row: row[:2] * 98 + row[196:], r"the face has no size"),
    ],
)
def test_bad_lines_are_named(copy, change, message):
    copy.spoil("test", 4, change)
    with pytest.raises(ValueError, match=r"list_98pt_rect_attr_test\.txt:4: " + message):
        wflw(copy.root)


def test_empty_list(copy):
    copy.write(LISTS.format("train"), [])
    with pytest.raises(ValueError, match=r"list_98pt_rect_attr_train\.txt: the list is empty"):
        wflw(copy.root)


def test_missing_directories_say_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no directory.*WFLW_images.*project page.*synthetic"):
        wflw(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds nothing"):
        wflw(tmp_path)
    (tmp_path / "WFLW").mkdir()
    with pytest.raises(FileNotFoundError, match="holds WFLW"):
        wflw(tmp_path)
    (tmp_path / "WFLW_images").mkdir()
    with pytest.raises(FileNotFoundError, match=r"list_98pt_rect_attr_train.txt is missing"):
        wflw(tmp_path)
