"""Random views of face crops: geometric and photometric augmentation in which the landmarks follow the pixels."""

from typing import Any, Self

import numpy as np

from kfacealign import schemes
from kfacealign.backend import keras, ops
from kfacealign.data import image_ops

# What the uniform numbers of one sample decide, in order. "..._chosen" is compared with the probability; the others are
# mapped to the range. The order is part of the interface: the same numbers always give the same view.
DRAWS = (
    "translation_chosen",
    "translation_x",
    "translation_y",
    "rotation_chosen",
    "rotation",
    "scale_chosen",
    "scale",
    "flip_chosen",
    "color_chosen",
    "color_red",
    "color_green",
    "color_blue",
    "brightness_chosen",
    "brightness",
    "gray_chosen",
    "blur_chosen",
    "blur",
    "occlusion_chosen",
    "occlusion_width",
    "occlusion_height",
    "occlusion_x",
    "occlusion_y",
    "occlusion_red",
    "occlusion_green",
    "occlusion_blue",
)
_CONFIG = (
    "translation",
    "rotation",
    "scale",
    "flip",
    "color",
    "brightness",
    "gray",
    "blur",
    "occlusion",
    "translation_probability",
    "rotation_probability",
    "scale_probability",
    "color_probability",
    "brightness_probability",
    "blur_probability",
    "occlusion_probability",
    "scheme",
    "seed",
)
_WITH_PROBABILITY = ("translation", "rotation", "scale", "color", "brightness", "blur", "occlusion")


def _between(draw, low, high):
    return low + draw * (high - low)


def _affine(angle, scale, mirror, shift_x, shift_y, height, width):
    """Crop coordinates -> view coordinates: mirror, scale and rotate about the centre, then shift.

    All affine maps in this file are two rows of three (B,) tensors.
    """
    cosine, sine = scale * ops.cos(angle), scale * ops.sin(angle)
    # Angles are right in pixels, so a crop that is not square rotates by its aspect ratio.
    xx, xy = mirror * cosine, -sine * (height / width)
    yx, yy = mirror * sine * (width / height), cosine
    return (
        (xx, xy, 0.5 - (0.5 * xx + 0.5 * xy) + shift_x),
        (yx, yy, 0.5 - (0.5 * yx + 0.5 * yy) + shift_y),
    )


def _inverse_in_pixels(angle, scale, mirror, shift_x, shift_y, height, width):
    """The inverse of `_affine` in pixels about the centre: pixels of the view -> pixels of the crop."""
    cosine, sine = ops.cos(angle) / scale, ops.sin(angle) / scale
    xx, xy, yx, yy = mirror * cosine, mirror * sine, -sine, cosine
    shift_x, shift_y = shift_x * width, shift_y * height
    return (
        (xx, xy, -(xx * shift_x + xy * shift_y)),
        (yx, yy, -(yx * shift_x + yy * shift_y)),
    )


def _map_points(affine, points):
    # The product is written out because accelerators round the factors of a matrix product to ten bits.
    x, y = points[..., 0], points[..., 1]
    return ops.stack([row[0][:, None] * x + row[1][:, None] * y + row[2][:, None] for row in affine], axis=-1)


@keras.saving.register_keras_serializable(package="kfacealign")
class RandomView(keras.layers.Layer):
    """Random views of face crops.

    A view is made in this order: one affine map (mirror, scale and rotate about the centre, then translate; bilinear, black
    outside), colour gain and brightness, grey, Gaussian blur, and a rectangle of one random colour. Every transformation is
    chosen for each sample by its own probability, and then takes a value uniform in its range. All lengths are fractions of
    the crop's side, so that crops of 128 and of 256 pixels are treated alike. A range of 0 or None, or a probability of 0,
    switches a transformation off. The defaults are the views of PIPNet and HIH (PIPNet, "Implementation Details": 30 pixels of
    256, 30 degrees, blur to 5 pixels, a mirror, a rectangle of up to 40 % of the side in each direction).

    The layer augments whenever it is called, in training and out of it. Call it on batches, or map it over a dataset.

    Args:
        translation: largest shift along x and along y, as a fraction of the width and height.
        rotation: largest angle in degrees, to either side; 90 would take the right edge to the bottom.
        scale: range `(low, high)` of the zoom factor, or None for none.
        flip: probability of mirroring. Mirrored landmarks are reordered by the scheme, so that every point keeps its
            meaning.
        color: range `(low, high)` of the factor drawn for each colour channel, or None.
        brightness: largest change of all channels to either side, as a fraction of the full range.
        gray: probability of turning the colours to grey.
        blur: largest standard deviation of the Gaussian blur, as a fraction of the shorter side.
        occlusion: largest width and height of the rectangle, as a fraction of the width and height.
        translation_probability: how often the view is translated.
        rotation_probability: how often it is rotated.
        scale_probability: how often it is scaled.
        color_probability: how often the colour channels get factors.
        brightness_probability: how often the brightness changes.
        blur_probability: how often the view is blurred.
        occlusion_probability: how often a rectangle is painted.
        scheme: landmark scheme (name or `Scheme`) whose mirror permutation is used. None takes the scheme that has as many
            landmarks as the input.
        seed: seed of the layer's own random numbers, which are used when a call brings none.

    Call arguments:
        inputs: `(images, landmarks)`: images (B, H, W, 3) of any dtype, 0..255, with static H and W, and landmarks
            (B, K, 2) in crop coordinates.
        draws: optional numbers (B, `draws_per_sample`), uniform in [0, 1), that make all decisions (see `DRAWS`). The same
            numbers give the same views in every pipeline.

    Returns:
        `(images, landmarks, affine)`: images (B, H, W, 3) float32, 0..255; landmarks (B, K, 2) float32 in the coordinates
        of the view, reordered where the view is mirrored; affine (B, 2, 3) float32, the map from crop coordinates to view
        coordinates, which includes the mirror but not the reordering. `permute` reorders other values of the landmarks.

    Raises:
        ValueError: a probability or range is out of bounds, the images have no static size or not three channels, or no
            scheme fits the number of landmarks.

    Example:
        >>> views = RandomView.paper("wflw98")
        >>> images, landmarks, affine = views((images, landmarks))
        >>> weights = views.permute(weights, affine)
    """

    draws_per_sample = len(DRAWS)

    def __init__(
        self,
        *,
        translation: float = 30 / 256,
        rotation: float = 30.0,
        scale: tuple[float, float] | None = None,
        flip: float = 0.5,
        color: tuple[float, float] | None = None,
        brightness: float = 0.0,
        gray: float = 0.0,
        blur: float = 5 / 256,
        occlusion: float = 0.4,
        translation_probability: float = 0.5,
        rotation_probability: float = 0.5,
        scale_probability: float = 0.5,
        color_probability: float = 0.5,
        brightness_probability: float = 0.5,
        blur_probability: float = 0.3,
        occlusion_probability: float = 0.5,
        scheme: str | schemes.Scheme | None = None,
        seed: int = 0,
        dtype: Any = "float32",
        **kwargs: Any,
    ):
        # Half precision would move landmarks by a quarter of a pixel, so the layer ignores a mixed-precision policy.
        super().__init__(dtype=dtype, **kwargs)
        self.translation = translation
        self.rotation = rotation
        self.scale = None if scale is None else tuple(scale)
        self.flip = flip
        self.color = None if color is None else tuple(color)
        self.brightness = brightness
        self.gray = gray
        self.blur = blur
        self.occlusion = occlusion
        self.translation_probability = translation_probability
        self.rotation_probability = rotation_probability
        self.scale_probability = scale_probability
        self.color_probability = color_probability
        self.brightness_probability = brightness_probability
        self.blur_probability = blur_probability
        self.occlusion_probability = occlusion_probability
        self.scheme = None if scheme is None else schemes.get(scheme)
        self.seed = seed
        self._check()
        self.seed_generator = keras.random.SeedGenerator(seed)

    @classmethod
    def paper(cls, scheme: str | schemes.Scheme | None = None, **overrides: Any) -> Self:
        """The views of HIH and PIPNet, which are the defaults; `overrides` are constructor arguments."""
        return cls(scheme=scheme, **overrides)

    @classmethod
    def subpixel(cls, scheme: str | schemes.Scheme | None = None, **overrides: Any) -> Self:
        """The views of "Subpixel Heatmap Regression": like `paper`, with colour 0.6-1.4 and scale 0.85-1.15."""
        return cls(scheme=scheme, **{"color": (0.6, 1.4), "scale": (0.85, 1.15), **overrides})

    def _check(self):
        for name in ("flip", "gray", *(f"{name}_probability" for name in _WITH_PROBABILITY)):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability in [0, 1], got {getattr(self, name)}")
        for name in ("translation", "rotation", "brightness", "blur", "occlusion"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("scale", "color"):
            limits = getattr(self, name)
            if limits is not None and not (len(limits) == 2 and 0 < limits[0] <= limits[1]):
                raise ValueError(f"{name} is a range (low, high) of positive factors or None, got {limits}")
        for name, most in (("occlusion", 1.0), ("blur", 0.25)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} is a fraction of the side in [0, {most}], got {getattr(self, name)}")

    def mirror(self, num_landmarks: int) -> tuple[int, ...]:
        """The permutation that a mirrored face needs: K indices.

        Args:
            num_landmarks: K.

        Raises:
            ValueError: the layer's scheme has another number of landmarks, or it has none and no scheme is known by K.
        """
        if self.scheme is not None:
            scheme = self.scheme
            if scheme.num_points != num_landmarks:
                raise ValueError(f"scheme {scheme.name} has {scheme.num_points} landmarks, the input {num_landmarks}")
            return scheme.mirror
        fitting = [scheme for scheme in schemes.SCHEMES.values() if scheme.num_points == num_landmarks]
        if len(fitting) != 1:
            raise ValueError(f"no scheme is known by its {num_landmarks} landmarks: pass scheme= to RandomView, or flip=0")
        return fitting[0].mirror

    def _similarity(self, draw):
        """What the draws choose, each (B,): angle in radians, scale, mirror (-1 or 1), shift in x and in y."""
        zero = ops.zeros_like(draw["rotation"])
        angle, scale, mirror, shift_x, shift_y = zero, zero + 1, zero + 1, zero, zero
        if self.translation:
            chosen, limit = draw["translation_chosen"] < self.translation_probability, self.translation
            shift_x = ops.where(chosen, _between(draw["translation_x"], -limit, limit), zero)
            shift_y = ops.where(chosen, _between(draw["translation_y"], -limit, limit), zero)
        if self.rotation:
            chosen, limit = draw["rotation_chosen"] < self.rotation_probability, float(np.deg2rad(self.rotation))
            angle = ops.where(chosen, _between(draw["rotation"], -limit, limit), zero)
        if self.scale is not None:
            chosen = draw["scale_chosen"] < self.scale_probability
            scale = ops.where(chosen, _between(draw["scale"], *self.scale), scale)
        if self.flip:
            mirror = ops.where(draw["flip_chosen"] < self.flip, -1.0, mirror)
        return angle, scale, mirror, shift_x, shift_y

    def _photometric(self, images, draw):
        side = min(images.shape[1:3])
        one = ops.ones_like(draw["blur"])
        if self.color is not None or self.brightness:
            gain, offset = ops.stack([one, one, one], axis=-1), 0 * one
            if self.color is not None:
                chosen = (draw["color_chosen"] < self.color_probability)[:, None]
                channels = ops.stack([draw["color_red"], draw["color_green"], draw["color_blue"]], axis=-1)
                gain = ops.where(chosen, _between(channels, *self.color), gain)
            if self.brightness:
                chosen, limit = draw["brightness_chosen"] < self.brightness_probability, 255.0 * self.brightness
                offset = ops.where(chosen, _between(draw["brightness"], -limit, limit), offset)
            images = image_ops.adjust_color(images, gain, offset)
        if self.gray:
            images = image_ops.to_gray(images, draw["gray_chosen"] < self.gray)
        if self.blur and self.blur_probability:
            chosen = draw["blur_chosen"] < self.blur_probability
            images = image_ops.gaussian_blur(images, ops.where(chosen, draw["blur"] * (self.blur * side), 0.0))
        if self.occlusion and self.occlusion_probability:
            images = self._occlude(images, draw)
        return images

    def _occlude(self, images, draw):
        chosen = draw["occlusion_chosen"] < self.occlusion_probability
        width = ops.where(chosen, draw["occlusion_width"] * self.occlusion, 0.0)
        height = ops.where(chosen, draw["occlusion_height"] * self.occlusion, 0.0)
        x0, y0 = draw["occlusion_x"] * (1 - width), draw["occlusion_y"] * (1 - height)
        color = ops.stack([draw["occlusion_red"], draw["occlusion_green"], draw["occlusion_blue"]], axis=-1)
        return image_ops.occlude(images, (x0, y0, x0 + width, y0 + height), 255.0 * color)

    def call(self, inputs: tuple[Any, Any], draws: Any = None) -> tuple[Any, Any, Any]:
        images, landmarks = inputs
        height, width, channels = images.shape[1:]
        if height is None or width is None or channels != 3:
            raise ValueError(f"RandomView needs images (B, H, W, 3) with known H and W, got shape {images.shape}")
        images, landmarks = ops.cast(images, "float32"), ops.cast(landmarks, "float32")
        if draws is None:
            shape = (ops.shape(images)[0], self.draws_per_sample)
            draws = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        elif draws.shape[-1] != self.draws_per_sample:
            raise ValueError(f"draws must be (B, {self.draws_per_sample}), got shape {tuple(draws.shape)}")
        draws = ops.cast(draws, "float32")
        draw = {name: draws[:, i] for i, name in enumerate(DRAWS)}

        similarity = self._similarity(draw)
        if self.translation or self.rotation or self.scale is not None or self.flip:
            images = image_ops.sample_affine(images, _inverse_in_pixels(*similarity, height, width))
        affine = _affine(*similarity, height, width)
        landmarks = self._reorder(_map_points(affine, landmarks), similarity[2] < 0)
        affine = ops.stack([ops.stack(row, axis=-1) for row in affine], axis=1)
        return self._photometric(images, draw), landmarks, affine

    def _reorder(self, values, mirrored):
        if not self.flip:
            return values
        mirrored = ops.reshape(mirrored, (-1,) + (1,) * (len(values.shape) - 1))
        permutation = np.array(self.mirror(values.shape[1]), "int32")
        return ops.where(mirrored, ops.take(values, permutation, axis=1), values)

    def permute(self, values: Any, affine: Any) -> Any:
        """Reorder values of the landmarks where a view was mirrored.

        Args:
            values: (B, K) or (B, K, C), for instance the weights of the landmarks.
            affine: (B, 2, 3) as the layer returned it; a mirror makes its determinant negative.

        Returns:
            A tensor of the shape of `values`. The reordering is its own inverse.
        """
        values, affine = ops.convert_to_tensor(values), ops.convert_to_tensor(affine)
        return self._reorder(values, affine[:, 0, 0] * affine[:, 1, 1] < affine[:, 0, 1] * affine[:, 1, 0])

    def compute_output_shape(self, inputs_shape: tuple, draws_shape: tuple | None = None) -> tuple:
        images, landmarks = inputs_shape
        return tuple(images), tuple(landmarks), (images[0], 2, 3)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({name: getattr(self, name) for name in _CONFIG})
        config["scheme"] = None if self.scheme is None else schemes.described(self.scheme)
        return config
