"""A trained PIPNet made small for a phone: eight-bit arithmetic or zeros in its weights, with the training that goes with it.

    python recipes/pipnet_compression.py --model runs/wflw_mobilenet_v2/model.keras --data-dir WFLW                # int8
    python recipes/pipnet_compression.py --model runs/wflw_mobilenet_v2/model.keras --data-dir WFLW --sparsity 0.75   # pruned
    python recipes/pipnet_compression.py --model runs/synthetic_mobilenet_v2/model.keras --scale quick            # rendered faces
    python recipes/pipnet_compression.py --model MODEL.keras --dataset pts --data-dir FOLDER               # your own

The model is a PIPNet of recipes/pipnet.py, or any other whose layers can be rebuilt in tf-keras; docs/quantization.md says
which can. Networks are rebuilt in tf-keras, fine-tuned through tensorflow-model-optimization with the
model's own loss, and written as LiteRT files. The recipe needs pip install 'kfacealign[qat]'.
"""

import kfacealign as kfa

# The last rate of the paper's training; weights that lose neighbours need the one before to recover.
QUANTIZED = {"dataset": "wflw", "epochs": 10, "batch_size": 16, "learning_rate": 1e-5, "drops": (8,)}
PRUNED = {**QUANTIZED, "epochs": 30, "learning_rate": 1e-4, "drops": (24,)}
QUICK = {"dataset": "synthetic", "epochs": 2, "learning_rate": 1e-4, "drops": ()}
SCALES = {
    "paper": (QUANTIZED, PRUNED),
    "quick": ({**QUANTIZED, **QUICK}, {**PRUNED, **QUICK, "epochs": 5, "learning_rate": 5e-4, "drops": (4,)}),
}
# Those of recipes/pipnet.py.
VIEWS = {"paper": {}, "quick": {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}}


def recipe():
    from kfacealign.deploy.compression import tuning  # here, so that mistakes and Ctrl-C in this import are one line

    settings = tuning.parse_settings(__doc__, SCALES)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    views = kfa.data.RandomView.paper(faces.scheme, **VIEWS[settings.scale])
    tuning.tune(settings, faces, views)


if __name__ == "__main__":
    kfa.training.main(recipe)
