"""What `make test` needs of the repository's own files on a bare machine."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pinned():
    """Names pinned in requirements.txt, lower case."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines if "==" in line}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements):
    return {re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", text)[0]).lower() for text in requirements}


def test_what_builds_the_package_is_pinned():
    """`make` installs the package without build isolation: with whatever setuptools the machine has unless one is pinned."""
    assert names(project()["build-system"]["requires"]) <= pinned()


def test_every_dependency_of_the_tests_is_pinned():
    metadata = project()["project"]
    extras = metadata["optional-dependencies"]
    # PyTorch is left out: from the public index it is gigabytes. What needs it is skipped without it.
    wanted = names(metadata["dependencies"]).union(*(names(needed) for extra, needed in extras.items() if extra != "torch"))
    assert wanted - {"kfacealign"} <= pinned()


def test_every_requirement_is_an_exact_version():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line) for line in lines if line and not line.startswith("#"))
