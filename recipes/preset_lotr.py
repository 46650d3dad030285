r"""The preset lotr_m_ibug68: LOTR-M on rendered and real faces, its backbone begun with that of a PIPNet.

    python recipes/preset_pipnet.py --data-dir YTF68 --backbone mobilenet_v2 --backbone-weights none \
        --out runs/pipnet_mobilenet_v2
    python recipes/preset_lotr.py --data-dir YTF68 --out runs/preset_lotr   # 128 px, on a CPU
    python recipes/preset_lotr.py --data-dir YTF68 --input-size 256 --epochs 60 --drops 40 54 --out runs/gpu
    python recipes/preset_lotr.py --dataset synthetic68 --out runs/clean_lotr          # rendered faces alone, of the full ranges
    python recipes/preset_lotr.py --scale quick --out runs/preset_lotr_quick                    # rendered faces only, to try it

    python benchmarks/weak_spots.py runs/preset_lotr/model.keras
    kfacealign presets make lotr_m_ibug68 --model runs/preset_lotr/model.keras --data-dir YTF68

--backbone-weights names another trained model with a MobileNetV2. From random weights ("none") the transformer has nothing to
read for longer than these epochs last.
"""

from pathlib import Path

import kfacealign as kfa

# The queries are told apart from the start, there is no dropout, and the optimiser is Adam, not LAMB: the training is short
# (docs/results.md).
PAPER = {
    "dataset": "pts",
    "ranges": "usual",
    "backbone_weights": "runs/pipnet_mobilenet_v2/model.keras",
    "begin_with": None,
    "loss": "smooth_wing",
    "dropout": 0.0,
    "query_stddev": 1.0,
    "input_size": 128,
    "epochs": 40,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "drops": (28, 36),
}
QUICK = {"dataset": "synthetic68", "ranges": "usual", "epochs": 6, "drops": (4,)}
VIEWS = {"translation": 16 / 256, "rotation": 18.0, "scale": (0.88, 1.14), "color": (0.7, 1.3), "brightness": 0.1, "gray": 0.05}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, datasets=kfa.training.rendered_and_real.ALONE)
    weights = settings.backbone_weights
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(
            f"{weights} is missing: train it by recipes/preset_pipnet.py --backbone mobilenet_v2, or name another with "
            "--backbone-weights"
        )
    faces, sources = kfa.training.rendered_and_real.rendered_and_real(settings)

    def build():
        return kfa.models.LOTR(
            faces.scheme,
            variant="m",
            input_size=settings.input_size,
            loss=kfa.training.LOSSES[settings.loss](),
            backbone_weights=weights,
            dropout=settings.dropout,
            query_stddev=settings.query_stddev,
        )

    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS, occlusion_probability=0.2)
    kfa.training.run(build, faces, views, settings, load=kfa.load, export=kfa.deploy.export)
    kfa.training.rendered_and_real.write_facts(settings, sources, views)


if __name__ == "__main__":
    kfa.training.main(recipe)
