import keras
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.views import DRAWS, RandomView

OFF = {
    "translation": 0.0,
    "rotation": 0.0,
    "scale": None,
    "flip": 0.0,
    "color": None,
    "brightness": 0.0,
    "gray": 0.0,
    "blur": 0.0,
    "occlusion": 0.0,
}
ALWAYS = {f"{name}_probability": 1.0 for name in ("translation", "rotation", "scale", "color", "brightness", "blur")}
ALONE = {
    "translation": {"translation": 30 / 256},
    "rotation": {"rotation": 30.0},
    "scale": {"scale": (0.85, 1.15)},
    "flip": {"flip": 1.0},
    "color": {"color": (0.6, 1.4)},
    "brightness": {"brightness": 0.2},
    "gray": {"gray": 1.0},
    "blur": {"blur": 5 / 256},
    "occlusion": {"occlusion": 0.4},
}
SCHEME = "wflw98"
K = 98


def view(**settings):
    """A layer with every transformation off but the ones given, which are always applied."""
    return RandomView(**{**OFF, **ALWAYS, "occlusion_probability": 1.0, **settings})


def draws(count, **values):
    """Numbers that choose everything (0) and put every value in the middle of its range, except those given."""
    table = np.full((count, len(DRAWS)), 0.5, np.float32)
    for i, name in enumerate(DRAWS):
        table[:, i] = values.get(name, 0.0 if name.endswith("_chosen") else 0.5)
    return table


def random_draws(count, seed):
    return np.random.default_rng(seed).random((count, len(DRAWS)), dtype=np.float32)


def noise(count, height, width=None, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width or height, 3), dtype=np.uint8)


def points(count, low=0.0, high=1.0, seed=0, landmarks=K):
    return np.random.default_rng(seed).uniform(low, high, (count, landmarks, 2)).astype(np.float32)


def dots(landmarks, height, width, sigma):
    """One image per row of `landmarks` (B, 2) in crop coordinates, each with a blob there."""
    x = np.arange(width) + 0.5 - landmarks[:, 0, None] * width
    y = np.arange(height) + 0.5 - landmarks[:, 1, None] * height
    blob = np.exp(-(x[:, None, :] ** 2 + y[:, :, None] ** 2) / (2 * sigma**2))
    return np.repeat(120.0 * blob[..., None], 3, axis=-1).astype(np.float32)


def find(image, near, radius):
    """Centroid in pixels of what stands out of the background within `radius` pixels of `near`."""
    mass = np.asarray(image, np.float64).sum(-1)
    y, x = np.mgrid[: mass.shape[0], : mass.shape[1]] + 0.5
    window = (x - near[0]) ** 2 + (y - near[1]) ** 2 < radius**2
    rim = window & ((x - near[0]) ** 2 + (y - near[1]) ** 2 > (radius - 1.5) ** 2)
    mass = np.where(window, mass - np.median(mass[rim]), 0.0)
    return np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()


def numpy(result):
    return [keras.ops.convert_to_numpy(tensor) for tensor in result]


@pytest.mark.parametrize(
    "name, height, width",
    [(name, size, size) for size in (64, 128, 256) for name in (*ALONE, "geometry", "everything")]
    + [("geometry", 96, 160), ("everything", 160, 96)],
)
def test_landmarks_follow_the_pixels(name, height, width):
    if name == "geometry":
        settings = {key: value for part in ("translation", "rotation", "scale") for key, value in ALONE[part].items()}
        settings["flip"] = 0.5
    elif name == "everything":
        settings = {key: value for part in ALONE.values() for key, value in part.items()}
        settings.update(flip=0.5, gray=0.5)
    else:
        settings = ALONE[name]
    count, sigma = 4, 2.5
    landmarks = points(count, 0.3, 0.7)
    images = dots(landmarks[np.arange(count), np.arange(count)], height, width, sigma)
    numbers = random_draws(count, seed=3)
    numbers[:, DRAWS.index("flip_chosen")] = np.tile([0.2, 0.8], count // 2)
    numbers[:, DRAWS.index("occlusion_x")] = numbers[:, DRAWS.index("occlusion_y")] = 0.0
    numbers[:, DRAWS.index("occlusion_width")] *= 0.2  # the rectangle stays clear of the dots
    seen, moved, _ = numpy(view(scheme=SCHEME, **settings)((images, landmarks), draws=numbers))

    mirror = np.array(schemes.get(SCHEME).mirror)
    for i in range(count):
        mirrored = settings.get("flip", 0) == 1 or (settings.get("flip", 0) == 0.5 and i % 2 == 0)
        expected = moved[i, mirror[i] if mirrored else i] * [width, height]
        radius = 4 * sigma + 3.5 * settings.get("blur", 0) * min(height, width)
        assert np.abs(find(seen[i], expected, radius) - expected).max() < 0.1, (i, expected)


def test_no_transformation_is_the_identity():
    images, landmarks = noise(4, 96, 160), points(4)
    everything = {key: value for part in ALONE.values() for key, value in part.items()}
    never = {f"{name}_probability": 0.0 for name in ("translation", "rotation", "scale", "color", "brightness", "blur")}
    never.update(flip=0.0, gray=0.0, occlusion_probability=0.0)
    for layer in (view(), RandomView(**{**everything, **never}, scheme=SCHEME)):
        seen, moved, affine = numpy(layer((images, landmarks), draws=random_draws(4, 1)))
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen, images.astype(np.float32))
        np.testing.assert_array_equal(moved, landmarks)
        np.testing.assert_array_equal(affine, np.tile([[[1, 0, 0], [0, 1, 0]]], (4, 1, 1)))


def test_samples_that_were_not_chosen_stay_as_they_are():
    images, landmarks = noise(4, 32), points(4)
    layer = RandomView.subpixel(SCHEME, brightness=0.3, gray=0.5)
    never = draws(4, **{name: 0.99 for name in DRAWS if name.endswith("_chosen")})
    seen, moved, _ = numpy(layer((images, landmarks), draws=never))
    np.testing.assert_array_equal(seen, images.astype(np.float32))
    np.testing.assert_array_equal(moved, landmarks)


def test_translation_by_thirty_pixels():
    images, landmarks = noise(4, 256), points(4)
    numbers = draws(4, translation_x=1.0, translation_y=0.5)
    seen, moved, affine = numpy(view(translation=30 / 256)((images, landmarks), draws=numbers))
    np.testing.assert_allclose(moved, landmarks + np.array([30 / 256, 0]), atol=1e-6)
    np.testing.assert_array_equal(seen[:, :, 30:], images[:, :, :-30])
    np.testing.assert_array_equal(seen[:, :, :30], 0)
    np.testing.assert_allclose(affine[0], [[1, 0, 30 / 256], [0, 1, 0]], atol=1e-7)


def test_quarter_turn_takes_the_right_edge_to_the_bottom():
    images, landmarks = noise(4, 64), np.tile(np.float32([[1.0, 0.5], [0.5, 0.25]]), (4, 1, 1))
    seen, moved, _ = numpy(view(rotation=90.0)((images, landmarks), draws=draws(4, rotation=1.0)))
    np.testing.assert_allclose(moved[0], [[0.5, 1.0], [0.75, 0.5]], atol=1e-6)
    np.testing.assert_allclose(seen[0], np.rot90(images[0], -1), atol=0.05)
    _, moved, _ = numpy(view(rotation=90.0)((images, landmarks), draws=draws(4, rotation=0.0)))
    np.testing.assert_allclose(moved[0], [[0.5, 0.0], [0.25, 0.5]], atol=1e-6)


def test_rotation_is_rigid_in_pixels_of_a_crop_that_is_not_square():
    landmarks = np.tile(np.float32([[1.0, 0.5]]), (4, 2, 1))  # 80 pixels right of the centre
    _, moved, _ = numpy(view(rotation=30.0)((noise(4, 96, 160), landmarks), draws=draws(4, rotation=1.0)))
    offset = (moved[0, 0] - 0.5) * [160, 96]
    np.testing.assert_allclose(offset, [80 * np.cos(np.pi / 6), 40], rtol=1e-5)


def test_scale_zooms_about_the_centre():
    landmarks = np.tile(np.float32([[0.75, 0.5], [0.5, 0.5]]), (4, 1, 1))
    _, moved, _ = numpy(view(scale=(0.5, 2.0))((noise(4, 64), landmarks), draws=draws(4, scale=1.0)))
    np.testing.assert_allclose(moved[0], [[1.0, 0.5], [0.5, 0.5]], atol=1e-6)


def test_flip_mirrors_pixels_and_reorders_landmarks():
    images, landmarks = noise(4, 33, 47), points(4)
    layer = view(flip=1.0, scheme=SCHEME)
    seen, moved, affine = numpy(layer((images, landmarks), draws=draws(4)))
    mirror = np.array(schemes.get(SCHEME).mirror)
    np.testing.assert_array_equal(seen, images[:, :, ::-1])
    np.testing.assert_allclose(moved, (landmarks * [-1, 1] + [1, 0])[:, mirror], atol=1e-6)
    np.testing.assert_allclose(affine[0], [[-1, 0, 1], [0, 1, 0]], atol=1e-7)
    weights = np.random.default_rng(0).random((4, K), dtype=np.float32)
    np.testing.assert_array_equal(numpy([layer.permute(weights, affine)])[0], weights[:, mirror])
    straight = np.tile(np.eye(2, 3, dtype=np.float32), (4, 1, 1))
    np.testing.assert_array_equal(numpy([layer.permute(weights, straight)])[0], weights)


def test_the_affine_reproduces_the_landmarks_and_its_inverse_recovers_them():
    images, landmarks = noise(16, 24, 40), points(16)
    layer = RandomView.subpixel(SCHEME)
    _, moved, affine = numpy(layer((images, landmarks), draws=random_draws(16, 5)))
    moved = numpy([layer.permute(moved, affine)])[0]  # its own inverse: back to the order of the input
    linear, offset = affine[..., :2], affine[:, None, :, 2]
    np.testing.assert_allclose(moved, landmarks @ linear.swapaxes(1, 2) + offset, atol=1e-5)
    back = (moved - offset) @ np.linalg.inv(linear).swapaxes(1, 2)
    np.testing.assert_allclose(back, landmarks, atol=1e-5)
    assert 4 < (np.linalg.det(linear) < 0).sum() < 12


def test_occlusion_is_one_rectangle_of_one_color_and_at_most_forty_percent_wide():
    count, size = 60, 50
    images = np.full((count, size, size, 3), 300.0, np.float32)  # brighter than any colour that is painted
    numbers = random_draws(count, 2)
    numbers[0] = draws(1, occlusion_width=1.0, occlusion_height=1.0, occlusion_x=1.0, occlusion_y=0.0)[0]
    seen, _, _ = numpy(view(occlusion=0.4)((images, points(count)), draws=numbers))
    extents = []
    for i, image in enumerate(seen):
        rows, columns = np.nonzero(image[..., 0] != 300)
        if len(rows):
            patch = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert len(rows) == patch.shape[0] * patch.shape[1] and np.ptp(patch, axis=(0, 1)).max() == 0
            start = DRAWS.index("occlusion_red")
            np.testing.assert_allclose(patch[0, 0], 255 * numbers[i, start : start + 3], rtol=1e-5)
            extents.append(patch.shape[:2])
    assert np.max(extents) <= 20 and np.max(extents, axis=0).min() >= 18 and np.min(extents) <= 3
    assert (seen[0, :20, 30:] != 300).all() and (seen[0] != 300).any(-1).sum() == 400


def test_color_brightness_and_gray():
    images = np.full((4, 32, 32, 3), [100, 50, 200], np.float32)
    landmarks = points(4)
    numbers = draws(4, color_red=0.0, color_green=0.5, color_blue=1.0)
    seen, _, _ = numpy(view(color=(0.6, 1.4))((images, landmarks), draws=numbers))
    np.testing.assert_allclose(seen[0, 0, 0], [60, 50, 255], rtol=1e-6)
    seen, _, _ = numpy(view(brightness=0.5)((images, landmarks), draws=draws(4, brightness=0.0)))
    np.testing.assert_allclose(seen[0, 0, 0], [0, 0, 72.5], rtol=1e-6)
    seen, _, _ = numpy(view(gray=1.0)((noise(4, 32), points(4)), draws=draws(4)))
    np.testing.assert_array_equal(seen[..., 0], seen[..., 1])
    np.testing.assert_array_equal(seen[..., 0], seen[..., 2])
    np.testing.assert_allclose(seen[..., 0], noise(4, 32) @ [0.299, 0.587, 0.114], rtol=1e-5)


def test_every_transformation_keeps_its_probability_and_range():
    count, size = 3000, 8
    layer = RandomView(
        **{**OFF, "translation": 0.1, "rotation": 30.0, "scale": (0.8, 1.2), "flip": 0.25},
        translation_probability=0.3,
        rotation_probability=0.6,
        scale_probability=0.8,
        scheme=SCHEME,
    )
    images = np.zeros((count, size, size, 3), np.uint8)
    centre = np.full((count, K, 2), 0.5, np.float32)
    _, moved, affine = numpy(layer((images, centre), draws=random_draws(count, 7)))
    determinant = np.linalg.det(affine[..., :2])
    angle = np.rad2deg(np.arctan2(affine[:, 1, 0] * np.sign(determinant), affine[:, 1, 1]))
    scale, shift = np.sqrt(np.abs(determinant)), moved[:, 0] - 0.5

    def close(fraction, probability):
        return abs(fraction - probability) < 4 * np.sqrt(probability * (1 - probability) / count)

    assert close((determinant < 0).mean(), 0.25)
    for values, probability, low, high in (
        (shift[:, 0], 0.3, -0.1, 0.1),
        (shift[:, 1], 0.3, -0.1, 0.1),
        (angle, 0.6, -30, 30),
        (scale - 1, 0.8, -0.2, 0.2),
    ):
        changed = values[np.abs(values) > 1e-5]
        assert close(len(changed) / count, probability)
        margin = 0.02 * (high - low)
        assert low - 1e-4 <= changed.min() < low + margin and high - margin < changed.max() <= high + 1e-4
        assert abs(changed.mean()) < 0.05 * (high - low)


@pytest.mark.parametrize("name", ["color", "brightness", "gray", "blur", "occlusion"])
def test_photometric_probabilities(name):
    count, probability = 2000, 0.3
    chance = name if name == "gray" else f"{name}_probability"
    layer = view(**{**ALONE[name], "blur": 0.2 if name == "blur" else 0.0, chance: probability})
    image = np.tile(noise(1, 8) // 2 + 60, (count, 1, 1, 1))
    numbers = random_draws(count, 8)
    numbers[:, [DRAWS.index(draw) for draw in ("blur", "occlusion_width", "occlusion_height")]] = 1.0
    seen, _, _ = numpy(layer((image, np.zeros((count, K, 2), np.float32)), draws=numbers))
    fraction = (np.abs(seen - image).max(axis=(1, 2, 3)) > 0).mean()
    assert abs(fraction - probability) < 0.045


def test_defaults_are_those_of_the_papers():
    config = RandomView.paper(SCHEME).get_config()
    assert config["translation"] * 256 == 30 and config["rotation"] == 30 and config["blur"] * 256 == 5
    assert config["occlusion"] == 0.4 and config["flip"] == 0.5 and config["blur_probability"] == 0.3
    assert all(config[f"{name}_probability"] == 0.5 for name in ("translation", "rotation", "occlusion"))
    assert config["scale"] is None and config["color"] is None and config["gray"] == 0
    config = RandomView.subpixel(SCHEME).get_config()
    assert config["scale"] == (0.85, 1.15) and config["color"] == (0.6, 1.4) and config["blur"] * 256 == 5


def test_same_numbers_give_the_same_bytes_and_the_seed_governs_the_layers_own():
    images, landmarks, numbers = noise(4, 32), points(4), random_draws(4, 9)
    first = numpy(RandomView.subpixel(SCHEME)((images, landmarks), draws=numbers))
    second = numpy(RandomView.subpixel(SCHEME, seed=5)((images, landmarks), draws=numbers))
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()
    layer, again, other = (RandomView.subpixel(SCHEME, seed=seed) for seed in (1, 1, 2))
    ours = numpy(layer((images, landmarks)))
    np.testing.assert_array_equal(ours[0], numpy(again((images, landmarks)))[0])
    assert np.abs(ours[0] - numpy(other((images, landmarks)))[0]).max() > 1
    assert np.abs(ours[0] - numpy(layer((images, landmarks)))[0]).max() > 1  # the next batch is another view


def test_config_round_trip():
    layer = RandomView.subpixel(SCHEME, brightness=0.2, gray=0.1, seed=4, name="views")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.get_config() == layer.get_config()
    images, landmarks, numbers = noise(4, 32), points(4), random_draws(4, 1)
    for a, b in zip(*(numpy(x((images, landmarks), draws=numbers)) for x in (layer, twin)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_works_inside_a_model_which_saves_and_loads(tmp_path):
    images = keras.Input((32, 32, 3))
    landmarks = keras.Input((K, 2))
    numbers = keras.Input((RandomView.draws_per_sample,))
    layer = RandomView.subpixel(SCHEME)
    model = keras.Model([images, landmarks, numbers], layer((images, landmarks), draws=numbers))
    assert [tuple(output.shape) for output in model.outputs] == [(None, 32, 32, 3), (None, K, 2), (None, 2, 3)]
    inputs = [noise(4, 32).astype(np.float32), points(4), random_draws(4, 6)]
    model.save(tmp_path / "views.keras")
    loaded = keras.saving.load_model(tmp_path / "views.keras")
    direct = numpy(layer((inputs[0], inputs[1]), draws=inputs[2]))
    for a, b, c in zip(direct, numpy(loaded(inputs)), model.predict(inputs, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
        np.testing.assert_allclose(a, c, atol=1e-2)


def test_compiled_equals_eager():
    images, landmarks, numbers = noise(4, 32), points(4), random_draws(4, 3)
    layer = RandomView.subpixel(SCHEME, brightness=0.2, gray=0.3)

    def call(images, landmarks, numbers):
        return layer((images, landmarks), draws=numbers)

    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(call)(images, landmarks, numbers)
    else:
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((images, landmarks, numbers)).batch(4).map(call)
        compiled = next(iter(dataset))
    for a, b in zip(numpy(layer((images, landmarks), draws=numbers)), numpy(compiled), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data needs the TensorFlow backend")
def test_own_random_numbers_inside_tf_data():
    import tensorflow as tf

    layer = RandomView.paper(SCHEME)
    dataset = tf.data.Dataset.from_tensors((noise(4, 16), points(4))).repeat(3)
    views = [numpy(batch) for batch in dataset.map(lambda images, landmarks: layer((images, landmarks)))]
    assert views[0][0].shape == (4, 16, 16, 3)
    assert np.abs(views[0][1] - views[1][1]).max() > 0.01 and np.abs(views[1][1] - views[2][1]).max() > 0.01


def test_a_mixed_precision_policy_does_not_reach_the_landmarks():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        seen, moved, _ = numpy(RandomView.paper(SCHEME)((noise(4, 32), points(4)), draws=draws(4)))
    finally:
        keras.config.set_dtype_policy(policy)
    assert seen.dtype == moved.dtype == np.float32
    expected = numpy(RandomView.paper(SCHEME)((noise(4, 32), points(4)), draws=draws(4)))[1]
    np.testing.assert_array_equal(moved, expected)


def test_scheme_is_known_by_the_number_of_landmarks():
    images, landmarks = noise(4, 32), points(4, landmarks=68)
    named = numpy(view(flip=1.0, scheme="ibug68")((images, landmarks), draws=draws(4)))
    np.testing.assert_array_equal(named[1], numpy(view(flip=1.0)((images, landmarks), draws=draws(4)))[1])
    with pytest.raises(ValueError, match="5 landmarks: pass scheme="):
        view(flip=1.0)((images, points(4, landmarks=5)))
    with pytest.raises(ValueError, match="wflw98 has 98 landmarks, the input 68"):
        view(flip=1.0, scheme="wflw98")((images, landmarks))
    view(flip=0.0)((images, points(4, landmarks=5)))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"flip": 1.5}, "flip is a probability"),
        ({"blur_probability": -0.1}, "blur_probability is a probability"),
        ({"rotation": -3.0}, "rotation must not be negative"),
        ({"scale": (1.2, 0.8)}, "scale is a range"),
        ({"color": (0.0, 1.0)}, "color is a range"),
        ({"occlusion": 1.1}, "occlusion is a fraction"),
        ({"blur": 5.0}, "blur is a fraction"),
    ],
)
def test_settings_out_of_bounds(settings, message):
    with pytest.raises(ValueError, match=message):
        RandomView(**settings)


def test_wrong_shapes():
    with pytest.raises(ValueError, match="needs images"):
        RandomView(scheme=SCHEME)((noise(2, 8)[..., :1], points(2)))
    with pytest.raises(ValueError, match="draws must be"):
        RandomView(scheme=SCHEME)((noise(2, 8), points(2)), draws=np.zeros((2, 3), np.float32))
