import os
import pathlib

import numpy as np
import pytest

from kfacealign.data.readers.pts import pts, read_pts, write_points

LANDMARKS = np.random.default_rng(0).uniform(5, 200, (68, 2)).astype("float32")


def text(points, declared=68):
    return f"version: 1\nn_points: {declared}\n{{\n" + "".join(f"{x:.4f} {y:.4f}\n" for x, y in points) + "}\n"


def tree(root, names, landmarks=LANDMARKS):
    for name in names:
        path = root / name
        os.makedirs(path.parent, exist_ok=True)
        path.write_bytes(b"")
        path.with_suffix(".pts").write_text(text(landmarks + 0.5))


@pytest.fixture
def real():
    root = os.environ.get("KFACEALIGN_DATA")
    if not root:
        pytest.skip("KFACEALIGN_DATA names no folder of real data")
    return pathlib.Path(root)


def test_file_is_one_based(tmp_path):
    (tmp_path / "a.pts").write_text("version: 1\nn_points:   2 \n{\n1 1\n10.5 20\n}")
    np.testing.assert_array_equal(read_pts(tmp_path / "a.pts"), [[0.5, 0.5], [10.0, 19.5]])


def test_blanks_are_tolerated(tmp_path):
    path = tmp_path / "a.pts"
    for content in (
        "version: 1 \r\nn_points:  2\r\n{ \r\n1 1\r\n\r\n 3\t4 \r\n}\r\n\r\n",
        "\nversion: 1\n\nn_points: 2\n\n{\n1 1\n3 4\n\n}",
    ):
        path.write_text(content)
        np.testing.assert_array_equal(read_pts(path, num_points=2), [[0.5, 0.5], [2.5, 3.5]])


def test_write_read(tmp_path):
    write_points(tmp_path / "a.pts", LANDMARKS)
    np.testing.assert_allclose(read_pts(tmp_path / "a.pts", num_points=68), LANDMARKS, atol=1e-4)
    assert os.listdir(tmp_path) == ["a.pts"]


@pytest.mark.parametrize(
    "content, line, message",
    [
        (text(LANDMARKS[:67], 67), 2, "the file has 67 points, the scheme needs 68"),
        (text(LANDMARKS[:67]), 71, "67 points between the braces, expected 68"),
        (text(LANDMARKS).replace("}\n", ""), 71, "ends after 68 points without a closing brace: it is truncated"),
        (text(LANDMARKS)[:300], r"\d+", "(two numbers|two finite|truncated)"),
        (text(LANDMARKS).replace("{\n", ""), 3, "expected .* an opening brace"),
        (text(LANDMARKS).replace("n_points: 68\n", ""), 1, "no 'n_points: K' line"),
        (text(LANDMARKS).replace("n_points: 68", "n_points: many"), 2, "expected 'n_points: K'"),
        (text(LANDMARKS) + "1 2\n", 73, "after the closing brace"),
        ("", 1, "no opening brace"),
    ],
)
def test_bad_structure_is_named(tmp_path, content, line, message):
    path = tmp_path / "a.pts"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"a\.pts:{line}: .*{message}"):
        read_pts(path, num_points=68)


@pytest.mark.parametrize(
    "words, message",
    [("nan 3", "two finite"), ("7 x", "two finite numbers x y"), ("7", "two finite"), ("7 8 9", "two finite")],
)
def test_bad_points_are_named(tmp_path, words, message):
    lines = text(LANDMARKS).splitlines()
    lines[9] = words
    (tmp_path / "a.pts").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"a\.pts:10: '{words}', expected .*{message}"):
        read_pts(tmp_path / "a.pts", num_points=68)


def test_train_and_test_folders(tmp_path):
    tree(tmp_path, ["train/a.jpg", "train/deep/b.PNG", "train/c.tiff", "test/d.webp"])
    dataset = pts(tmp_path)
    assert dataset.train.names == ["a", "c", os.path.join("deep", "b")] and dataset.test.names == ["d"]
    np.testing.assert_allclose(dataset.train.landmarks[1], LANDMARKS, atol=1e-4)
    assert dataset.normalizer == "inter_ocular" and dataset.subsets == {} and dataset.name == tmp_path.name


def test_seeded_split(tmp_path):
    tree(tmp_path, [f"{i:02d}.jpg" for i in range(20)])
    first, again, other = (pts(tmp_path, test_fraction=0.25, seed=seed) for seed in (0, 0, 1))
    assert len(first.train) == 15 and len(first.test) == 5
    assert sorted(first.train.names + first.test.names) == [f"{i:02d}" for i in range(20)]
    assert first.test.names == again.test.names != other.test.names
    assert len(pts(tmp_path, test_fraction=1.0).train) == 0
    assert len(pts(tmp_path, test_fraction=0).test) == 0
    assert len(pts(tmp_path, test_fraction=0.001).test) == 1
    with pytest.raises(ValueError, match="test_fraction"):
        pts(tmp_path, test_fraction=7)


def test_lonely_files_are_listed(tmp_path):
    tree(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    os.remove(tmp_path / "a.pts")
    os.remove(tmp_path / "b.jpg")
    with pytest.warns(UserWarning) as warned:
        dataset = pts(tmp_path, test_fraction=0)
    messages = " ".join(str(warning.message) for warning in warned)
    assert "1 image without a .pts, left out: a" in messages and "1 .pts without an image, left out: b" in messages
    assert dataset.train.names == ["c"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image with a .pts file beside it .0 images, 0 .pts files"):
        pts(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"is no directory. Expected a folder of images.*synthetic"):
        pts(tmp_path / "nowhere")


def test_two_images_for_one_file(tmp_path):
    tree(tmp_path, ["a.jpg"])
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="share one name"):
        pts(tmp_path)


def test_wrong_scheme_and_no_size(tmp_path):
    tree(tmp_path, ["a.jpg"])
    with pytest.raises(ValueError, match=r"a\.pts:2: the file has 68 points, the scheme needs 98"):
        pts(tmp_path, scheme="wflw98")
    tree(tmp_path, ["a.jpg"], np.full((68, 2), 7.0))
    with pytest.raises(ValueError, match=r"a\.pts: the face has no size"):
        pts(tmp_path)


def test_real_frames(real):
    dataset = pts(real / "ytf68")
    assert (len(dataset.train), len(dataset.test)) == (2751, 396)
    person = [name.rsplit("_", 1)[0] for name in dataset.train.names]
    assert not set(person) & {name.rsplit("_", 1)[0] for name in dataset.test.names}
    # Abdel_Aziz_Al-Hakim_00.pts begins 64.65 109, 68.65 131.
    face = dataset.train[0]
    assert face.name == "Abdel_Aziz_Al-Hakim_00"
    np.testing.assert_allclose(face.landmarks[:2], [[64.15, 108.5], [68.15, 130.5]], atol=1e-5)
    assert len(pts(real / "samples", test_fraction=1.0).test) == 3
