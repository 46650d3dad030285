"""`kfacealign evaluate`: a model's errors on a dataset's test faces."""

from rich.console import Console

from kfacealign import data, deploy, evaluation, presets
from kfacealign.codecs.decoders import with_decoder
from kfacealign.commands import align_options
from kfacealign.evaluation import protocols
from kfacealign.training.settings import load_dataset


def run(arguments):
    console = Console()
    arguments.model = presets.chosen(arguments.model, keras=arguments.flip or bool(arguments.decoder), console=console)
    options = align_options(arguments)
    model = deploy.load(arguments.model)
    if arguments.decoder:
        if not arguments.model.endswith(".keras"):
            raise ValueError(f"{arguments.model}: an exported model has its decoder in the graph; --decoder needs the .keras file")
        model.codec = with_decoder(model.codec, arguments.decoder)
    arguments.scheme = arguments.scheme or model.scheme.name
    protocol = protocols.get(arguments.protocol, model.scheme.name) if arguments.protocol else None
    faces = load_dataset(arguments)
    if faces.scheme.name != model.scheme.name:
        raise ValueError(f"{arguments.model} predicts {model.scheme.name}, the dataset is annotated with {faces.scheme.name}")
    console.print(faces.summary())
    crops = data.Crops(faces.test, size=model.input_size, enlarge=model.enlarge, cache=None, align=arguments.align)
    normalizer = arguments.normalizer or (protocol.normalizer if protocol else faces.normalizer)
    thresholds = protocol.thresholds if protocol else (8.0, 10.0)
    report = evaluation.evaluate(model, crops, faces.subsets, normalizer, thresholds, **options)
    if crops.failures or (arguments.align == "five_points" and not crops.aligned.all()):
        console.print(crops.summary(), style="yellow")
    placed = protocols.place(protocol.name, report) if protocol else None
    written = evaluation.write_run(arguments.out, report, faces.test, placed=placed)
    console.print(report.table())
    if placed:
        written += placed.save(arguments.out)
        for table in placed.console():
            console.print(table)
        for note in placed.notes:
            console.print(note, style="yellow", soft_wrap=True)
    console.print("written:")
    for path in written:
        console.print(f"  {path}")
    return 0
