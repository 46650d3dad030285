"""The units on Ray: as many actors as leave a CPU to Ray Data, the rows of one machine, and no statistics of use."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kfacealign.cli import main
from kfacealign.cli.labelling import on_ray
from kfacealign.data import SyntheticFaces, image_files


@pytest.mark.parametrize(
    ("cpus", "workers", "expected"),
    [
        (8, None, (7, 1)),
        (8, 3, (3, 1)),
        (8, 8, (7, 1)),
        (8, 100, (7, 1)),
        (2, None, (1, 1)),
        (1, None, (1, 0.5)),
        (1, 4, (1, 0.5)),
    ],
)
def test_actors_never_hold_every_cpu(cpus, workers, expected):
    actors, share = on_ray.share_of(cpus, workers)
    assert (actors, share) == expected and actors * share < cpus


def test_a_cluster_without_a_cpu_is_refused():
    with pytest.raises(ValueError, match="no CPU"):
        on_ray.share_of(0, None)


def skip_where_ray_itself_does_not_start():
    """Some machines forbid what Ray's own processes need, or are too slow for its patience; that is no fault of the command."""
    start = "import ray; ray.init(address='local', include_dashboard=False, log_to_driver=False); ray.shutdown()"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        subprocess.run([sys.executable, "-c", start], env=environment, capture_output=True, timeout=90, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"Ray by itself does not start here ({type(error).__name__})")


def test_the_rows_are_those_of_one_machine(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray.data")
    skip_where_ray_itself_does_not_start()
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    (tmp_path / "photos").mkdir()
    image_files.write(tmp_path / "photos" / "face.png", SyntheticFaces(3, size=256).render(0).image)
    image_files.write(tmp_path / "photos" / "grey.png", np.full((40, 40, 3), 90, np.uint8))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    found = []
    for engine in ("processes", "ray"):
        out = tmp_path / f"{engine}.parquet"
        words = ["label", str(tmp_path / "photos"), "--out", str(out), "--engine", engine, "--workers", "1000"]
        assert main.main(words) == 1
        found.append(parquet.read_table(out).to_pylist())
    assert found[0] == found[1] and [row["status"] for row in found[0]] == ["failed", "ok", "no face"]
    assert "actors, not 1000" in capsys.readouterr().out
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
