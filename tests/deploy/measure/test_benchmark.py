"""The pieces that measure costs. The command, which starts processes, is tested in tests/cli/test_bench.py."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kfacealign.deploy.measure import benchmark


class Fake:
    """A model that notes its turn."""

    input_size = 4

    def __init__(self, name, turns):
        self.name, self.turns = name, turns

    def align(self, images, verbose):
        assert images.shape == (1, 4, 4, 3) and images.dtype == np.uint8
        self.turns.append(self.name)


def test_models_take_turns_and_the_first_reads_do_not_count(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "PAUSE", 0.0)
    turns = []
    taken = benchmark.latencies(lambda: [Fake("a", turns), Fake("b", turns)], 7)
    rounds = [tuple(turns[place : place + 2]) for place in range(0, len(turns), 2)]
    assert len(rounds) == benchmark.WARM_UP + 7
    assert set(rounds) == {("a", "b"), ("b", "a")}  # none always follows the other
    assert [len(times) for times in taken] == [7, 7] and min(map(min, taken)) > 0
    assert capsys.readouterr().out.count(benchmark.PREFIX) == benchmark.WARM_UP + 7


def test_memory_that_a_model_takes_is_found():
    if benchmark.resident("VmRSS") is None:
        pytest.skip("this system does not state a process's memory in /proc")
    script = """if True:
        import json, numpy
        from kfacealign.deploy.measure import benchmark
        kept = []
        def load():
            kept.append(numpy.ones(40_000_000, "uint8"))
            return []
        print(json.dumps(benchmark.memory(load, 1)))"""
    # A process of its own, as in `bench`: what other tests left in this one may go back to the system meanwhile.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert 38e6 < found["peak"] - found["before"] < 80e6


def test_statistics_of_the_times(monkeypatch, tmp_path):
    """Times that are known: median, 90th percentile and ratio to the first file, for each number of threads."""
    times = {1: [list(range(1, 12)), [2 * value for value in range(1, 12)]], 2: [[4.0], [1.0]]}
    monkeypatch.setattr(benchmark, "check", lambda path: None)
    monkeypatch.setattr(
        benchmark,
        "measured",
        lambda task, advance: times[task["threads"]] if task["measure"] == "latency" else {"before": 5, "peak": 9},
    )
    paths = [tmp_path / "a.keras", tmp_path / "b.onnx"]
    for path, size in zip(paths, (3, 4), strict=True):
        path.write_bytes(bytes(size))
    costs = benchmark.bench(paths, threads=(1, 2), runs=11)
    assert [(cost.threads, cost.median, cost.p90, cost.ratio) for cost in costs] == [
        (1, 6.0, 10.0, 1.0),
        (1, 12.0, 20.0, 2.0),
        (2, 4.0, 4.0, 1.0),
        (2, 1.0, 1.0, 0.25),
    ]
    assert [(cost.bytes, cost.nodes, cost.before, cost.peak) for cost in costs[:2]] == [(3, None, 5, 9), (4, None, 5, 9)]


def test_what_is_no_model_of_ours_is_refused_without_a_process(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing.tflite: no such model"):
        benchmark.bench([tmp_path / "missing.tflite"])
    (tmp_path / "other.tflite").write_bytes(b"PK\3\4 zip file")
    (tmp_path / "m.h5").touch()
    for name, message in (("other.tflite", "other.tflite: not a TFLite file"), ("m.h5", "m.h5 is not a model")):
        with pytest.raises(ValueError, match=message):
            benchmark.bench([tmp_path / name])


def test_a_process_that_fails_says_why(tmp_path, monkeypatch):
    task = {"measure": "latency", "paths": ["x.keras"], "threads": 1, "runs": 1}
    speaking = tmp_path / "speaking"
    speaking.write_text(f"#!/bin/sh\necho noise\necho '{benchmark.PREFIX}{json.dumps({'error': 'x.keras is bad'})}'\n")
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\necho Killed >&2\nexit 9\n")
    died = "x.keras: the process that measures ended with status 9: Killed"
    for program, message in ((speaking, "x.keras is bad"), (dying, died)):
        program.chmod(0o755)
        monkeypatch.setattr(benchmark.sys, "executable", str(program))
        with pytest.raises(ValueError, match=message):
            benchmark.measured(task, lambda: None)
