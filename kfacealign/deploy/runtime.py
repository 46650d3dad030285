"""Running exported models, with the interface of `FaceAligner.align`."""

from pathlib import Path

import numpy as np

from kfacealign import schemes
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.quiet import quiet


class ExportedAligner:
    """What exported models share: crops in, landmarks out.

    Attributes:
        metadata: dict, as written by `export`.
        scheme: the landmark `Scheme`.
        input_size: side of the crops in pixels.
        enlarge: side of the crops over the longer side of the landmark box, as in training.
        resizable: whether the graph takes any number of crops, else one.
    """

    def __init__(self, path, described):
        self.path = str(path)
        self.metadata = described
        try:
            self.scheme = schemes.get(described["scheme"])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.input_size = described["input_size"]
        self.enlarge = described["enlarge"]
        image = described.get("input", {})
        self.dtype = image.get("dtype", "float32")
        self.resizable = image.get("shape", [1])[0] is None

    def run_tensors(self, tensors):
        """The graph as it is: dict of input arrays -> dict of output arrays."""
        raise TypeError(f"{type(self).__name__} does not define run_tensors")

    def run(self, image):
        """`(B, S, S, 3)` pixels 0..255, B = 1 unless `resizable` -> landmarks `(B, K, 2)`, scores `(B, K)`."""
        result = self.run_tensors({"image": as_pixels(image, self.dtype)})
        return result["landmarks"], result["scores"]

    def align(self, images, batch_size=32, verbose="auto"):
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float, S the input size.
            batch_size: crops a step of a model that is `resizable`; others take one.
            verbose: 1 shows a progress bar, 0 none; "auto" shows it from 128 crops on.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: the crops are not of the shape the model reads.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        points = self.scheme.num_points
        landmarks = np.zeros((len(images), points, 2), "float32")
        scores = np.zeros((len(images), points), "float32")
        shown = len(images) >= 128 if verbose == "auto" else bool(verbose)
        step = batch_size if self.resizable else 1
        for first in progress(range(0, len(images), step), "aligning", shown):
            batch = slice(first, first + step)
            landmarks[batch], scores[batch] = self.run(images[batch])
        return landmarks, scores


def as_pixels(images, dtype):
    """Pixels of any type as `dtype`, float32 or uint8."""
    images = np.asarray(images)
    if dtype == "uint8" and images.dtype != np.uint8:
        images = np.clip(np.rint(images), 0, 255)
    return images.astype(dtype, copy=False)


class LiteRTAligner(ExportedAligner):
    """A TFLite model written by `export`, run by LiteRT (or TensorFlow's interpreter) with XNNPACK.

    Args:
        path: the `.tflite` file. threads: number of CPU threads; None leaves it to the runtime.

    Raises:
        ValueError: the file is no TFLite model, or was not written by `export`.

    Example:
        >>> aligner = LiteRTAligner("hih.tflite")
        >>> landmarks, scores = aligner.align(crops)
    """

    def __init__(self, path, threads=None):
        content = Path(path).read_bytes()
        if not flatbuffer.is_tflite(content):
            raise ValueError(f"{path}: not a TFLite file")
        try:
            text = flatbuffer.read_metadata(content, metadata.NAME)
            with quiet():
                self.interpreter = interpreter_class()(model_content=content, num_threads=threads)
                self.interpreter.allocate_tensors()
        except Exception as error:
            # A cut file fails anywhere between the bindings and the runtime.
            raise ValueError(f"{path} is damaged: {error}") from error
        super().__init__(path, metadata.parse(text, path))
        self.threads = threads
        self.runner = self.interpreter.get_signature_runner()

    def run_tensors(self, tensors):
        return self.runner(**tensors)


class SavedModelAligner(ExportedAligner):
    """A SavedModel written by `export`, run by TensorFlow.

    Args:
        path: the folder.

    Raises:
        ValueError: the folder was not written by `export`, or is damaged.
    """

    def __init__(self, path):
        file = Path(path) / metadata.FILE
        super().__init__(path, metadata.parse(file.read_text(encoding="utf-8") if file.exists() else None, path))
        with quiet():
            import tensorflow as tf

        try:
            # Kept: the signature's variables live as long as the model.
            self.model = tf.saved_model.load(str(path))
        except Exception as error:
            raise ValueError(f"{path} is damaged: {str(error).strip().splitlines()[0]}") from error

    def run_tensors(self, tensors):
        return {name: value.numpy() for name, value in self.model.signatures["serving_default"](**tensors).items()}


def interpreter_class():
    """LiteRT's interpreter, else TensorFlow's, which is the same runtime."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter


def load(path, threads=None):
    """Any saved model by its path, all with `align`, `scheme`, `input_size` and `enlarge`.

    Args:
        path: a `.keras` file, a `.tflite` or `.onnx` file, or a SavedModel folder.
        threads: CPU threads of a TFLite or ONNX model.

    Returns:
        `FaceAligner`, `LiteRTAligner`, `OnnxAligner` or `SavedModelAligner`; `StreamingRuntime` of a tracker's step.

    Raises:
        FileNotFoundError: nothing is at `path`. ValueError: it is none of these.
    """
    path = Path(path)
    if path.suffix == ".keras" and path.exists():
        return load_keras(path)
    model = load_exported(path, threads)
    if model.metadata.get("states"):
        from kfacealign.deploy.streaming import StreamingRuntime

        return StreamingRuntime(path, threads=threads)
    return model


def load_exported(path, threads=None):
    """As `load`, of exported models only; a tracker's step is given as the graph that it is."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such model. Train one (make train) or give a .keras, .tflite, .onnx or SavedModel path"
        )
    if path.suffix == ".tflite":
        return LiteRTAligner(path, threads=threads)
    if path.suffix == ".onnx":
        from kfacealign.deploy.onnx_runtime import OnnxAligner

        return OnnxAligner(path, threads=threads)
    if (path / "saved_model.pb").exists():
        return SavedModelAligner(path)
    raise ValueError(f"{path} is not a model: give a .keras file, a .tflite file, an .onnx file or a SavedModel folder")


def load_keras(path):
    with quiet():
        import keras

        import kfacealign.models

    try:
        with quiet():  # TensorFlow looks for GPUs now, and complains where there is none
            model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        # Keras, zipfile and h5py each have their own; the first line tells what is wrong.
        raise ValueError(f"{path} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(model, kfacealign.models.FaceAligner):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a kfacealign model")
    return model


def progress(items, description, shown):
    """The items, with a progress bar on a terminal if `shown`."""
    if not shown:
        return items
    from rich.progress import track

    return track(items, description=description)
