"""LOTR-M in plain PyTorch: what `torch_rate.py` trains beside ours. Layer for layer the same, written after the papers."""

import math

import torch
from torch import nn
from torch_blocks import inverted_residuals

# MobileNetV2's Table 2: expansion, side of the depthwise kernel, stride of the first block, channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 3, 2, 32, 3),
    (6, 3, 2, 64, 4),
    (6, 3, 1, 96, 3),
    (6, 3, 2, 160, 3),
    (6, 3, 1, 320, 1),
)
DROPOUT = 0.1
PIXELS = 192  # the unit of the loss


class Attention(nn.Module):
    """Multi-head attention, dropout, shortcut, layer normalisation."""

    def __init__(self, dim, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens, query, key, value):
        attended, _ = self.attention(query, key, value, need_weights=False)  # without weights it is the fused kernel
        return self.norm(tokens + self.dropout(attended))


class FeedForward(nn.Module):
    """Two dense layers, dropout, shortcut, layer normalisation."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim), nn.Dropout(DROPOUT))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens):
        return self.norm(tokens + self.body(tokens))


class LOTR(nn.Module):
    """(B, 3, S, S) pixels 0..255 -> (B, K, 2) crop coordinates.

    Args:
        points: K. size: S, a multiple of 32. layers, dim, heads, feed_forward: of the transformer.
    """

    def __init__(self, points, size, layers=2, dim=64, heads=8, feed_forward=128):
        super().__init__()
        self.cells = size // 32
        self.backbone = inverted_residuals(STAGES, stem=32, head=1280)
        self.project = nn.Conv2d(1280, dim, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(self.cells, dim // 2))
        self.columns = nn.Parameter(torch.randn(self.cells, dim // 2))
        self.queries = nn.Parameter(torch.randn(points, dim))
        self.encoder_attention = nn.ModuleList(Attention(dim, heads) for _ in range(layers))
        self.encoder_network = nn.ModuleList(FeedForward(dim, feed_forward) for _ in range(layers))
        self.decoder_attention = nn.ModuleList(Attention(dim, heads) for _ in range(layers))
        self.decoder_cross = nn.ModuleList(Attention(dim, heads) for _ in range(layers))
        self.decoder_network = nn.ModuleList(FeedForward(dim, feed_forward) for _ in range(layers))
        self.head = nn.Sequential(
            nn.Linear(dim, 512), nn.ReLU(inplace=True), nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 2)
        )

    def forward(self, images):
        features = self.project(self.backbone(images / 127.5 - 1.0))
        tokens = features.flatten(2).transpose(1, 2)
        rows = self.rows[:, None].expand(-1, self.cells, -1)
        columns = self.columns[None].expand(self.cells, -1, -1)
        positions = torch.cat([rows, columns], -1).reshape(1, self.cells**2, -1)
        for attention, network in zip(self.encoder_attention, self.encoder_network, strict=True):
            placed = tokens + positions
            tokens = network(attention(tokens, placed, placed, tokens))
        keys = tokens + positions
        found = self.queries.expand(len(images), -1, -1)
        for attention, cross, network in zip(self.decoder_attention, self.decoder_cross, self.decoder_network, strict=True):
            found = attention(found, found, found, found)
            found = network(cross(found, found, keys, tokens))
        return self.head(found)

    def loss(self, outputs, landmarks):
        """The smooth-Wing loss of what `forward` returned; landmarks are (B, K, 2) crop coordinates."""
        return smooth_wing(outputs.float(), landmarks)


def smooth_wing(predicted, landmarks, w=10.0, epsilon=2.0, t=0.01):
    """Mean smooth-Wing loss of (B, K, 2) crop coordinates, in pixels of a 192-px crop."""
    error = (predicted - landmarks) * PIXELS
    size = error.abs()
    steepness = w + epsilon
    s = steepness / (2 * t * (epsilon + t))
    c1 = w - steepness * math.log1p(w / epsilon)
    c2 = steepness * math.log1p(t / epsilon) - s * t**2
    wing = torch.where(size > w, size - c1, steepness * torch.log1p(size / epsilon)) - c2
    return torch.where(size < t, s * error**2, wing).mean()
