"""LiteRT's interpreter, which runs TFLite files without Keras and TensorFlow."""


def interpreter_class() -> type:
    """LiteRT's interpreter; where LiteRT is not installed, TensorFlow's, which is the same runtime.

    Raises:
        ImportError: neither of them is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter
