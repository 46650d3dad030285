"""ONNX Runtime is started with its telemetry off."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import os, sys
from kfacealign.deploy.runtime.onnx import session_of
session = session_of(sys.argv[1])
print(session.get_inputs()[0].name, os.environ["ORT_DISABLE_TELEMETRY"])
"""


@pytest.mark.parametrize("given, wanted", [(None, "1"), ("yes", "yes")])
def test_a_session_tells_nobody_and_leaves_no_number_of_the_device(tmp_path, given, wanted):
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "same.onnx")
    home = tmp_path / "home"
    home.mkdir()
    # Little is left of the environment: ONNX Runtime is silent where it takes a variable such as CI for a test machine.
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    command = [sys.executable, "-c", CODE, str(tmp_path / "same.onnx")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (result.returncode, result.stdout.split()) == (0, ["x", wanted]), result.stderr
    if given is None:
        assert list(home.rglob("*")) == []
