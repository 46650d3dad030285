import numpy as np
import pytest

from kfacealign.data import celeba
from kfacealign.data.readers.celeba import five_points

LINES = ["000001.jpg    95  71 226 313", "000002.jpg  72 94 221 306", "000003.jpg 10 20 0 0"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Anno").mkdir()
    (tmp_path / "Img" / "img_celeba").mkdir(parents=True)
    for line in LINES:
        (tmp_path / "Img" / "img_celeba" / line.split()[0]).touch()
    write(tmp_path, LINES)
    header = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    points = f"1\n{header}\n000001.jpg 165 184 244 176 196 249 194 271 266 260\n"
    (tmp_path / "Anno" / "list_landmarks_celeba.txt").write_text(points)
    return tmp_path


def write(root, lines, count=None):
    text = "\n".join([str(len(lines) if count is None else count), "image_id x_1 y_1 width height", *lines])
    (root / "Anno" / "list_bbox_celeba.txt").write_text(text + "\n")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reads_what_was_written(root):
    with pytest.warns(UserWarning, match="1 boxes have no size, left out: 000003.jpg"):
        faces = celeba(root)
    assert faces.names == ["000001.jpg", "000002.jpg"] and faces.attributes["unlabelled"].all()
    assert faces.boxes[0].tolist() == [94.5, 70.5, 320.5, 383.5]
    # The placeholders span the box.
    np.testing.assert_allclose(faces.landmarks[0].min(0), [94.5, 70.5], atol=1e-3)
    assert celeba(root, scheme="wflw98").scheme.name == "wflw98"
    assert five_points(root)["000001.jpg"].tolist()[:2] == [[164.5, 183.5], [243.5, 175.5]]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(root):
    with pytest.raises(ValueError, match="faces 3, expected 202,599"):
        celeba(root, strict=True)
    (root / "Img" / "img_celeba" / "000001.jpg").unlink()
    with pytest.warns(UserWarning, match="1 photographs are missing, left out: 000001.jpg"):
        assert len(celeba(root)) == 1
    write(root, LINES, count=5)
    with pytest.raises(ValueError, match=r"list_bbox_celeba\.txt:5: 3 lines of photographs, the first line says 5"):
        celeba(root)
    write(root, [LINES[0], "000002.jpg 72 94 221"])
    with pytest.raises(ValueError, match=r"list_bbox_celeba\.txt:4: expected a name and 4 numbers, found 4 fields"):
        celeba(root)
    write(root, [LINES[0], "000002.jpg 72 94 221 x"])
    with pytest.raises(ValueError, match=r"list_bbox_celeba\.txt:4: expected a name and 4 numbers"):
        celeba(root)
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        celeba(root / "Anno")
