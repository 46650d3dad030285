"""PIPNet on EfficientNet-Lite0 in plain PyTorch: what `torch_rate.py` trains beside ours, written after the papers."""

import torch
from torch import nn
from torch_blocks import inverted_residuals

# EfficientNet-B0's Table 1: expansion, side of the depthwise kernel, stride of the first block, channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
FEATURES = 1280
OFFSET_WEIGHT = 0.1  # alpha and beta of Eq. 5 at stride 32


class PIPNet(nn.Module):
    """(B, 3, S, S) pixels 0..255 -> the maps of figure 3d, each (B, channels, S/32, S/32).

    The channels are K for `score`, `x` and `y`, and K * C for `neighbor_x` and `neighbor_y`, the C neighbours of each landmark
    side by side.

    Args:
        neighbors: (K, C) table of each landmark's neighbours, integers.
    """

    def __init__(self, neighbors):
        super().__init__()
        points, count = neighbors.shape
        self.register_buffer("neighbors", neighbors, persistent=False)
        self.backbone = inverted_residuals(STAGES, stem=32, head=FEATURES)
        channels = {"score": 1, "x": 1, "y": 1, "neighbor_x": count, "neighbor_y": count}
        self.head = nn.ModuleDict({name: nn.Conv2d(FEATURES, points * each, 1) for name, each in channels.items()})

    def forward(self, images):
        features = self.backbone((images - 127.0) / 128.0)
        return {name: branch(features) for name, branch in self.head.items()}

    def loss(self, outputs, landmarks):
        """Eq. 1 to 6: squared error of the scores at every cell, absolute error of the offsets at the landmark's own cell.

        Args:
            outputs: of `forward`. landmarks: (B, K, 2) crop coordinates.
        """
        outputs = {name: maps.float() for name, maps in outputs.items()}
        batch, points, size, _ = outputs["score"].shape
        position = landmarks * size
        cells = position.floor().clamp(0, size - 1)
        places = (cells[..., 1] * size + cells[..., 0]).long()[..., None]  # (B, K, 1) in a flattened map
        score = outputs["score"].flatten(2)
        total = nn.functional.mse_loss(score, torch.zeros_like(score).scatter_(2, places, 1.0))
        for axis, name in enumerate(("x", "y")):
            own = outputs[name].flatten(2).gather(2, places)[..., 0]
            near = outputs[f"neighbor_{name}"].reshape(batch, points, -1, size * size)
            near = near.gather(3, places[:, :, None].expand(-1, -1, near.shape[2], -1))[..., 0]
            corner, wanted = cells[..., axis], position[..., axis]
            errors = (own - (wanted - corner)).abs().mean() + (
                near - (wanted[:, self.neighbors] - corner[..., None])
            ).abs().mean()
            total = total + OFFSET_WEIGHT * errors / 2
        return total
