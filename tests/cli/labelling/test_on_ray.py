"""The units on Ray: as many actors as leave a CPU to Ray Data, the rows of one machine, and no statistics of use."""

import os
import subprocess
import sys
import threading
from pathlib import Path

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


def test_a_cluster_is_looked_at_until_the_block_ends(monkeypatch):
    monkeypatch.setattr(on_ray, "LOOK", 0.01)
    looked = threading.Event()

    def cpus():
        if threading.current_thread() is not threading.main_thread():
            looked.set()
            raise OSError("the cluster is gone")
        return 2

    with on_ray.Watch(cpus, 1, print) as watch:
        assert looked.wait(60)
    assert not watch.thread.is_alive()


def test_a_cluster_that_shrinks_is_told():
    told, cpus = [], [4, 4, 3, 3, 5, 0]
    watch = on_ray.Watch(lambda: cpus.pop(0), 1, told.append)
    while cpus:
        watch.look()
    assert [line.partition(":")[0] for line in told] == [
        "the cluster has 3 CPUs, not 4 as before",
        "the cluster has 0 CPUs, not 5 as before",
    ]


def test_long_silence_is_told_every_ten_minutes(monkeypatch):
    told, now, cpus = [], [0.0], [2]
    monkeypatch.setattr(on_ray.time, "monotonic", lambda: now[0])
    watch = on_ray.Watch(lambda: cpus[0], 1, told.append)
    for second in (5, 599, 600, 605, 1199, 1200):
        now[0] = second
        watch.look()
    watch.heard()
    cpus[0] = 0.5
    for second in (1205, 1799, 1800):
        now[0] = second
        watch.look()
    silent = [line for line in told if line.startswith("no shard")]
    assert silent == [
        "no shard was finished for 10 minutes; the cluster has 2 CPUs",
        "no shard was finished for 20 minutes; the cluster has 2 CPUs",
        "no shard was finished for 10 minutes; the cluster has 0.5 CPUs, too few for an actor",
    ]


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


def test_a_machine_that_is_lost_costs_no_row_and_gives_none_twice():
    for needed in ("ray.data", "pyarrow.parquet", "ai_edge_litert"):
        pytest.importorskip(needed)
    skip_where_ray_itself_does_not_start()
    script = Path(__file__).parents[2] / "crash" / "label_nodes.py"
    command = [sys.executable, str(script), "--pictures", "160", "--limit", "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
