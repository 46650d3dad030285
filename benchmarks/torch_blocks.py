"""Blocks that several of the PyTorch networks beside `torch_rate.py` have."""

from torch import nn


class ConvNorm(nn.Module):
    """Convolution padded by half its kernel, batch normalisation and, unless it is None, an activation.

    Args:
        groups: of the convolution. epsilon: of the normalisation.
    """

    def __init__(self, inputs, outputs, kernel=1, stride=1, *, groups=1, activation=nn.ReLU6, epsilon=1e-3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=epsilon, momentum=0.1)
        self.activation = activation(inplace=True) if activation else nn.Identity()

    def forward(self, x):
        return self.activation(self.bn(self.conv(x)))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, linear projection; with a shortcut where the shape stays."""

    def __init__(self, inputs, outputs, *, stride, expansion, kernel=3):
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvNorm(inputs, hidden)] if expansion > 1 else []
        depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.body = nn.Sequential(*expand, depthwise, ConvNorm(hidden, outputs, activation=None))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.shortcut else self.body(x)


def inverted_residuals(stages, *, stem, head):
    """A stem of stride 2, stages of inverted residuals and a last 1x1 convolution: (B, 3, S, S) -> (B, head, S/32, S/32).

    Args:
        stages: (expansion, side of the depthwise kernel, stride of the first block, channels, blocks) each.
        stem: channels of the 3x3 convolution before them. head: channels of the convolution after them.
    """
    layers, channels = [ConvNorm(3, stem, 3, 2)], stem
    for expansion, kernel, stride, outputs, blocks in stages:
        for block in range(blocks):
            step = stride if block == 0 else 1
            layers.append(InvertedResidual(channels, outputs, stride=step, expansion=expansion, kernel=kernel))
            channels = outputs
    return nn.Sequential(*layers, ConvNorm(channels, head))
