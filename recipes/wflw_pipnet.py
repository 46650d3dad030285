"""PIPNet on WFLW: Jin et al., "Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the Wild", Sec. 4.1.2.

    python recipes/wflw_pipnet.py --data-dir WFLW                             # the paper's settings, for a GPU
    python recipes/wflw_pipnet.py --data-dir WFLW --backbone mobilenet_v3_large
    python recipes/wflw_pipnet.py --preset quick                              # minutes on a CPU, no download
    python recipes/wflw_pipnet.py --dataset pts --data-dir FOLDER             # your own images with .pts files
"""

import kfacealign as kfa

PAPER = {
    "dataset": "wflw",
    "backbone": "resnet18",
    "backbone_weights": "imagenet",
    "stride": 32,
    "neighbors": 10,
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (30, 50),
}
QUICK = {
    **PAPER,
    "dataset": "synthetic",
    "backbone": "mobilenet_v2",
    "backbone_weights": "none",
    "input_size": 128,
    "epochs": 12,
    "learning_rate": 1e-3,
    "drops": (9, 11),
}
ENLARGE = 1.2


def recipe():
    kfa.training.run_pipnet(__doc__, PAPER, QUICK, ENLARGE)


if __name__ == "__main__":
    kfa.training.main(recipe)
