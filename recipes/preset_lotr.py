"""The preset lotr_lite0_ibug68: LOTR on the backbone of the default preset, rendered and real faces.

    python recipes/preset_lotr.py --data-dir YTF68 --also INFANFACE LFPW --out runs/preset_lotr       # half an hour on a CPU
    python recipes/preset_lotr.py ... --begin-with lotr_lite0_ibug68 --keep 0.5 --as-drawn brows   # go on; brows as in drawings
    python recipes/preset_lotr.py --dataset synthetic68 --out runs/clean_lotr                  # rendered faces alone, full ranges
    python recipes/preset_lotr.py --scale quick --out runs/preset_lotr_quick                    # rendered faces only, to try it
    python recipes/preset_lotr.py --data-dir YTF68 --also INFANFACE LFPW --input-size 256 --no-frozen-backbone \\
        --backbone-weights imagenet --epochs 80 --out runs/gpu                                  # all of it, on a GPU

    python benchmarks/weak_spots.py runs/preset_lotr/model.keras
    kfacealign presets make lotr_lite0_ibug68 --only-keras --people --model runs/preset_lotr/model.keras --data-dir YTF68

YTF68 is a folder with train and test, images with .pts files; so are those of --also, of which the training part is taken.
A twentieth of YTF68's training faces validates the epochs; with --person '(.*)_' they are those of whole people, as the names of
its frames say before the last underscore who is seen.
The backbone, EfficientNet-Lite0, is that of a PIPNet of the same landmarks and stays as it is: what is trained is the
transformer and the prediction head.
"""

import kfacealign as kfa

# Backbone weights are a preset's or those of another trained model, or ImageNet's. The queries are told apart from the start and
# reach the prediction head, there is no dropout, and the optimiser is AdamW, not LAMB: the training is short
# (docs/methods/lotr.md).
PAPER = {
    "dataset": "pts",
    "ranges": "usual",
    "drawn": 1800,
    "also": (),
    "also_times": 2,
    "person": None,
    "as_drawn": (),
    "validation": 0.05,
    "backbone": "efficientnet_lite0",
    "backbone_weights": "pipnet_lite0_ibug68",
    "frozen_backbone": True,
    "begin_with": None,
    "keep": 0.0,
    "keep_of": None,
    "loss": "smooth_wing",
    "dropout": 0.0,
    "query_stddev": 1.0,
    "gain": 0.1,
    "input_size": 128,
    "enlarge": 1.2,
    "epochs": 20,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "decay": "cosine",
}
QUICK = {"dataset": "synthetic68", "ranges": "usual", "drawn": 1800, "epochs": 6}
# As in recipes/preset_pipnet.py: crops of a detector's box are never exact.
VIEWS = {
    "translation": 0.07,
    "translation_probability": 1.0,
    "scale": (0.84, 1.19),
    "scale_probability": 1.0,
    "rotation": 40.0,
    "rotation_probability": 0.8,
    "color": (0.7, 1.3),
    "brightness": 0.15,
    "gray": 0.1,
    "blur": 4 / 256,
    "occlusion_probability": 0.25,
}


def recipe():
    shared = kfa.training.rendered_and_real
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, datasets=shared.ALONE, flags=shared.FLAGS)
    weights = settings.backbone_weights
    if weights in kfa.presets.names():
        weights = kfa.presets.path(weights)
    faces, validation, sources = shared.rendered_and_real(settings)

    def build():
        return kfa.models.LOTR(
            faces.scheme,
            backbone=settings.backbone,
            input_size=settings.input_size,
            loss=kfa.training.LOSSES[settings.loss](),
            backbone_weights=weights,
            dropout=settings.dropout,
            query_stddev=settings.query_stddev,
            gain=settings.gain,
            frozen_backbone=settings.frozen_backbone,
            enlarge=settings.enlarge,
        )

    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS)
    optimizer = kfa.training.OPTIMIZERS[settings.optimizer]
    kfa.training.run(
        build, faces, views, settings, optimizer=optimizer, load=kfa.load, export=kfa.deploy.export, validation=validation
    )
    shared.write_facts(settings, sources, views, validation=validation)


if __name__ == "__main__":
    kfa.training.main(recipe)
