"""Writes the golden values that `tests/test_tfa_parity.py` reads, with TensorFlow Addons.

TensorFlow Addons 0.23 is the last release and does not import beside Keras 3, so this needs an environment of its own
(Python 3.11) and is no part of the tests:

    python3.11 -m venv tfa
    tfa/bin/pip install "tensorflow==2.15.*" "tensorflow-addons==0.23.0" "numpy<2"
    tfa/bin/python tests/golden/tfa_golden.py

`tfa_lamb.npz` holds the least-squares problem |inputs @ kernel + bias - targets|^2 (mean over all entries) and what ten
steps of `tfa.optimizers.LAMB` make of its parameters; `tfa_image.npz` an image, and its rotations and translations by
`tfa.image`, bilinear with 0 outside.
"""

from pathlib import Path

import numpy as np

STEPS = 10
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
ANGLES = (5.0, -30.0, 90.0, 143.0)  # degrees
SHIFTS = ((3.0, -2.0), (0.5, 0.25), (-4.3, 1.7), (0.0, 6.0))  # pixels, x and y


def problem():
    """Inputs (12, 7), targets (12, 5) and first parameters: kernel (7, 5), bias (5,) of zeros; float32."""
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape).astype("float32") for shape in ((12, 7), (12, 5), (7, 5))]
    return dict(zip(("inputs", "targets", "kernel"), arrays, strict=True), bias=np.zeros(5, "float32"))


def lamb(data, weight_decay):
    """The kernel (STEPS, 7, 5) and the bias (STEPS, 5) after each step of TFA's LAMB."""
    import tensorflow as tf
    import tensorflow_addons as tfa

    kernel, bias = tf.Variable(data["kernel"], name="kernel"), tf.Variable(data["bias"], name="bias")
    optimizer = tfa.optimizers.LAMB(LEARNING_RATE, weight_decay=weight_decay)
    kernels, biases = [], []
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((data["inputs"] @ kernel + bias - data["targets"]) ** 2)
        gradients = tape.gradient(loss, [kernel, bias])
        optimizer.apply_gradients(zip(gradients, [kernel, bias], strict=True))
        kernels.append(kernel.numpy())
        biases.append(bias.numpy())
    return np.stack(kernels), np.stack(biases)


def image():
    """(16, 16, 3) float32 of 0..255: noise, the hardest case for a resampling."""
    return np.random.default_rng(1).uniform(0, 255, (16, 16, 3)).astype("float32")


def main():
    import tensorflow_addons as tfa

    folder = Path(__file__).parent
    data = problem()
    kernels, biases = lamb(data, 0.0)
    decayed_kernels, decayed_biases = lamb(data, WEIGHT_DECAY)
    np.savez_compressed(
        folder / "tfa_lamb.npz",
        **data,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        kernels=kernels,
        biases=biases,
        decayed_kernels=decayed_kernels,
        decayed_biases=decayed_biases,
    )
    pixels = image()
    options = {"interpolation": "bilinear", "fill_mode": "constant", "fill_value": 0.0}
    rotated = [tfa.image.rotate(pixels, np.deg2rad(angle), **options).numpy() for angle in ANGLES]
    shifted = [tfa.image.translate(pixels, shift, **options).numpy() for shift in SHIFTS]
    np.savez_compressed(folder / "tfa_image.npz", image=pixels, angles=ANGLES, rotated=rotated, shifts=SHIFTS, shifted=shifted)


if __name__ == "__main__":
    main()
