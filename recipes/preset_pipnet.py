"""The preset pipnet_mobilenet_v2_ibug68, the default of `kfacealign align`: PIPNet on MobileNetV2, rendered and real faces.

    python recipes/preset_pipnet.py --data-dir YTF68 --out runs/preset_pipnet   # 128 px, on a CPU
    python recipes/preset_pipnet.py --data-dir YTF68 --input-size 256 --epochs 60 --drops 40 54 --out runs/gpu
    python recipes/preset_pipnet.py --scale quick --out runs/preset_pipnet_quick               # rendered faces only, to try it
    python recipes/preset_pipnet.py ... --backbone-weights runs/lotr/backbone/model.keras       # begin with a trained backbone

    python benchmarks/weak_spots.py runs/preset_pipnet/model.keras
    kfacealign presets make pipnet_mobilenet_v2_ibug68 --model runs/preset_pipnet/model.keras --data-dir YTF68

YTF68 is a folder with train and test, images with .pts files. Cells of 32 px and five neighbours keep the file small: with
cells of 16 px the layer that makes them has more weights than all others together.
"""

import kfacealign as kfa

PAPER = {
    "dataset": "pts",
    "backbone": "mobilenet_v2",
    "backbone_weights": "none",
    "begin_with": None,
    "stride": 32,
    "neighbors": 5,
    "input_size": 128,
    "enlarge": 1.2,
    "epochs": 40,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "drops": (28, 36),
}
QUICK = {"dataset": "synthetic68", "epochs": 6, "drops": (4,)}
# Crops of a detector's box are never exact: size and place vary.
VIEWS = {"translation": 16 / 256, "rotation": 18.0, "scale": (0.88, 1.14), "color": (0.7, 1.3), "brightness": 0.1, "gray": 0.05}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK)
    faces, sources = kfa.training.rendered_and_real.rendered_and_real(settings)

    def build():
        return kfa.models.PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            stride=settings.stride,
            neighbors=settings.neighbors,
            input_size=settings.input_size,
            enlarge=settings.enlarge,
        )

    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS, occlusion_probability=0.2)
    kfa.training.run(build, faces, views, settings, load=kfa.load, export=kfa.deploy.export)
    kfa.training.rendered_and_real.write_facts(settings, sources, views)


if __name__ == "__main__":
    kfa.training.main(recipe)
