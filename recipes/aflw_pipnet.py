"""PIPNet on AFLW: Jin et al., "Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the Wild", Sec. 4.1.2.

    python recipes/aflw_pipnet.py --data-dir AFLW                             # the paper's settings, for a GPU
    python recipes/aflw_pipnet.py --data-dir AFLW --backbone mobilenet_v2
    python recipes/aflw_pipnet.py --preset quick                              # minutes on a CPU, no download

AFLW holds AFLWinfo_release.mat and data/flickr as distributed; the quick preset trains on rendered faces of 68 points. AFLW has
19 points.
"""

import kfacealign as kfa

PAPER = {
    "dataset": "aflw",
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
# The authors cut AFLW's faces by the boxes in its files; here it is the landmarks' box, as everywhere.
ENLARGE = 1.25


def recipe():
    kfa.training.run_pipnet(__doc__, PAPER, QUICK, ENLARGE)


if __name__ == "__main__":
    kfa.training.main(recipe)
