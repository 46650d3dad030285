"""What an exported model says about itself, so that its user needs nothing else."""

import json
from pathlib import Path

NAME = "kfacealign"
# Inside a SavedModel; assets.extra is TensorFlow's place for what is not its own.
FILE = Path("assets.extra") / f"{NAME}.json"
COORDINATES = (
    "crop coordinates: (x, y) divided by the crop's width and height, origin at the outer top-left corner, "
    "the centre of the first pixel at (0.5 / width, 0.5 / height)"
)


def describe(aligner, precision, flip=False, float_parts=None):
    """The metadata of an exported aligner, as JSON text.

    Args:
        float_parts: names of the parts of inference that an int8 file does not compute in integers; for others None.
    """
    import kfacealign

    further = {} if float_parts is None else {"float_parts": list(float_parts)}
    return json.dumps(
        {
            "kfacealign": kfacealign.__version__,
            "model": type(aligner).__name__,
            "precision": precision,
            **further,
            "scheme": aligner.scheme.name,
            "point_names": list(aligner.scheme.point_names),
            "input_size": aligner.input_size,
            "input": {"name": "image", "color": "RGB", "range": [0, 255], "layout": "(1, height, width, 3)"},
            "outputs": {"landmarks": "(1, points, 2)", "scores": "(1, points)"},
            "coordinates": COORDINATES,
            "enlarge": aligner.enlarge,
            "flip": flip,
        },
        indent=1,
    )


def parse(text, path):
    """Metadata text of the file `path` -> dict.

    Raises:
        ValueError: there is none, or it lacks what running the model needs.
    """
    if text is None:
        raise ValueError(f"{path} was not exported by kfacealign: it has no '{NAME}' metadata. Use kfacealign.deploy.export")
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: its '{NAME}' metadata is not JSON ({error}); export the model again") from None
    missing = [key for key in ("scheme", "input_size", "enlarge") if key not in metadata]
    if missing:
        raise ValueError(f"{path}: its '{NAME}' metadata has no {', '.join(missing)}; export the model again")
    return metadata
