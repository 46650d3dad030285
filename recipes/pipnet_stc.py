"""PIPNet across domains: 300W labelled, other faces without labels (Jin et al., Sec. 3.3, 4.1.2 "Cross-Domain Setting", 4.5).

python recipes/pipnet_stc.py --data-dir 300W --unlabelled CELEBA               # GSSL by self-training with curriculum
python recipes/pipnet_stc.py --data-dir 300W --paradigm uda --unlabelled WFLW --unlabelled-dataset wflw
python recipes/pipnet_stc.py --data-dir 300W --unlabelled CELEBA --method dann   # or self-training: the baselines
python recipes/pipnet_stc.py --data-dir 300W --paradigm gsl                    # no unlabelled faces
python recipes/pipnet_stc.py --scale quick                                    # on a CPU, no download
"""

import kfacealign as kfa

PAPER = {
    "dataset": "300w",
    "paradigm": "gssl",
    "method": "stc",
    "unlabelled_dataset": "folder",
    "tasks": {"stc": (1, 2, 3, 3, 3), "self-training": (3, 3, 3, 3, 3)},
    "backbone": "resnet18",
    "backbone_weights": "imagenet",
    "backbone_width": 1.0,
    "stride": 32,
    "neighbors": 10,
    "input_size": 256,
    "enlarge": 1.3,
    "epochs": 60,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (30, 50),
}
QUICK = {
    "dataset": "synthetic68",
    "unlabelled_dataset": "synthetic",
    # The score map has 4 x 4 cells: that of task 1 would be a single one.
    "tasks": {"stc": (2, 3, 3), "self-training": (3, 3, 3)},
    "backbone": "mobilenet_v2",
    "backbone_weights": "none",
    "backbone_width": 0.5,
    "input_size": 128,
    "epochs": 8,
    "learning_rate": 1e-3,
    "drops": (6, 7),
}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    network = kfa.models.DomainAdversarialPIPNet if settings.method == "dann" else kfa.models.PIPNet

    def build():
        return network(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            stride=settings.stride,
            neighbors=min(settings.neighbors, faces.scheme.num_points - 1),
            input_size=settings.input_size,
            backbone_width=settings.backbone_width,
            enlarge=settings.enlarge,
        )

    views = kfa.data.RandomView.paper(faces.scheme, gray=0.2)  # grey is not in the paper's list, but in the authors' code
    if settings.paradigm == "gsl":
        kfa.training.run(build, faces, views, settings, export=kfa.deploy.export)
        return
    root, name = settings.unlabelled, settings.unlabelled_dataset
    unlabelled = kfa.data.load_unlabelled(name, root, scheme=faces.scheme, file_scheme=settings.scheme)
    train = kfa.training.run_domain_adversarial if settings.method == "dann" else kfa.training.self_train
    train(build, faces, unlabelled, views, settings, export=kfa.deploy.export)


if __name__ == "__main__":
    kfa.training.main(recipe)
