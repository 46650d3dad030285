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
WIDTH = {"paper": 1.0, "quick": 0.5}
# Few epochs cannot overfit: gentler views let a quick run get further.
VIEWS = {"paper": {}, "quick": {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}}


def recipe():
    settings = kfa.training.parse_settings(__doc__, ("pipnet",), PAPER, QUICK, groups=("backbone",))
    faces = kfa.training.load_dataset(settings)

    def build():
        return kfa.models.PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            stride=settings.stride,
            neighbors=settings.neighbors,
            input_size=settings.input_size,
            backbone_width=WIDTH[settings.preset],
            enlarge=ENLARGE,
        )

    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS[settings.preset])
    kfa.training.run(build, faces, views, settings)


if __name__ == "__main__":
    kfa.training.main(recipe)
