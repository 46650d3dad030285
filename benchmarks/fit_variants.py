"""Training steps that compute the same in another way; `fit_profile.py` measures what each way gains.

They are for a measurement of the TensorFlow backend alone, not for training.
"""

import functools

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.layers.pixel_in_pixel import locate

ops = keras.ops


class DensePIPNet(kfa.models.PIPNet):
    """PIPNet whose offsets are computed at every cell, as figure 3d draws them, and read at one cell per landmark."""

    def call(self, images, training=None):
        outputs = self.network(images, training=training)
        found = locate(self.codec, outputs)
        dense = self.head.dense(outputs["features"])
        return {**outputs, **found, "dense": dense, **self.read(dense, found["cells"])}

    def loss_terms(self, y, outputs):
        targets = self.codec.encode(y["landmarks"])
        outputs = {**outputs, **self.read(outputs["dense"], targets["cells"])}
        return self.codec.loss(targets, outputs, y.get("weights", ops.ones_like(y["landmarks"][..., 0])))

    def read(self, dense, cells):
        """The maps of the offset branches (B, h, w, K * C) at the cells (B, K, 2): (B, K), or (B, K, C) of neighbours."""
        size = self.codec.size
        places = ops.cast(cells[..., 1] * size + cells[..., 0], "int32")[:, None, :, None]
        found = {}
        for name in self.head.branches:
            maps = ops.reshape(dense[name], (-1, size * size, self.head.points, dense[name].shape[-1] // self.head.points))
            values = ops.take_along_axis(maps, places, axis=1)[:, 0]
            found[name] = values if name.startswith("neighbor") else values[..., 0]
        return found


def dense_heads(model):
    """PIPNet as `DensePIPNet`; another method has nothing to compute at every cell, and gives None."""
    return DensePIPNet.from_config(model.get_config()) if isinstance(model, kfa.models.PIPNet) else None


def plain_batch_norms(model):
    """The model with Keras' own batch norms in `fit`, which are made of element-wise operations."""
    model.fit = functools.partial(keras.Model.fit, model)
    return model


def wide_stems(model, channels=8):
    """The model with zeros beside the three channels that its first convolution reads."""

    def padded(layer):
        def call(inputs):
            more = channels - inputs.shape[-1]
            # Zeros are joined and not padded: oneDNN's rewriting of TensorFlow's graph ends the process where it meets a
            # convolution of a padded input and a padded kernel.
            images = ops.concatenate([inputs, ops.repeat(ops.zeros_like(inputs[..., :1]), more, axis=-1)], axis=-1)
            kernel = ops.cast(layer.kernel, layer.compute_dtype)
            kernel = ops.concatenate([kernel, ops.repeat(ops.zeros_like(kernel[:, :, :1]), more, axis=2)], axis=2)
            y = ops.conv(images, kernel, list(layer.strides), layer.padding, data_format="channels_last")
            return y + layer.bias if layer.use_bias else y

        return call

    convolutions = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.Conv2D)]
    stem = next(layer for layer in convolutions if layer.kernel.shape[2] == 3)
    stem.call = padded(stem)
    return model


def all_layers(model):
    """Every layer of the network, also those inside other layers."""
    return list(model.network._flatten_layers(include_self=False))
