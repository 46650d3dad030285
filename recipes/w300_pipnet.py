"""PIPNet on 300W: Jin et al., "Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the Wild", Sec. 4.1.2.

    python recipes/w300_pipnet.py --data-dir 300W                             # the paper's settings, for a GPU
    python recipes/w300_pipnet.py --data-dir 300W --backbone resnet101
    python recipes/w300_pipnet.py --preset quick                              # minutes on a CPU, no download

300W holds afw, helen, ibug and lfpw as distributed; a folder of your own images with .pts files is --dataset pts.
"""

import kfacealign as kfa

PAPER = {
    "dataset": "300w",
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
    "dataset": "synthetic68",
    "backbone": "mobilenet_v2",
    "backbone_weights": "none",
    "input_size": 128,
    "epochs": 12,
    "learning_rate": 1e-3,
    "drops": (9, 11),
}
ENLARGE = 1.1


def recipe():
    kfa.training.run_pipnet(__doc__, PAPER, QUICK, ENLARGE)


if __name__ == "__main__":
    kfa.training.main(recipe)
