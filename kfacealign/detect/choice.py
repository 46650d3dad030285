"""Which detector is meant by a name or a file, and which is the best one that is installed."""

from pathlib import Path

from kfacealign.detect.blazeface import BlazeFaceDetector
from kfacealign.detect.detections import Detector
from kfacealign.detect.haar import HaarDetector
from kfacealign.detect.yunet import YuNetDetector

NAMES = ("blazeface", "haar")  # the best first; YuNet is named by its file


def make(detector: str | Detector | None = None, *, min_score: float | None = None) -> Detector:
    """The face detector that a name or a file stands for.

    Args:
        detector: "blazeface", "haar", the path of YuNet's `.onnx` file, or an object with a method `detect`, which is returned
            as it is. None is the best one that is installed.
        min_score: least score of a face; None leaves it to the detector.

    Raises:
        ValueError: there is no such detector.
        FileNotFoundError: there is no such file.
        ImportError: the detector is not installed.
    """
    if detector is not None and not isinstance(detector, str | Path):
        return detector
    options = {} if min_score is None else {"min_score": min_score}
    if detector is None:
        detector = available()[0]
    if detector == "blazeface":
        return BlazeFaceDetector(**options)
    if detector == "haar":
        return HaarDetector(**options)
    if Path(detector).suffix == ".onnx":
        return YuNetDetector(detector, **options)
    raise ValueError(f"no detector {str(detector)!r}; there are {', '.join(NAMES)}, and YuNet by the path of its .onnx file")


def available() -> list[str]:
    """Names of the detectors that are installed, the best first.

    Raises:
        ImportError: none is installed.
    """
    found, reasons = [], []
    for name, detector in zip(NAMES, (BlazeFaceDetector, HaarDetector), strict=True):
        try:
            detector.check()
            found.append(name)
        except ImportError as error:
            reasons.append(str(error))
    if not found:
        raise ImportError("; ".join(reasons))
    return found
