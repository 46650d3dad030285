"""Which objects the description in a `.keras` file may name.

Keras makes whatever a description names, and calls functions by their names, so a file of a stranger is a program as far as
Keras lets it be one. Here it may name the classes of this package, those that the running program registered with Keras itself,
and classes of Keras that only compute. Nothing else is made: no `Lambda`, no layer that loads files, no other function.
"""

import json
from collections.abc import Iterator
from typing import Any

import keras

MOST_PARTS = 1_000_000  # brackets and commas in the text
MOST_OBJECTS = 50_000
DEEPEST = 200
LARGEST = 2**24  # of a whole number, such as a number of filters
OURS_LARGEST = 8192  # in the description of an object of this package
UNBOUNDED = ("seed", "shared_object_id")  # numbers that size nothing
PACKAGE = __name__.partition(".")[0]
# Packages that register classes of their own with Keras; the files of this package name none of them.
LIBRARIES = {"keras", "keras_hub", "keras_nlp", "keras_cv", "tf_keras", "tensorflow", "tensorflow_model_optimization"}
# Arguments of a constructor that would read a file or fetch one.
MUST_BE_NULL = ("weights", "backbone_weights")
NUMBERS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64"
DTYPES = frozenset(NUMBERS.split())
# Entries that are values: arrays, constants, references to a tensor of the same description.
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")

# Module -> its classes, as Keras writes both.
CLASSES = {
    "keras": "DTypePolicy FloatDTypePolicy Sequential Model Functional",
    "keras.dtype_policies": "DTypePolicy FloatDTypePolicy DTypePolicyMap",
    "keras.random": "SeedGenerator",
    "keras.models": "Sequential Functional Model",
    "keras.src.models.functional": "Functional",
    "keras.src.models.sequential": "Sequential",
    "keras.layers": """
        Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D
        AdaptiveMaxPooling2D Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
        AveragePooling3D BatchNormalization Bidirectional CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
        Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot
        Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
        GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
        GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
        MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
        RMSNormalization RNN ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN
        SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
        TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """,
    "keras.initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
        Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    """,
    "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "keras.optimizers": "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam RMSprop SGD",
    "keras.optimizers.schedules": """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
    """,
    "keras.losses": """
        BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CosineSimilarity Huber
        KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError
        SparseCategoricalCrossentropy
    """,
    "keras.metrics": "BinaryAccuracy CategoricalAccuracy Mean MeanAbsoluteError MeanSquaredError RootMeanSquaredError Sum",
    "keras.src.ops.numpy": """
        Abs Absolute Add Amax Amin Arctan Arctan2 Argmax Argmin Average BroadcastTo Ceil Clip Concatenate Cos Cosh Cumsum Divide
        DivideNoNan Dot Einsum Equal Exp ExpandDims Expm1 Flip Floor FloorDivide GetItem Greater GreaterEqual Hypot Less
        LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr Matmul Max Maximum Mean Min Minimum Mod
        Moveaxis Multiply Negative NotEqual OnesLike Outer Pad Power Prod Ravel Reciprocal Repeat Reshape Roll Round Sign Sin
        Sinh Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Transpose
        TrueDivide Var Where ZerosLike
    """,
    "keras.src.ops.nn": """
        AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm Celu Conv ConvTranspose DepthToSpace DepthwiseConv
        DotProductAttention Elu Gelu Glu HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments
        Normalize OneHot RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu Softmax Softplus Softsign SpaceToDepth Squareplus
    """,
    "keras.src.ops.core": "Cast ConvertToTensor Slice StopGradient Unstack",
    "keras.src.ops.math": "Erf Logsumexp Rsqrt TopK",
    "keras.src.ops.image": "AffineTransform CropImages MapCoordinates PadImages Resize",
    "keras.src.ops.linalg": "Norm",
}
CLASSES = {module: frozenset(names.split()) for module, names in CLASSES.items()}
ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu swish soft_shrink softmax softplus softsign squareplus tanh tanh_shrink
    threshold
"""
FUNCTIONS = frozenset(ACTIVATIONS.split())


def check_config(content: bytes) -> None:
    """Refuses a description that names what a model file may not name, or sizes beyond reason.

    Args:
        content: the bytes of `config.json`.

    Raises:
        ValueError: the description is refused or is no JSON; the message says what is wrong, without the file.
    """
    if sum(map(content.count, (b"[", b"{", b","))) > MOST_PARTS:
        raise ValueError("its description has too many parts")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its description is no JSON ({type(error).__name__})") from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError("its description is not that of a model")
    registered = keras.saving.get_custom_objects()
    objects = 0
    for key, value, ours in walk(config, registered):
        if isinstance(value, dict) and "class_name" in value:
            objects += 1
            if objects > MOST_OBJECTS:
                raise ValueError(f"its description has more than {MOST_OBJECTS} objects")
            check_object(value, registered)
        elif key in MUST_BE_NULL and value is not None and value != []:
            raise ValueError(f"its description names weights to be read from elsewhere ({key})")
        elif isinstance(value, int | float) and key not in UNBOUNDED:
            check_number(key, value, OURS_LARGEST if ours else LARGEST)


def walk(config: dict, registered: dict[str, Any]) -> Iterator[tuple[str | None, Any, bool]]:
    """Every value of a description.

    Args:
        config: the description.
        registered: the classes that Keras knows.

    Yields:
        The key under which the value is found or, in a list, that of the list; the value; whether the innermost object
        around it is of this package.

    Raises:
        ValueError: lists and dicts lie too deep in one another.
    """
    waiting = [(None, config, False, 0)]
    while waiting:
        key, value, ours, depth = waiting.pop()
        yield key, value, ours
        if depth > DEEPEST:
            raise ValueError(f"its description is more than {DEEPEST} levels deep")
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                ours = origin(registered.get(registered_name(value))) == PACKAGE
            waiting.extend((name, inner, ours, depth + 1) for name, inner in value.items())
        elif isinstance(value, list):
            waiting.extend((key, inner, ours, depth + 1) for inner in value)


def registered_name(entry: dict) -> str | None:
    """The name by which Keras looks for the class of an entry among those that are registered."""
    name = entry.get("registered_name", entry["class_name"])
    return name if isinstance(name, str) else None


def origin(registered: Any) -> str | None:
    """The package of the module that defines a registered class or function."""
    return None if registered is None else str(getattr(registered, "__module__", "")).partition(".")[0]


def check_object(entry: dict, registered: dict[str, Any]) -> None:
    """Refuses an entry whose class or function a file may not name.

    Raises:
        ValueError: it is refused.
    """
    kind, module, inner = entry["class_name"], entry.get("module"), entry.get("config")
    if not isinstance(kind, str) or not isinstance(module, str | None):
        raise ValueError("its description has a class that is no name")
    if kind in VALUES:
        if isinstance(inner, dict) and "dtype" in inner and not (isinstance(inner["dtype"], str) and inner["dtype"] in DTYPES):
            raise ValueError(f"its description has values of type {str(inner['dtype'])[:50]!r}")
        return
    function = kind == "function"
    name = inner if function else registered_name(entry)
    if function and not isinstance(inner, str):
        raise ValueError("its description has a function that is no name")
    if name in registered:
        allowed = origin(registered[name]) not in LIBRARIES
    elif function:
        allowed = module in ("builtins", "keras.activations") and inner in FUNCTIONS
    else:
        allowed = kind in CLASSES.get(module, ()) and name in (None, kind)
    if not allowed:
        named = ".".join(str(part)[:80] for part in (module, inner if function else kind) if part)
        raise ValueError(
            f"it names {named!r}, which is none of the layers and functions that a model file may hold, and no class that this "
            "program registered with Keras (a method of your own is imported first, see --from)"
        )


def check_number(key: str | None, value: float, largest: int) -> None:
    """Refuses a whole number that could size an array beyond reason.

    Raises:
        ValueError: it is refused.
    """
    if isinstance(value, int) and abs(value) > largest:
        raise ValueError(f"its description says {key} = {str(value)[:30]}, {largest} is the most")
