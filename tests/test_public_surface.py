"""What users call: names that stay, hints that tell, flags that are given by their names."""

import dataclasses
import enum
import importlib
import inspect
import types

import pytest

import kfacealign as kfa

PACKAGES = (
    "",
    "checkpoints",
    "codecs",
    "data",
    "deploy",
    "evaluation",
    "layers",
    "losses",
    "metrics",
    "models",
    "presets",
    "training",
)
MODULES = ("conversions", "detect", "drawing", "geometry", "photo", "pose", "schemes", "streaming", "tracking")
# Methods that Keras calls by position and defines the signature of.
KERAS = {"call", "build", "compute_loss", "compute_metrics", "update_state", "compile", "fit", "save", "compute_output_shape"}
KERAS |= {"from_config", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "compute_mask", "compile_from_config"}
MOST = 5  # arguments by position: those of a run, `build, faces, unlabelled, views, settings`


def public():
    """Name -> function or class of this package that a package's front, or a module of the root, offers."""
    found = {}
    for name in (*PACKAGES, *MODULES):
        module = importlib.import_module(".".join(filter(None, ("kfacealign", name))))
        for key in getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]:
            value = getattr(module, key)
            if isinstance(value, types.FunctionType | type) and value.__module__.startswith("kfacealign"):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


PUBLIC = public()


def functions():
    """Name -> function: the public ones, and constructors and public methods of the public classes."""
    found = {}
    for name, value in PUBLIC.items():
        if isinstance(value, types.FunctionType):
            found[name] = value
        elif not issubclass(value, enum.Enum):
            for key, member in vars(value).items():
                member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                own = key == "__init__" and not dataclasses.is_dataclass(value) and not getattr(value, "_is_protocol", False)
                if isinstance(member, types.FunctionType) and (own or not key.startswith("_")):
                    found[f"{name}.{key}"] = member
    return found


FUNCTIONS = functions()


def arguments(function):
    """The parameters without `self` and `cls`."""
    return [parameter for parameter in inspect.signature(function).parameters.values() if parameter.name not in ("self", "cls")]


def by_position(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in arguments(function) if parameter.kind in kinds]


def test_the_surface_is_seen():
    assert len(PUBLIC) > 150 and "kfacealign.data.batches.pipeline" in PUBLIC and "kfacealign.models.hih.HIH" in PUBLIC
    assert "kfacealign.models.aligner.FaceAligner.align" in FUNCTIONS and "kfacealign.models.hih.HIH.__init__" in FUNCTIONS


def test_every_argument_and_result_has_a_hint():
    lacking = []
    for name, function in FUNCTIONS.items():
        signature = inspect.signature(function)
        lacking += [f"{name}: {one.name}" for one in arguments(function) if one.annotation is one.empty]
        if not name.endswith("__init__") and signature.return_annotation is signature.empty:
            lacking.append(f"{name}: return")
    assert lacking == []


def test_flags_and_tuning_numbers_are_given_by_their_names():
    """But for the one or two numbers that define a layer, a loss or a codec: `Heatmap(64, 1.5)`, `Wing(10, 2)`."""
    wrong = []
    for name, function in FUNCTIONS.items():
        if name.rpartition(".")[2] in KERAS:
            continue
        defining = 2 if name.endswith("__init__") else 0
        optional = [one.name for one in by_position(function)[defining:] if isinstance(one.default, bool | float)]
        wrong += [f"{name}: {one} by position" for one in optional]
        if len(by_position(function)) > MOST:
            wrong.append(f"{name}: {len(by_position(function))} arguments by position")
    assert wrong == []


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_everything_public_has_a_docstring_of_its_own(name):
    text = PUBLIC[name].__dict__.get("__doc__") if isinstance(PUBLIC[name], type) else PUBLIC[name].__doc__
    assert text and not text.startswith(f"{PUBLIC[name].__name__}("), f"{name} says nothing of itself"


def test_names_that_stay():
    """Those that version 0.1 was shown by."""
    assert kfa.models.HIH is importlib.import_module("kfacealign.models.hih").HIH
    assert all(callable(value) for value in (kfa.data.pipeline, kfa.deploy.export, kfa.deploy.load, kfa.from_preset, kfa.load))
    # A module of the same name that is imported later does not take their place.
    for module in ("data.batches", "deploy.exporting.exporter", "deploy.runtime.loading", "evaluation.reports", "training.loop"):
        importlib.import_module(f"kfacealign.{module}")
    shown = (kfa.data.pipeline, kfa.deploy.export, kfa.deploy.load, kfa.evaluation.report, kfa.training.run)
    assert all(isinstance(value, types.FunctionType) for value in shown)


@pytest.mark.parametrize("package", ["", "data", "deploy", "evaluation", "metrics", "presets", "training"])
def test_a_lazy_package_has_all_that_it_names(package):
    module = importlib.import_module(".".join(filter(None, ("kfacealign", package))))
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018
