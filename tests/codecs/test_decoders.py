import functools

import checks
import keras
import numpy as np
import pytest

from kfacealign.codecs import Heatmap, HeatmapInHeatmap, decoders
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap import gaussian_maps
from kfacealign.models.inference import DecodeLandmarks

SIZE = 24


def gaussians(position, sigma=2.0, size=SIZE):
    """Maps `(1, size, size, K)` of Gaussians at `(K, 2)` positions in cells."""
    maps = checks.compiled(lambda position: gaussian_maps(position, size, sigma))
    return np.asarray(maps(np.asarray(position, "float32")[None]))


@functools.cache
def decoder(name, **options):
    return checks.compiled(lambda maps: decoders.decode(maps, name, **options))


def cells(maps, name, **options):
    """Decoded positions in cells, `(B, K, 2)`."""
    _, height, width, _ = maps.shape
    return np.asarray(decoder(name, **options)(maps)[0]) * [width, height]


@pytest.fixture(scope="module")
def interior():
    return np.random.default_rng(0).uniform(8, SIZE - 9, (60, 2))


def test_dark_is_exact_on_gaussians(interior):
    np.testing.assert_allclose(cells(gaussians(interior), "dark", sigma=2.0)[0], interior, atol=2e-3)


def test_dark_at_the_border_steps_along_it_only():
    found = cells(gaussians([[-0.4, 12.3], [12.3, SIZE - 0.7]]), "dark")[0]
    np.testing.assert_allclose(found, [[0, 12.3], [12.3, SIZE - 1]], atol=5e-3)


def dark_by_loops(maps, sigma):
    """The definition of one landmark after another: smooth, logarithm, derivatives, step."""
    _, height, width, points = maps.shape
    result = np.zeros((len(maps), points, 2))
    reach = int(np.ceil(3 * sigma))
    taps = np.arange(-reach, reach + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for b, k in np.ndindex(len(maps), points):
        padded = np.pad(maps[b, :, :, k].astype("float64"), reach + 1)
        smooth = np.apply_along_axis(np.convolve, 0, padded, kernel, mode="same")
        smooth = np.log(np.maximum(np.apply_along_axis(np.convolve, 1, smooth, kernel, mode="same"), 1e-10))
        y, x = np.unravel_index(maps[b, :, :, k].argmax(), (height, width))
        around = smooth[y + reach : y + reach + 3, x + reach : x + reach + 3]
        gradient = np.array([around[1, 2] - around[1, 0], around[2, 1] - around[0, 1]]) / 2
        dxy = (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0]) / 4
        dxx, dyy = around[1, 2] - 2 * around[1, 1] + around[1, 0], around[2, 1] - 2 * around[1, 1] + around[0, 1]
        hessian = np.array([[dxx, dxy], [dxy, dyy]])
        step = np.zeros(2)
        if dxx < 0 and np.linalg.det(hessian) > 1e-12:
            step = np.clip(-np.linalg.solve(hessian, gradient), -1, 1)
        step[[x in (0, width - 1), y in (0, height - 1)]] = 0
        result[b, k] = np.clip(np.array([x, y]) + step, 0, [width - 1, height - 1])
    return result


def test_dark_is_its_definition():
    """Noisy maps that are not square, with maxima on the borders too."""
    rng = np.random.default_rng(1)
    position = rng.uniform(-0.5, 11.5, (2, 40, 2)).astype("float32")
    maps = np.asarray(gaussian_maps(position, 12, 1.5))[:, :9] + rng.normal(0, 0.03, (2, 9, 12, 40))
    expected = dark_by_loops(maps.astype("float32"), 1.5)
    np.testing.assert_allclose(cells(maps.astype("float32"), "dark", sigma=1.5), expected, atol=2e-3)


def test_second_maximum_by_hand():
    """A quarter of a cell towards the highest of eight neighbours; between two that are equal; nowhere if all are."""
    maps = np.zeros((1, 5, 5, 4), "float32")
    maps[0, 2, 2] = 5
    maps[0, 2, 3, 0] = 3
    maps[0, 1, 1, 1] = 3
    maps[0, 2, 3, 2] = maps[0, 3, 2, 2] = 3
    diagonal = 0.25 / np.sqrt(2)
    expected = [[2.25, 2], [2 - diagonal, 2 - diagonal], [2 + diagonal, 2 + diagonal], [2, 2]]
    np.testing.assert_allclose(cells(maps, "wsm")[0], expected, atol=1e-6)


def test_second_maximum_looks_inside_the_map_only():
    maps = -np.ones((1, 4, 4, 1), "float32")
    maps[0, 0, 3, 0] = 5
    maps[0, 0, 2, 0] = 2
    np.testing.assert_allclose(cells(maps, "wsm"), [[[2.75, 0]]])


def test_every_decoder_reads_the_same_convention(interior):
    """`cell_centre` moves all by the same; a peak in the middle of a symmetric map is where all of them say."""
    maps = gaussians([[12, 12]], size=25)
    for name in decoders.NAMES:
        np.testing.assert_allclose(cells(maps, name), [[[12, 12]]], atol=1e-4)
        np.testing.assert_allclose(cells(maps, name, cell_centre=0.5), [[[12.5, 12.5]]], atol=1e-4)


def test_order_of_the_decoders_on_gaussians(interior):
    maps = gaussians(interior)
    error = {n: np.linalg.norm(cells(maps, n, window=7) - interior, axis=-1).mean() for n in decoders.NAMES}
    assert error["dark"] < error["local"] < 0.01 < error["shift"] < error["argmax"]
    assert error["wsm"] < error["argmax"]


def peaks_everywhere(size):
    """One map for each cell of a square map, with its maximum there."""
    return np.eye(size * size, dtype="float32").reshape(1, size, size, size * size)


NUMERICS = {
    "flat": np.zeros((1, 6, 6, 3), "float32"),
    "all maxima": np.full((1, 6, 6, 3), 7.0, "float32"),
    "negative": np.full((1, 6, 6, 3), -7.0, "float32"),
    "every cell": peaks_everywhere(6),
    "every cell, huge": 3e38 * peaks_everywhere(6),
    "inf": np.where(peaks_everywhere(6) > 0, np.inf, 0).astype("float32"),
    "all inf": np.full((1, 6, 6, 3), np.inf, "float32"),
    "-inf": np.full((1, 6, 6, 3), -np.inf, "float32"),
    "inf and -inf": np.where(peaks_everywhere(6) > 0, np.inf, -np.inf).astype("float32"),
    "nan": np.full((1, 6, 6, 3), np.nan, "float32"),
    "one nan": np.where(peaks_everywhere(6) > 0, np.nan, 0).astype("float32"),
    "nan and a peak": np.concatenate([np.full((1, 6, 3, 36), np.nan), peaks_everywhere(6)[:, :, 3:]], axis=2).astype("float32"),
}


@pytest.mark.parametrize("name", decoders.NAMES)
@pytest.mark.parametrize("maps", NUMERICS.values(), ids=NUMERICS)
def test_answers_are_finite_and_inside(name, maps):
    landmarks, scores = (np.asarray(part) for part in decoder(name, cell_centre=0.5)(maps))
    assert np.isfinite(landmarks).all() and np.isfinite(scores).all()
    assert (landmarks >= 0).all() and (landmarks <= 1).all()


@pytest.mark.parametrize("name", [name for name in decoders.NAMES if name != "soft"])
def test_a_lone_peak_is_found_wherever_it_is(name):
    """On every border and in every corner, within half a cell."""
    found = cells(20 * peaks_everywhere(6), name, window=3)[0]
    expected = np.stack(np.unravel_index(np.arange(36), (6, 6))[::-1], axis=-1)
    assert np.abs(found - expected).max() <= 0.5


def test_any_decoder_reads_a_trained_codec():
    landmarks = np.random.default_rng(0).uniform(0.3, 0.7, (1, 20, 2)).astype("float32")
    for codec in (Heatmap(32, 2.0), Heatmap(32, 2.0, quantize="floor"), ContinuousHeatmap(32)):
        outputs = {"heatmap_1": codec.encode(landmarks)["heatmap"]}
        for name in decoders.NAMES:
            other = decoders.with_decoder(codec, name, temperature=20.0)
            assert type(other) is type(codec) and other.decoder == name and other.temperature == 20.0
            settings = {"cell_centre": codec.cell_centre, "window": codec.window, "sigma": codec.sigma}
            expected, _ = decoder(name, temperature=20.0, **settings)(outputs["heatmap_1"])
            np.testing.assert_array_equal(checks.compiled(other.decode)(outputs)[0], expected)
            copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(other))
            assert copy.get_config() == other.get_config()


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="HeatmapInHeatmap has one way of decoding"):
        decoders.with_decoder(HeatmapInHeatmap(), "dark")
    with pytest.raises(ValueError, match=r"decoder is one of argmax, .*, local, not 'mean'"):
        decoders.decode(np.zeros((1, 4, 4, 1), "float32"), "mean")
    with pytest.raises(ValueError, match="window is 3, 5 or 7 cells, not 4"):
        Heatmap(decoder="local", window=4)
    with pytest.raises(ValueError, match="quantize is 'round' or 'floor', not 'ceil'"):
        Heatmap(quantize="ceil")


def test_floor_loses_half_a_cell_towards_the_upper_left():
    landmarks = np.random.default_rng(0).uniform(0.1, 0.9, (1, 400, 2)).astype("float32")
    errors = {}
    for quantize in ("floor", "round"):
        codec = Heatmap(64, quantize=quantize)
        errors[quantize] = 64 * (np.asarray(codec.decode({"heatmap_1": codec.encode(landmarks)["heatmap"]})[0]) - landmarks)
    assert errors["floor"].max() <= 1e-4 and errors["floor"].min() > -1
    assert np.abs(errors["round"]).max() <= 0.5001
    np.testing.assert_allclose(errors["floor"].mean(), -0.5, atol=0.05)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TFLite files are written by TensorFlow")
def test_converts_to_built_in_operators(tmp_path):
    """All decoders in one graph, batch 1, as exports have them."""
    from ai_edge_litert.interpreter import Interpreter

    maps = keras.Input((9, 12, 4), batch_size=1, name="maps")
    layers = {name: DecodeLandmarks(Heatmap(12, decoder=name, sigma=1.0)) for name in decoders.NAMES}
    model = keras.Model(maps, {name: layer({"heatmap_1": maps})["landmarks"] for name, layer in layers.items()})
    model.export(str(tmp_path / "m.tflite"), format="litert", verbose=False)
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    assert not [d for d in interpreter._get_ops_details() if d["op_name"].startswith("Flex") or d["op_name"] == "CUSTOM"]
    noise = np.random.default_rng(0).normal(size=(1, 9, 12, 4)).astype("float32")
    found, expected = interpreter.get_signature_runner()(maps=noise), model(noise)
    for name in decoders.NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
