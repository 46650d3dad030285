"""HIH with one hourglass in plain PyTorch: what `torch_rate.py` trains beside ours, written after the paper."""

import functools

import torch
import torch_blocks
from torch import nn

DEPTH = 4  # halvings of the hourglass
SIGMA, DECIMAL_SIGMA = 1.5, 1.0  # of the Gaussians of integer and decimal heatmaps, in cells of their map
ALPHA = 0.1  # weight of the decimal loss with one stack

ConvNorm = functools.partial(torch_blocks.ConvNorm, activation=nn.ReLU, epsilon=1e-5)


class Bottleneck(nn.Module):
    """1x1 to half the width, 3x3, 1x1 back, and ReLU after the addition.

    The projection is constructed in any case, because Table I counts it, and runs where the widths differ.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.skip = ConvNorm(inputs, outputs, activation=None)
        self.reduce = ConvNorm(inputs, outputs // 2)
        self.spatial = ConvNorm(outputs // 2, outputs // 2, 3)
        self.expand = ConvNorm(outputs // 2, outputs, activation=None)
        self.projected = inputs != outputs

    def forward(self, x):
        skip = self.skip(x) if self.projected else x
        return torch.relu(self.expand(self.spatial(self.reduce(x))) + skip)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, the first of stride 2, with a projected skip."""

    def __init__(self, width):
        super().__init__()
        self.skip = ConvNorm(width, width, 1, 2, activation=None)
        self.first = ConvNorm(width, width, 3, 2)
        self.second = ConvNorm(width, width, 3, activation=None)

    def forward(self, x):
        return torch.relu(self.second(self.first(x)) + self.skip(x))


class Stem(nn.Module):
    """(B, 3, S, S) -> (B, width, S/4, S/4)."""

    def __init__(self, width):
        super().__init__()
        self.add_module("1", ConvNorm(3, width // 4, 7, 2))
        self.add_module("2", Bottleneck(width // 4, width // 2))
        self.add_module("pool", nn.MaxPool2d(2))
        self.add_module("3", Bottleneck(width // 2, width // 2))
        self.add_module("4", Bottleneck(width // 2, width))

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


class Stack(nn.Module):
    """An hourglass, its heatmaps, and the trunk after it, in which features and heatmaps are fused."""

    def __init__(self, width, maps):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        for level in range(1, DEPTH + 1):
            for part in ("across", "down", "up"):
                self.add_module(f"{part}{level}", Bottleneck(width, width))
        self.centre = Bottleneck(width, width)
        self.residual = Bottleneck(width, width)
        self.features = ConvNorm(width, width)
        self.heatmap = nn.Conv2d(width, maps, 1)
        self.merge_features = ConvNorm(width, width)
        self.merge_heatmap = ConvNorm(maps, width)

    def hourglass(self, x, level):
        part = {name: getattr(self, f"{name}{level}") for name in ("across", "down", "up")}
        low = part["down"](self.pool(x))
        low = part["up"](self.hourglass(low, level - 1) if level > 1 else self.centre(low))
        return part["across"](x) + nn.functional.interpolate(low, scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, trunk):
        features = self.features(self.residual(self.hourglass(trunk, DEPTH)))
        heatmap = self.heatmap(features)
        return heatmap, trunk + self.merge_features(features) + self.merge_heatmap(heatmap)


class DecimalHead(nn.Module):
    """(B, inputs, H, H) -> (B, maps, size, size), where H is 4, 8, 16 ... times `size`."""

    def __init__(self, inputs, width, maps, *, halvings):
        super().__init__()
        self.widen = ConvNorm(inputs, width)
        self.pool = nn.MaxPool2d(3, 2)
        for block in range(1, halvings):
            self.add_module(f"block{block}", BasicBlock(width))
        self.mix = ConvNorm(width, width)
        self.maps = nn.Conv2d(width, maps, 1)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


class HIH(nn.Module):
    """(B, 3, S, S) pixels 0..255 -> integer heatmaps (B, K, S/4, S/4) and decimal heatmaps (B, K, decimal_size, decimal_size).

    Args:
        points: K. size: S, a multiple of 64. width: channels of the trunk. decimal_width: of the decimal head.
    """

    def __init__(self, points, size, *, width=256, decimal_width=384, decimal_size=8):
        super().__init__()
        self.stem = Stem(width)
        self.stack1 = Stack(width, points)
        halvings = (size // 4 // decimal_size).bit_length() - 1
        self.decimal = DecimalHead(width, decimal_width, points, halvings=halvings)

    def forward(self, images):
        heatmap, trunk = self.stack1(self.stem(images / 255.0))
        return heatmap, self.decimal(trunk)

    def loss(self, outputs, landmarks):
        """Eq. 1 to 5: squared error of the integer heatmaps and soft classification of the decimal ones.

        Args:
            outputs: of `forward`. landmarks: (B, K, 2) crop coordinates.
        """
        heatmap, decimal = (maps.float() for maps in outputs)
        size, parts = heatmap.shape[-1], decimal.shape[-1]
        position = landmarks.clamp(0, 1) * size
        cells = position.floor().clamp(max=size - 1)
        part = ((position - cells) * parts + 0.5).floor().clamp(0, parts - 1)
        wanted = gaussians(part, parts, DECIMAL_SIGMA).flatten(2).log_softmax(-1)
        found = decimal.flatten(2).log_softmax(-1)
        classified = (wanted.exp() * (wanted - found)).mean()
        return nn.functional.mse_loss(heatmap, gaussians(cells, size, SIGMA)) + ALPHA * classified


def gaussians(centres, size, sigma):
    """Gaussians of height 1 around (B, K, 2) cells, 0 beyond 3 sigma: (B, K, size, size)."""
    cells = torch.arange(size, device=centres.device)
    x, y = ((cells - centres[..., axis, None]) ** 2 for axis in (0, 1))
    squared = y[..., :, None] + x[..., None, :]
    return torch.exp(squared / (-2 * sigma**2)) * (squared <= (3 * sigma) ** 2)
