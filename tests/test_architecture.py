"""The plan of the house: which floor stands on which, read from the imports of the code.

A module may import modules of its own floor and of the floors below, whether at its top or inside a function, and no
modules import each other in a circle. Imports for type checkers alone are no arrows. `docs/house.md` shows the rooms.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "kfacealign"
# From the ground up. The longest name that a module's name begins with places it.
FLOORS = (
    (
        "what knows nothing of faces",
        "version files plain_yaml console process state_dicts quiet machine backend interpreter streaming fused_norms "
        "deploy.flatbuffer deploy.exporting.conversion",
    ),
    ("points and pictures", "landmark_scheme schemes mirrors scheme_files geometry losses"),
    ("faces without pixels", "drawing detect data.faces data.five_points conversions pose metrics"),
    ("what networks are made of", "codecs layers"),
    ("from files to batches", "data"),
    ("from a photograph to faces", "photo tracking"),
    ("the methods", "models checkpoints"),
    ("what their answers are worth", "evaluation"),
    ("training", "training"),
    ("from a trained model to a file, and running it", "deploy"),
    ("bundled models", "presets"),
    ("the front door", "loading face_landmarks"),
    ("the command", "cli __main__"),
)
# Packages whose `__init__` names everything below it, and imports it only when it is asked for.
LAZY = ("", "data", "deploy", "evaluation", "metrics", "presets", "training")


def modules():
    """Name below the package -> its file, without the packages' own `__init__`."""
    found = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = file.relative_to(ROOT / PACKAGE).with_suffix("").parts
        if parts[-1] != "__init__":
            found[".".join(parts)] = file
    return found


MODULES = modules()


def packages():
    """Name below the package -> the `__init__` of each room that is not lazy."""
    files = (file for file in sorted((ROOT / PACKAGE).rglob("__init__.py")))
    names = {".".join(file.relative_to(ROOT / PACKAGE).parent.parts): file for file in files}
    return {name: file for name, file in names.items() if name not in LAZY}


def exported(package):
    """Name that a package offers -> the module below the root that defines it, by its `__init__` or its stub."""
    folder = ROOT / PACKAGE / Path(*package.split(".")) if package else ROOT / PACKAGE
    stub, found = folder / "__init__.pyi", {}
    tree = ast.parse((stub if stub.exists() else folder / "__init__.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            inside = ".".join(filter(None, (package, node.module))) if node.level else below(node.module)
            for alias in node.names:
                whole = ".".join(filter(None, (inside, alias.name)))
                found[alias.asname or alias.name] = whole if whole in MODULES or is_package(whole) else inside
    return found


def is_package(name):
    return (ROOT / PACKAGE / Path(*name.split(".")) / "__init__.py").is_file()


def below(module):
    """`kfacealign.data.faces` -> `data.faces`; None for a module of another package."""
    if module == PACKAGE:
        return ""
    return module.removeprefix(f"{PACKAGE}.") if module and module.startswith(f"{PACKAGE}.") else None


def imported(file):
    """The modules of the package that a file imports, anywhere in it; names taken from a package count for their module."""
    tree, found = run_time(ast.parse(file.read_text())), set()
    packages_by_alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [below(alias.name) for alias in node.names]
            found |= {name for name in names if name is not None}
        elif isinstance(node, ast.ImportFrom):
            inside = below(node.module)
            if inside is None:
                continue
            for alias in node.names:
                whole = ".".join(filter(None, (inside, alias.name)))
                if whole in MODULES:
                    found.add(whole)
                elif is_package(whole):
                    packages_by_alias[alias.asname or alias.name] = whole
                elif inside in MODULES:
                    found.add(inside)
                else:
                    found.add(exported(inside)[alias.name])
    # `data.Crops`, where `data` is a package, is an import of what defines `Crops`.
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            package = dotted(node.value)
            package = packages_by_alias.get(package, packages_by_alias.get(package.partition(".")[0]) if package else None)
            if package and is_package(package) and node.attr in exported(package):
                found.add(exported(package)[node.attr])
    return {name for name in found if name in MODULES}


def run_time(tree):
    """The tree without the blocks of `if TYPE_CHECKING:`."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [statement for statement in statements if not for_type_checkers(statement)])
    return tree


def for_type_checkers(statement):
    return isinstance(statement, ast.If) and (dotted(statement.test) or "").endswith("TYPE_CHECKING")


def dotted(node):
    """`evaluation.plots` of an expression, or None."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else None
    return f"{inner}.{node.attr}" if inner else None


def floor(module):
    """The number of a module's floor, from 0."""
    best = max(
        (prefix for _, names in FLOORS for prefix in names.split() if module == prefix or module.startswith(f"{prefix}.")),
        key=len,
        default=None,
    )
    assert best is not None, f"{module} is in no room of FLOORS"
    return next(number for number, (_, names) in enumerate(FLOORS) if best in names.split())


ARROWS = {name: imported(file) for name, file in MODULES.items()}


def test_every_module_has_a_floor_and_every_room_is_there():
    for module in MODULES:
        floor(module)
    rooms = [prefix for _, names in FLOORS for prefix in names.split()]
    assert [room for room in rooms if not any(module == room or module.startswith(f"{room}.") for module in MODULES)] == []


def test_the_reader_of_imports_sees_what_is_there():
    """Known arrows of each kind: from a module, from a lazy package, through a package's attribute, inside a function."""
    assert "data.faces" in ARROWS["data.clips"]
    assert "data.crops" in ARROWS["training.loop"]  # `data.Crops`
    assert "data.readers.matlab" in ARROWS["data.images"]  # inside a function
    assert "evaluation.plots" in ARROWS["cli.compare"]  # `evaluation.plots.write_figure`
    assert "metrics.errors" in ARROWS["models.aligner"]


def test_no_arrow_goes_upwards():
    upwards = [
        f"{module} ({FLOORS[floor(module)][0]}) imports {other} ({FLOORS[floor(other)][0]})"
        for module, others in ARROWS.items()
        for other in sorted(others)
        if floor(other) > floor(module)
    ]
    assert upwards == []


def test_no_imports_go_in_a_circle():
    def visit(module, path):
        if module in path:
            circles.add(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for other in sorted(ARROWS[module]):
                visit(other, [*path, module])
            done.add(module)

    circles, done = set(), set()
    for module in ARROWS:
        visit(module, [])
    assert circles == set()


@pytest.mark.parametrize("room", sorted(packages()))
def test_a_rooms_front_imports_its_own_room(room):
    """An `__init__` that is not lazy offers what is in its room, and `backend`, which it begins with."""
    others = {name for name in imported(packages()[room]) if not name.startswith(f"{room}.")}
    assert others <= {"backend"}


def test_only_the_ground_floor_has_backends_of_its_own():
    """Models, layers, losses, codecs and metrics are written in `keras.ops`: none imports a backend."""
    foreign = []
    for module, file in MODULES.items():
        if module.partition(".")[0] in ("models", "layers", "losses", "codecs", "metrics"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                foreign += [f"{module}: {name}" for name in names if name.split(".")[0] in ("tensorflow", "jax", "torch")]
    assert foreign == []


def test_keras_loads_models_in_one_place():
    """Only `models.loading` calls Keras' loader, after it has looked at the file; nobody turns Keras' safe mode off."""
    sources = [file for folder in (PACKAGE, "recipes", "benchmarks", "export") for file in (ROOT / folder).rglob("*.py")]
    callers = [file for file in sources if "load_model(" in file.read_text()]
    assert [file.relative_to(ROOT).as_posix() for file in callers] == [f"{PACKAGE}/models/loading.py"]
    assert not [file for file in sources if "enable_unsafe_deserialization" in file.read_text()]
    assert [line for line in callers[0].read_text().splitlines() if "load_model(" in line and "safe_mode=True" not in line] == []
    notebooks = [file for file in (ROOT / "notebooks").glob("*.ipynb") if "load_model(" in file.read_text(encoding="utf-8")]
    assert notebooks == []


def test_only_trusted_saved_models_are_loaded():
    callers = [module for module, file in MODULES.items() if "saved_model.load(" in file.read_text()]
    assert callers == ["deploy.runtime.saved_model"]
