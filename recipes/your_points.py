"""Points of your own from a few labelled faces: a small PIPNet that begins with the backbone of the bundled preset.

    kfacealign datasets scheme FOLDER --name mine --draw points.png                   # writes points.yaml: look at points.png
    python recipes/your_points.py --data-dir FOLDER --scheme points.yaml --out runs/mine   # 5 to 5,000 faces, on a CPU
    python recipes/your_points.py ... --person '(.*)_'              # anna_1 and anna_2 are one person, who is in one part alone
    python recipes/your_points.py ... --backbone-weights imagenet   # or none, for random weights
    kfacealign align photo.jpg --model runs/mine/model.tflite

FOLDER is a folder of images with .pts files, or any dataset that --dataset names. The test part (test/, or a tenth of the faces)
serves for the figures alone. 15 % of the other faces validate the epochs: the training ends when their error has not fallen
for --patience epochs, but not before --min-epochs, and the best epoch's model is kept. An epoch has --steps batches at least;
few faces come in it several times, in other views. The run's folder has model.keras, model.tflite and predictions.png, the
preview.
"""

import kfacealign as kfa

PAPER = {
    "dataset": "pts",
    "scheme": None,
    "person": None,
    "backbone": "efficientnet_lite0",
    "backbone_weights": "pipnet_lite0_ibug68",
    "begin_with": None,
    "stride": 32,
    "neighbors": 10,
    "input_size": 128,
    "enlarge": 1.2,
    "steps": 25,
    "epochs": 40,
    "patience": 8,
    "min_epochs": 20,
    "batch_size": 16,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "decay": "cosine",
}
QUICK = {"steps": 10, "epochs": 6}
FLAGS = {
    "person": {
        "metavar": "PATTERN",
        "help": "regular expression on a face's name: what its first group matches says who it is (default: every photograph "
        "shows somebody else)",
    },
    "backbone_weights": {
        "metavar": "WEIGHTS",
        "help": "what the backbone begins with: a preset's name, 'imagenet', 'none', or MODEL.keras",
    },
    "steps": {"type": int, "help": "batches of an epoch at least"},
    "patience": {"type": int, "help": "epochs without a lower validation error that end the training"},
    "min_epochs": {"type": int, "help": "epochs before which it is not ended"},
}
# The crops of a detector are never exact: see recipes/preset_pipnet.py.
VIEWS = {
    "translation": 0.07,
    "translation_probability": 1.0,
    "scale": (0.84, 1.19),
    "scale_probability": 1.0,
    "rotation": 30.0,
    "color": (0.7, 1.3),
    "brightness": 0.15,
    "gray": 0.1,
    "blur": 4 / 256,
    "occlusion_probability": 0.25,
}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, flags=FLAGS)
    faces, validation, notes = kfa.training.three_parts(settings)
    for note in notes:
        print(note)

    def build():
        weights = settings.backbone_weights
        return kfa.models.PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=kfa.presets.path(weights) if weights in kfa.presets.names() else weights,
            stride=settings.stride,
            neighbors=min(settings.neighbors, faces.scheme.num_points - 1),
            input_size=settings.input_size,
            enlarge=settings.enlarge,
        )

    kfa.training.run(
        build,
        faces,
        kfa.data.RandomView.paper(faces.scheme, **VIEWS),
        settings,
        optimizer=kfa.training.OPTIMIZERS[settings.optimizer],
        load=kfa.load,
        export=kfa.deploy.export,
        validation=validation,
        stopping=kfa.training.EarlyStopping(settings.out, settings.patience, settings.min_epochs),
        repeats=max(1, settings.steps * settings.batch_size // len(faces.train)),
    )


if __name__ == "__main__":
    kfa.training.main(recipe)
