"""PIPNet: Jin et al., "Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the Wild", Sec. 4.1.2.

python recipes/pipnet.py --data-dir WFLW                                  # the paper's settings, for a GPU
python recipes/pipnet.py --dataset 300w --data-dir 300W --backbone resnet101
python recipes/pipnet.py --dataset cofw --data-dir COFW --backbone mobilenet_v3_large
python recipes/pipnet.py --scale quick                                    # minutes on a CPU, no download
python recipes/pipnet.py --dataset pts --data-dir FOLDER                  # your own images with .pts files
"""

import kfacealign as kfa

PAPER = {
    "dataset": "wflw",
    "backbone": "resnet18",
    "backbone_weights": "imagenet",
    "backbone_width": 1.0,
    "begin_with": None,
    "stride": 32,
    "neighbors": 10,
    "input_size": 256,
    "enlarge": 1.2,
    "epochs": 60,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (30, 50),
}
# The authors cut the faces of COFW and AFLW by the boxes in their files; here it is the landmarks' box, as everywhere.
DATASETS = {"300w": {"enlarge": 1.1}, "synthetic68": {"enlarge": 1.1}, "cofw": {"enlarge": 1.25}, "aflw": {"enlarge": 1.25}}
QUICK = {
    "dataset": "synthetic",
    "backbone": "mobilenet_v2",
    "backbone_weights": "none",
    "backbone_width": 0.5,
    "input_size": 128,
    "epochs": 12,
    "learning_rate": 1e-3,
    "drops": (9, 11),
}
# Few epochs cannot overfit: gentler views let a quick run get further.
GENTLE = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}
VIEWS = {"paper": {}, "quick": GENTLE}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, datasets=DATASETS)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)

    def build():
        return kfa.models.PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            backbone_width=settings.backbone_width,
            stride=settings.stride,
            neighbors=min(settings.neighbors, faces.scheme.num_points - 1),
            input_size=settings.input_size,
            enlarge=settings.enlarge,
        )

    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS[settings.scale])
    kfa.training.run(build, faces, views, settings, load=kfa.load, export=kfa.deploy.export)


if __name__ == "__main__":
    kfa.training.main(recipe)
