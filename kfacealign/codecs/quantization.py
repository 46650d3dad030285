"""What a representation loses by itself: landmarks are encoded and decoded again, without a network.

The study is that of HIH (Sec. IV-B and Table IX) and of "Subpixel Heatmap Regression" (figure 3).
"""

import math
from collections.abc import Mapping

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.codecs.codec import Codec
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.decoders import NAMES, with_decoder
from kfacealign.codecs.heatmap import Heatmap
from kfacealign.codecs.heatmap_in_heatmap import HeatmapInHeatmap
from kfacealign.codecs.offsets import OffsetMap, OffsetValue

ENLARGEMENT = 1.1
DECODING = ("decoder", "window", "temperature")  # arguments of codecs that their maps do not depend on

# Name of the row -> codec. Each encodes to the outputs that it decodes. The others are compared with the first.
CODECS: dict[str, Codec] = {
    "heatmap 64x64, rounded": Heatmap(64),
    **{f"heatmap 64x64, rounded, {name}": Heatmap(64, decoder=name) for name in NAMES if name != "argmax"},
    "heatmap 64x64, floored": Heatmap(64, quantize="floor"),
    **{f"continuous 64x64, {name}": with_decoder(ContinuousHeatmap(64), name) for name in NAMES},
    "continuous 64x64, local 3x3": ContinuousHeatmap(64, window=3),
    "continuous 64x64, local 5x5": ContinuousHeatmap(64, window=5),
    "continuous 64x64, sigma 2.5, local 5x5, temperature 15": ContinuousHeatmap(64, 2.5, window=5, temperature=15.0),
    "continuous 64x64, sigma 1, local 5x5": ContinuousHeatmap(64, 1.0, window=5),
    "continuous 64x64, sigma 1, local 5x5, Eq. 1's factor": ContinuousHeatmap(64, 1.0, window=5, temperature=5.0 / math.pi),
    "offset value 64x64": OffsetValue(64),
    "offset map 64x64": OffsetMap(64),
    "heatmap in heatmap 64x64, 4x4": HeatmapInHeatmap(64, 4),
    "heatmap in heatmap 64x64, 8x8": HeatmapInHeatmap(64, 8),
    "heatmap in heatmap 64x64, 16x16": HeatmapInHeatmap(64, 16),
}


def quantization_table(
    landmarks: np.ndarray,
    scheme: schemes.Scheme | str,
    *,
    batch_size: int = 32,
    codecs: Mapping[str, Codec] | None = None,
) -> list[tuple[str, float]]:
    """The error of each codec on perfect predictions.

    The crop is the landmarks' box with its width and its height enlarged by 10 %; it is not made square.

    Args:
        landmarks: `(N, K, 2)` in image coordinates.
        scheme: scheme of the landmarks, a name or a `Scheme`; it needs eye corners.
        batch_size: faces encoded at a time.
        codecs: name -> codec; by default all of `CODECS`.

    Returns:
        List of (name of the codec, inter-ocular NME in percent).
    """
    landmarks = np.asarray(landmarks, "float64")
    left, right = schemes.get(scheme).eye_corners
    boxes = geometry.landmark_box(landmarks).astype("float64")
    corner, opposite = boxes[:, None, :2], boxes[:, None, 2:]
    extent = (opposite - corner) * ENLARGEMENT
    origin = (corner + opposite) / 2 - extent / 2
    inter_ocular = np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=-1)
    codecs = CODECS if codecs is None else codecs
    rows = []
    for name, crop in round_trips(codecs, (landmarks - origin) / extent, batch_size=batch_size).items():
        errors = np.linalg.norm(crop * extent + origin - landmarks, axis=-1) / inter_ocular[:, None]
        rows.append((name, float(100 * errors.mean())))
    return rows


def round_trips(codecs: Mapping[str, Codec], landmarks: np.ndarray, *, batch_size: int) -> dict[str, np.ndarray]:
    """Landmarks `(N, K, 2)` in crop coordinates, encoded and decoded by each codec: name -> `(N, K, 2)`."""
    decoded = {name: [] for name in codecs}
    for start in range(0, len(landmarks), batch_size):
        batch = np.asarray(landmarks[start : start + batch_size], "float32")
        encoded = {}  # codecs that differ only in decoding share their maps
        for name, codec in codecs.items():
            key = encoding(codec)
            if key not in encoded:
                targets = codec.encode(batch)
                encoded[key] = {"heatmap_1" if part == "heatmap" else part: maps for part, maps in targets.items()}
            decoded[name].append(np.asarray(codec.decode(encoded[key])[0]))
    return {name: np.concatenate(parts) for name, parts in decoded.items()}


def encoding(codec: Codec) -> tuple:
    """A key that two codecs share if they encode alike."""
    config = {name: value for name, value in codec.get_config().items() if name not in DECODING}
    return type(codec).__name__, *sorted(config.items())
