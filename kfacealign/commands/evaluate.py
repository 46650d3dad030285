"""`kfacealign evaluate`: a model's errors on a dataset's test faces."""

from rich.console import Console

from kfacealign import data, deploy, evaluation
from kfacealign.training.settings import load_dataset


def run(arguments):
    console = Console()
    model = deploy.load(arguments.model)
    if arguments.flip and not arguments.model.endswith(".keras"):
        raise ValueError(f"{arguments.model}: whether an exported model averages with the mirrored crop is chosen by export --flip")
    arguments.scheme = arguments.scheme or model.scheme.name
    faces = load_dataset(arguments)
    if faces.scheme.name != model.scheme.name:
        raise ValueError(f"{arguments.model} predicts {model.scheme.name}, the dataset is annotated with {faces.scheme.name}")
    console.print(faces.summary())
    crops = data.Crops(faces.test, size=model.input_size, enlarge=model.enlarge, cache=None)
    report = evaluation.evaluate(
        model, crops, subsets=faces.subsets, normalizer=arguments.normalizer or faces.normalizer, flip=arguments.flip
    )
    if crops.failures:
        console.print(crops.summary(), style="yellow")
    written = evaluation.write_run(arguments.out, report, faces.test)
    console.print(report.table())
    console.print("written:")
    for path in written:
        console.print(f"  {path}")
    return 0
