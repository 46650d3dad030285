"""A recipe of networks so small that an epoch takes a moment: `python tiny_training.py hih|pipnet FLAGS`."""

import functools
import sys

import kfacealign as kfa

PAPER = {
    "dataset": "pts",
    "input_size": 64,
    "epochs": 5,
    "warmup_epochs": 1,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "drops": (4,),
}


def recipe():
    method = sys.argv.pop(1)
    settings = kfa.training.parse_settings(__doc__, PAPER, {})
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme)
    if method == "hih":
        kfa.models.hih.stacked_hourglass = functools.partial(kfa.models.hih.stacked_hourglass, depth=1)
    else:
        settings.warmup_epochs = 0  # it has none

    def build():
        if method == "hih":
            return kfa.models.HIH(faces.scheme, input_size=64, width=8, stacks=1, decimal_size=4, decimal_width=8)
        network = {"backbone": "mobilenet_v2", "backbone_width": 0.35, "backbone_weights": None, "stride": 32, "neighbors": 2}
        return kfa.models.PIPNet(faces.scheme, input_size=64, **network)

    kfa.training.run(build, faces, kfa.data.RandomView(scheme=faces.scheme.name), settings, export=kfa.deploy.export)


if __name__ == "__main__":
    kfa.training.main(recipe)
