"""The presets pipnet_lite0_ibug68, the default of `kfacealign align`, and pipnet_lite0_256_ibug68: rendered and real faces.

    python recipes/preset_pipnet.py --data-dir YTF68 --also INFANFACE LFPW --out runs/preset_pipnet       # 128 px, on a CPU
    python recipes/preset_pipnet.py --data-dir YTF68 --also INFANFACE LFPW --input-size 256 --out runs/accurate
    python recipes/preset_pipnet.py --dataset synthetic68 --out runs/clean_pipnet     # rendered faces alone, of the full ranges
    python recipes/preset_pipnet.py --dataset synthetic106 --no-last-expansion --neighbors 6 --out runs/clean_106
    python recipes/preset_pipnet.py --scale quick --out runs/preset_pipnet_quick               # rendered faces only, to try it
    python recipes/preset_pipnet.py ... --begin-with MODEL.keras --learning-rate 5e-4 --keep 0.5   # go on from a trained model
    python recipes/preset_pipnet.py ... --begin-with MODEL.keras --keep 0.5 --as-drawn brows   # brows where drawings have them

    python benchmarks/weak_spots.py runs/preset_pipnet/model.keras
    kfacealign presets make pipnet_lite0_ibug68 --model runs/preset_pipnet/model.keras --data-dir YTF68

YTF68 is a folder with train and test, images with .pts files; so are those of --also, of which the training part is taken.
A twentieth of YTF68's training faces validates the epochs; with --person '(.*)_' they are those of whole people, as the names of
its frames say before the last underscore who is seen.
The backbone is EfficientNet-Lite0 with ImageNet's weights, made for phones. Cells of 32 px keep the file small: with cells of
16 px the layer that makes them has more weights than all others together.
"""

import kfacealign as kfa

PAPER = {
    "dataset": "pts",
    "ranges": "usual",
    "drawn": 1800,
    "also": (),
    "also_times": 2,
    "as_drawn": (),
    "person": None,
    "validation": 0.05,
    "backbone": "efficientnet_lite0",
    "backbone_weights": "imagenet",
    "begin_with": None,
    "keep": 0.0,
    "keep_of": None,
    "last_expansion": True,
    "stride": 32,
    "neighbors": 10,
    "input_size": 128,
    "enlarge": 1.2,
    "epochs": 80,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "decay": "cosine",
}
QUICK = {"dataset": "synthetic68", "ranges": "usual", "drawn": 1800, "epochs": 6, "backbone_weights": "none"}
# Crops of a detector's box are never exact. Place and size vary in every view: were half of the crops exact, the network would
# take the edges of all of them for those of the face (docs/results.md, "Face detectors").
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
    faces, validation, sources = shared.rendered_and_real(settings)

    def build():
        return kfa.models.PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            last_expansion=settings.last_expansion,
            stride=settings.stride,
            neighbors=settings.neighbors,
            input_size=settings.input_size,
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
