"""Joining and describing TFLite files, on graphs whose result is known."""

import keras
import numpy as np
import pytest

from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting.conversion import convert
from kfacealign.interpreter import interpreter_class


@keras.saving.register_keras_serializable(package="tests")
class Twice(keras.layers.Layer):
    """Doubles `a`, reads nothing of `b`."""

    def call(self, inputs):
        return {"twice": inputs["a"] * 2.0}


def head():
    """image -> a = the sum of its pixels, b = their maximum."""
    image = keras.Input((2, 2, 1), batch_size=1, name="image")
    a = keras.layers.Conv2D(1, 2, kernel_initializer="ones")(image)
    return convert(keras.Model(image, {"a": a, "b": keras.layers.MaxPooling2D(2)(image)}, name="head"))


def tail(shape=(1, 1, 1), name="a"):
    inputs = {key: keras.Input(shape, batch_size=1, name=key) for key in (name, "b")}
    layer = Twice()
    return convert(keras.Model(inputs, layer({"a": inputs[name], "b": inputs["b"]}), name="tail"))


def run(content, **inputs):
    return interpreter_class()(model_content=content).get_signature_runner()(**inputs)


def test_joined_graphs_compute_one_after_the_other():
    content = flatbuffer.join(head(), tail())
    image = np.array([1.0, 2.0, 3.0, 5.0], "float32").reshape(1, 2, 2, 1)
    result = run(content, image=image)
    assert set(result) == {"twice"}
    assert result["twice"].item() == 22.0


def test_outputs_of_the_first_part_can_be_kept():
    content = flatbuffer.join(head(), tail(), keep=("b",))
    result = run(content, image=np.array([1.0, 2.0, 3.0, 5.0], "float32").reshape(1, 2, 2, 1))
    assert {name: value.item() for name, value in result.items()} == {"twice": 22.0, "b": 5.0}


def test_inputs_that_nothing_reads_are_known():
    assert flatbuffer.inputs_read(flatbuffer.unpack(tail())) == ["a"]


def test_parts_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"no output is named c; there are \['a', 'b'\]"):
        flatbuffer.join(head(), tail(name="c"))
    with pytest.raises(ValueError, match=r"a is .* on one side and .* on the other"):
        flatbuffer.join(head(), tail(shape=(2, 1, 1)))


def test_metadata_round_trip_leaves_the_model_as_it_was():
    content = head()
    described = flatbuffer.add_metadata(content, "note", "größe\n1")
    assert flatbuffer.read_metadata(described, "note") == "größe\n1"
    assert flatbuffer.read_metadata(content, "note") is None
    assert flatbuffer.operators(described) == flatbuffer.operators(content)
    image = np.ones((1, 2, 2, 1), "float32")
    assert run(described, image=image)["a"].item() == 4.0


def test_other_files_are_refused():
    for function in (flatbuffer.unpack, lambda content: flatbuffer.read_metadata(content, "note")):
        with pytest.raises(ValueError, match="not a TFLite file"):
            function(b"\x89PNG\r\n\x1a\n")
