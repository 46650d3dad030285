"""`kfacealign import-weights`: an authors' PyTorch checkpoint as a .keras model."""

from pathlib import Path

from rich.console import Console

from kfacealign import schemes
from kfacealign.deploy import checkpoints
from kfacealign.deploy.checkpoints import pipnet
from kfacealign.files import replacing

DEFAULT_VARIANTS = {"fan": "2dfan"}
OF_PIPNET = ("stride", "neighbors", "meanface")


def run(arguments):
    out = Path(arguments.out)
    if out.suffix != ".keras":
        raise ValueError(f"--out is a file NAME.keras, not {out}")
    options = model_options(arguments)
    variant = arguments.variant or DEFAULT_VARIANTS.get(arguments.model)
    checkpoints.architecture(arguments.model, variant)
    state = checkpoints.read(arguments.checkpoint)
    model, unused = checkpoints.convert(arguments.model, variant, state, arguments.checkpoint, **options)
    with replacing(out) as temporary:
        model.save(temporary)
    console = Console(soft_wrap=True)
    console.print(f"{len(state) - len(unused)} of {len(state)} tensors used; not used: {describe(unused)}")
    note = checkpoints.caution(arguments.model, options)
    if note:
        console.print(f"note: {note}")
    console.print(f"written: {out} ({arguments.model} {variant}, {model.scheme.name}, {model.input_size} px)", highlight=False)
    return 0


def model_options(arguments):
    """The arguments of the model that were given.

    Raises:
        ValueError: an option of another model or out of its range, or a mean face that cannot be read.
        FileNotFoundError: there is no mean face.
    """
    foreign = [f"--{name}" for name in OF_PIPNET if getattr(arguments, name) is not None]
    if foreign and arguments.model != "pipnet":
        raise ValueError(f"{', '.join(foreign)} {'is' if len(foreign) == 1 else 'are'} for --model pipnet, not {arguments.model}")
    options = {name: getattr(arguments, name) for name in ("scheme", "input_size", "enlarge", "stride", "neighbors")}
    options = {name: value for name, value in options.items() if value is not None}
    if options.get("enlarge", 1.0) <= 0:
        raise ValueError(f"--enlarge must be positive, got {arguments.enlarge}")
    if arguments.meanface is not None:
        points = schemes.get(options.get("scheme", "wflw98")).num_points
        options["mean_shape"] = pipnet.read_meanface(arguments.meanface, points)
    return options


def describe(unused):
    return f"{len(unused)} counters of training steps (num_batches_tracked)" if unused else "none"
