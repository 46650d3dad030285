"""The networks of the authors' releases, written again in NumPy: names of tensors, order of layers, PyTorch's arithmetic.

Float64, channels first. A forward pass draws the tensors it asks for, so that one function both makes a state dict and says
what the network computes with it.
"""

import numpy as np

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class StateDict(dict):
    """Names -> float32 tensors, drawn at random when first asked for."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def get(self, name, shape, low, high):
        if name not in self:
            self[name] = self.rng.uniform(low, high, shape).astype("float32")
        assert self[name].shape == tuple(shape), name
        return self[name].astype("float64")

    def kernel(self, name, shape, fan_in, gain=1.0):
        limit = gain * np.sqrt(3.0 / fan_in)
        return self.get(f"{name}.weight", shape, -limit, limit)


# === PyTorch's operations ===


def windows(x, size, stride, padding, fill=0.0):
    """`(N, C, H, W)` -> `(N, C, h, w, size, size)`."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def convolve(x, kernel, stride=1, padding=0):
    product = np.tensordot(windows(x, kernel.shape[2], stride, padding), kernel, axes=([1, 4, 5], [1, 2, 3]))
    return np.moveaxis(product, -1, 1)


def convolve_transposed(x, kernel):
    """A transposed 4x4 convolution, stride 2, padding 1: every input cell adds its kernel to the output, whose rim is cut."""
    count, _, height, width = x.shape
    full = np.zeros((count, kernel.shape[1], 2 * height + 2, 2 * width + 2))
    for row in range(4):
        for column in range(4):
            part = np.einsum("nihw,io->nohw", x, kernel[:, :, row, column])
            full[:, :, row : row + 2 * height : 2, column : column + 2 * width : 2] += part
    return full[:, :, 1:-1, 1:-1]


def max_pool(x, size, stride, padding=0):
    return windows(x, size, stride, padding, fill=-np.inf).max(axis=(4, 5))


def average_pool(x):
    return windows(x, 2, 2, 0).mean(axis=(4, 5))


def relu(x):
    return np.maximum(x, 0.0)


def enlarge_nearest(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


def enlarge_bilinear(x):
    """Resizing with `align_corners=True`: the corners keep their values."""
    for axis in (2, 3):
        size = x.shape[axis]
        place = np.arange(2 * size) * (size - 1) / (2 * size - 1)
        low = np.minimum(place.astype(int), size - 2)
        share = (place - low).reshape([-1 if axis == dimension else 1 for dimension in range(4)])
        x = x.take(low, axis) * (1 - share) + x.take(low + 1, axis) * share
    return x


# === Its modules ===


def conv(state, name, x, filters, size, stride=1, bias=False, gain=0.1, offset=0.0):
    """A convolution padded by half its size. Before a normalisation its values are small, so that the epsilon counts."""
    inputs = x.shape[1]
    kernel = state.kernel(name, (filters, inputs, size, size), inputs * size * size, gain)
    y = convolve(x, kernel, stride, size // 2)
    return y + state.get(f"{name}.bias", (filters,), offset - gain, offset + gain)[:, None, None] if bias else y


def predict(state, name, x, filters):
    """The convolution that ends a network. Nearly all its maps have a positive maximum, as trained ones do."""
    return conv(state, name, x, filters, 1, bias=True, gain=1.0, offset=3.0)


def norm(state, name, x):
    shape = (x.shape[1],)
    power = float(np.mean(x**2))
    gamma, beta = state.get(f"{name}.weight", shape, 0.5, 1.5), state.get(f"{name}.bias", shape, -0.3, 0.3)
    mean = state.get(f"{name}.running_mean", shape, -0.3 * power**0.5, 0.3 * power**0.5)
    variance = state.get(f"{name}.running_var", shape, 0.5 * power, 1.5 * power)
    state.get(f"{name}.num_batches_tracked", (), 1.0, 9.0)
    y = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    return y * gamma[:, None, None] + beta[:, None, None]


# === PIPNet ===

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def pipnet(state, images, variant, width, points, neighbors, stride):
    """Score, x, y, neighbour x, neighbour y, `(N, channels, h, w)`; `width` channels in the first stage.

    Args:
        images: `(N, S, S, 3)` pixels 0..255.
    """
    x = np.moveaxis((images / 255.0 - MEAN) / DEVIATION, -1, 1)
    x = max_pool(relu(norm(state, "bn1", conv(state, "conv1", x, width, 7, 2))), 3, 2, 1)
    block = basic if variant == "resnet18" else bottleneck
    for stage, count in enumerate(BLOCKS[variant]):
        for number in range(count):
            x = block(state, f"layer{stage + 1}.{number}", x, width << stage, 2 if stage and not number else 1)
    if stride == 16:
        kernel = state.kernel("deconv1", (x.shape[1], 512, 4, 4), 4 * x.shape[1], 0.1)
        x = relu(norm(state, "bn_deconv1", convolve_transposed(x, kernel)))
    for number in {64: (5,), 128: (5, 6)}.get(stride, ()):
        x = relu(norm(state, f"bn{number}", conv(state, f"layer{number}", x, 512, 3, 2, bias=True)))
    branches = {"cls_layer": 1, "x_layer": 1, "y_layer": 1, "nb_x_layer": neighbors, "nb_y_layer": neighbors}
    return [predict(state, name, x, points * count) for name, count in branches.items()]


def shortcut(state, name, x, filters, stride):
    if stride == 1 and x.shape[1] == filters:
        return x
    return norm(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", x, filters, 1, stride))


def basic(state, name, x, filters, stride):
    y = relu(norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, filters, 3, stride)))
    y = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, filters, 3))
    return relu(y + shortcut(state, name, x, filters, stride))


def bottleneck(state, name, x, filters, stride):
    """A bottleneck block with its stride in the 3x3 convolution."""
    y = relu(norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, filters, 1)))
    y = relu(norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, filters, 3, stride)))
    y = norm(state, f"{name}.bn3", conv(state, f"{name}.conv3", y, 4 * filters, 1))
    return relu(y + shortcut(state, name, x, 4 * filters, stride))


def pipnet_landmarks(outputs, mean_shape, neighbors):
    """The release's decoding: `(N, K, 2)` as fractions of the crop.

    A landmark's votes are repeated until there are as many as of the landmark with the most, then averaged with its own
    prediction.
    """
    score, x, y, near_x, near_y = outputs
    points, size = score.shape[1], score.shape[3]
    found = np.zeros((len(score), points, 2))
    for sample in range(len(score)):
        own, votes = np.zeros((points, 2)), [[] for _ in range(points)]
        for point in range(points):
            place = score[sample, point].argmax()
            row, column = divmod(place, size)
            own[point] = column + x[sample, point, row, column], row + y[sample, point, row, column]
            distance = ((mean_shape - mean_shape[point]) ** 2).sum(axis=1)
            for number, near in enumerate(np.argsort(distance)[1 : neighbors + 1]):
                channel = point * neighbors + number
                votes[near].append((column + near_x[sample, channel, row, column], row + near_y[sample, channel, row, column]))
        most = max(map(len, votes))
        for point in range(points):
            found[sample, point] = np.mean([own[point], *(votes[point] * most)[:most]], axis=0) / size
    return found


# === HIH ===


def conv_norm(state, name, x, filters, size, stride=1, active=True):
    y = norm(state, f"{name}.bn", conv(state, f"{name}.conv", x, filters, size, stride))
    return relu(y) if active else y


def hih(state, images, stacks, width, points, head):
    """The heatmaps of every stack and the decimal heatmaps, 8 times smaller than those; `head` channels in their head."""
    x = np.moveaxis((images / 255.0 - MEAN) / DEVIATION, -1, 1)
    x = conv_norm(state, "pre_conv.0", x, width // 4, 7, 2)
    x = max_pool(hih_residual(state, "pre_conv.1", x, width // 2), 2, 2)
    x = hih_residual(state, "pre_conv.4", hih_residual(state, "pre_conv.3", x, width // 2), width)
    maps = []
    for stack in range(stacks):
        name = f"hg{stack}"
        y = hih_residual(state, f"{name}_res1", hih_hourglass(state, name, x, 4), width)
        y = conv_norm(state, f"{name}_lin1", y, width, 1)
        maps.append(predict(state, f"{name}_conv_pred", y, points))
        x = x + conv_norm(state, f"{name}_conv1", y, width, 1) + conv_norm(state, f"{name}_conv2", maps[-1], width, 1)
    y = max_pool(conv_norm(state, "offset_head.conv1", x, head, 1), 3, 2)
    for number in range(2):
        name = f"offset_head.down_ops.{number}"
        skip = conv_norm(state, f"{name}.downsample.0", y, head, 1, 2, active=False)
        y = conv_norm(state, f"{name}.conv1", y, head, 3, 2)
        y = relu(conv_norm(state, f"{name}.conv2", y, head, 3, active=False) + skip)
    decimal = predict(state, "offset_head.head.1", conv_norm(state, "offset_head.head.0", y, head, 1), points)
    return maps, decimal


def hih_residual(state, name, x, filters):
    """A residual block whose projection is always constructed, but runs only where the widths differ."""
    projected = conv_norm(state, f"{name}.skip_layer", x, filters, 1, active=False)
    y = conv_norm(state, f"{name}.conv1", x, filters // 2, 1)
    y = conv_norm(state, f"{name}.conv2", y, filters // 2, 3)
    y = conv_norm(state, f"{name}.conv3", y, filters, 1, active=False)
    return relu(y + (x if x.shape[1] == filters else projected))


def hih_hourglass(state, name, x, level):
    width = x.shape[1]
    across = hih_residual(state, f"{name}.res{level}_1", x, width)
    low = hih_residual(state, f"{name}.res{level}_2", max_pool(x, 2, 2), width)
    low = hih_hourglass(state, name, low, level - 1) if level > 1 else hih_residual(state, f"{name}.res_center", low, width)
    return across + enlarge_bilinear(hih_residual(state, f"{name}.res{level}_3", low, width))


def maxima(maps):
    """`(N, K, h, w)` -> columns and rows of the maxima, `(N, K, 2)`."""
    rows, columns = np.divmod(maps.reshape(*maps.shape[:2], -1).argmax(axis=-1), maps.shape[3])
    return np.stack([columns, rows], axis=-1)


def hih_landmarks(maps, decimal):
    """The release's decoding: `(N, K, 2)` as fractions of the crop; a map without a positive value counts as (0, 0)."""
    positive = [(part.max(axis=(2, 3)) > 0)[..., None] for part in (maps[-1], decimal)]
    cells = maxima(maps[-1]) * positive[0] + maxima(decimal) * positive[1] / decimal.shape[3]
    return cells / maps[-1].shape[3]


# === FAN ===


def fan(state, images, stacks, width, points):
    """The heatmaps of every stack."""
    x = np.moveaxis(images / 255.0, -1, 1)
    x = relu(norm(state, "bn1", conv(state, "conv1", x, width // 4, 7, 2, bias=True)))
    x = average_pool(fan_block(state, "conv2", x, width // 2))
    x = fan_block(state, "conv4", fan_block(state, "conv3", x, width // 2), width)
    maps = []
    for stack in range(stacks):
        y = fan_block(state, f"top_m_{stack}", fan_hourglass(state, f"m{stack}", x, 4), width)
        y = relu(norm(state, f"bn_end{stack}", conv(state, f"conv_last{stack}", y, width, 1, bias=True)))
        maps.append(predict(state, f"l{stack}", y, points))
        if stack < stacks - 1:
            links = [conv(state, f"{name}{stack}", part, width, 1, bias=True) for name, part in (("bl", y), ("al", maps[-1]))]
            x = x + sum(links)
    return maps


def fan_block(state, name, x, filters):
    skip, parts = x, []
    if x.shape[1] != filters:
        skip = conv(state, f"{name}.downsample.2", relu(norm(state, f"{name}.downsample.0", x)), filters, 1)
    for number, share in ((1, 2), (2, 4), (3, 4)):
        x = conv(state, f"{name}.conv{number}", relu(norm(state, f"{name}.bn{number}", x)), filters // share, 3)
        parts.append(x)
    return np.concatenate(parts, axis=1) + skip


def fan_hourglass(state, name, x, level):
    width = x.shape[1]
    across = fan_block(state, f"{name}.b1_{level}", x, width)
    low = fan_block(state, f"{name}.b2_{level}", average_pool(x), width)
    low = fan_hourglass(state, name, low, level - 1) if level > 1 else fan_block(state, f"{name}.b2_plus_1", low, width)
    return across + enlarge_nearest(fan_block(state, f"{name}.b3_{level}", low, width))


def fan_landmarks(maps):
    """The release's decoding: `(N, K, 2)` as fractions of the crop, and whether a maximum is off the border."""
    maps = maps[-1]
    size = maps.shape[3]
    cells = maxima(maps)
    found = cells + 0.5
    inside = ((cells > 0) & (cells < size - 1)).all(axis=-1)
    for sample, point in zip(*np.nonzero(inside), strict=True):
        column, row = cells[sample, point]
        values = maps[sample, point]
        slope = values[row, column + 1] - values[row, column - 1], values[row + 1, column] - values[row - 1, column]
        found[sample, point] += 0.25 * np.sign(slope)
    return found / size, inside
