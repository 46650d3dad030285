"""The transformer of LOTR (Sec. 3.1): encoder, decoder with learned landmark queries, learned 2D positions.

Dropout, the residual addition and layer normalisation follow every sublayer, in this order (post-norm). The paper names one
dropout of 0.1 that follows the transformer (Sec. 4.3) and none inside it. Positions are added to the tokens of the feature map
where they are queries or keys of attention, never to the values. Attention is `keras.layers.MultiHeadAttention`, without its
own dropout: that would rule out the fused kernels of some backends.

With He's initialisation a sublayer at first adds to its tokens something as large as the tokens or larger, and the
normalisation that follows divides both. Over the six sublayers of a decoder of two layers little is left of the queries, and
nothing else tells one landmark from another: a training begins with one answer for all landmarks, and first has to undo that.
With a `gain` of 0.1 the branches begin small, the queries arrive at the prediction head, and the training begins at once.
"""

import math
from typing import Any

import keras
from keras import ops

# Of layer normalisation. Landmark queries start with a deviation of 1e-4; Keras' default epsilon, 1e-3, would leave ten times
# less of them after the first normalisation.
NORM_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="kfacealign")
class LearnedPosition2D(keras.layers.Layer):
    """A learned embedding of each cell of a map: the embedding of its row beside the embedding of its column.

    Both have half the width and begin as N(0, 1) (Sec. 4.3).

    Args:
        height: of the map, in cells.
        width: of the map, in cells.
        dim: width of the tokens, even.

    Input: tokens `(B, height * width, dim)`, whose values do not matter. Output: `(1, height * width, dim)`, row by row, to
    be added to the tokens.

    Raises:
        ValueError: `dim` is odd, or the input has another shape.

    Example:
        >>> tokens = keras.layers.Reshape((36, 64))(features)   # (B, 6, 6, 64)
        >>> positions = LearnedPosition2D(6, 6, dim=64)(tokens)
        >>> encoded = TransformerEncoder(layers=2, dim=64)(tokens, positions)
    """

    def __init__(self, height: int, width: int, *, dim: int, **kwargs: Any):
        if dim % 2:
            raise ValueError(f"dim must be even, half for the row and half for the column; got {dim}")
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.dim = dim

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if tuple(input_shape[1:]) != (self.height * self.width, self.dim):
            raise ValueError(
                f"a {self.height} x {self.width} map of width {self.dim} has tokens (B, {self.height * self.width}, {self.dim}), "
                f"got {tuple(input_shape)}"
            )
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.rows = self.add_weight((self.height, self.dim // 2), initializer=normal, name="rows")
        self.columns = self.add_weight((self.width, self.dim // 2), initializer=normal, name="columns")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return 1, self.height * self.width, self.dim

    def call(self, inputs: Any) -> Any:
        half = (self.height, self.width, self.dim // 2)
        rows = ops.broadcast_to(ops.expand_dims(self.rows, 1), half)
        columns = ops.broadcast_to(ops.expand_dims(self.columns, 0), half)
        return ops.reshape(ops.concatenate([rows, columns], axis=-1), (1, self.height * self.width, self.dim))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width, "dim": self.dim}


@keras.saving.register_keras_serializable(package="kfacealign")
class TransformerEncoder(keras.layers.Layer):
    """A stack of layers, each of self-attention and a feed-forward network.

    Args:
        layers: number of layers (2 in LOTR).
        dim: width of the tokens, a multiple of `heads`.
        heads: attention heads; the paper does not say how many.
        feed_forward: width of the hidden layer of the feed-forward networks.
        dropout: rate after each sublayer.
        gain: factor on He's standard deviation in the last kernel of each sublayer; 1 is the paper's, and below 1 the queries
            are not lost in the first steps.

    Inputs: `tokens` `(B, M, dim)`, and optionally `positions` `(1, M, dim)` or `(B, M, dim)`. Output: `(B, M, dim)`.

    Raises:
        ValueError: `layers` is below 1, `gain` not positive, or `heads` does not divide `dim`.
    """

    def __init__(
        self,
        *,
        layers: int = 2,
        dim: int = 64,
        heads: int = 8,
        feed_forward: int = 128,
        dropout: float = 0.1,
        gain: float = 1.0,
        **kwargs: Any,
    ):
        check(layers=layers, dim=dim, heads=heads, gain=gain)
        super().__init__(**kwargs)
        self.num_layers = layers  # not `layers`, which Keras takes for sublayers
        self.dim = dim
        self.heads = heads
        self.feed_forward = feed_forward
        self.dropout = dropout
        self.gain = gain
        width = {"dim": dim, "dropout": dropout, "gain": gain, "dtype": self.dtype_policy}
        self.attentions = [Attention(heads=heads, name=f"attention_{i}", **width) for i in range(1, layers + 1)]
        self.networks = [FeedForward(hidden=feed_forward, name=f"network_{i}", **width) for i in range(1, layers + 1)]

    def build(self, tokens_shape: tuple[int | None, ...], positions_shape: tuple[int | None, ...] | None = None) -> None:
        for sublayer in self.attentions + self.networks:
            sublayer.build(tokens_shape)

    def compute_output_shape(
        self, tokens_shape: tuple[int | None, ...], positions_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return tokens_shape

    def call(self, tokens: Any, positions: Any = None, training: bool | None = None) -> Any:
        for attention, network in zip(self.attentions, self.networks, strict=True):
            placed = tokens if positions is None else tokens + positions
            tokens = attention(tokens, placed, placed, tokens, training=training)
            tokens = network(tokens, training=training)
        return tokens

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **stack_config(self)}


@keras.saving.register_keras_serializable(package="kfacealign")
class TransformerDecoder(keras.layers.Layer):
    """Learned landmark queries that attend to each other and to an encoded map, layer by layer.

    The queries, one a landmark, are the input of the first layer. They have no place in the image and so no position. A
    second embedding for their positions would also exceed the parameters of Table 3.

    Args:
        queries: number of landmarks N.
        layers: number of layers (2 in LOTR).
        dim: width of the tokens, a multiple of `heads`.
        heads: attention heads; the paper does not say how many.
        feed_forward: width of the hidden layer of the feed-forward networks.
        dropout: rate after each sublayer.
        query_stddev: standard deviation of the queries' first values, 1e-4 in Sec. 4.3. Queries that are so alike begin with
            one prediction for all landmarks. Under LAMB, whose steps are in proportion to the weights, they stay alike for
            thousands of steps. With 1.0, as for positions, they differ from the start.
        gain: see `TransformerEncoder`.

    Inputs: `memory` `(B, M, dim)`, the encoder's output, and optionally the `positions` of its tokens, `(1, M, dim)` or
    `(B, M, dim)`, which are added to the keys. Output: `(B, N, dim)`.

    Raises:
        ValueError: `layers` or `queries` is below 1, `gain` not positive, or `heads` does not divide `dim`.

    Example:
        >>> landmarks = keras.layers.Dense(2)(TransformerDecoder(queries=106)(encoded, positions))
    """

    def __init__(
        self,
        queries: int,
        *,
        layers: int = 2,
        dim: int = 64,
        heads: int = 8,
        feed_forward: int = 128,
        dropout: float = 0.1,
        query_stddev: float = 1e-4,
        gain: float = 1.0,
        **kwargs: Any,
    ):
        check(layers=layers, dim=dim, heads=heads, gain=gain)
        if queries < 1:
            raise ValueError(f"queries must be at least 1, got {queries}")
        super().__init__(**kwargs)
        self.queries = queries
        self.num_layers = layers  # not `layers`, which Keras takes for sublayers
        self.dim = dim
        self.heads = heads
        self.feed_forward = feed_forward
        self.dropout = dropout
        self.query_stddev = query_stddev
        self.gain = gain
        width = {"dim": dim, "dropout": dropout, "gain": gain, "dtype": self.dtype_policy}
        numbers = range(1, layers + 1)
        self.attentions = [Attention(heads=heads, name=f"attention_{i}", **width) for i in numbers]
        self.cross_attentions = [Attention(heads=heads, name=f"cross_attention_{i}", **width) for i in numbers]
        self.networks = [FeedForward(hidden=feed_forward, name=f"network_{i}", **width) for i in numbers]

    def build(self, memory_shape: tuple[int | None, ...], positions_shape: tuple[int | None, ...] | None = None) -> None:
        normal = keras.initializers.RandomNormal(stddev=self.query_stddev)
        self.embeddings = self.add_weight((self.queries, self.dim), initializer=normal, name="queries")
        for sublayer in self.attentions + self.cross_attentions + self.networks:
            sublayer.build((memory_shape[0], self.queries, self.dim))

    def compute_output_shape(
        self, memory_shape: tuple[int | None, ...], positions_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return memory_shape[0], self.queries, self.dim

    def call(self, memory: Any, positions: Any = None, training: bool | None = None) -> Any:
        keys = memory if positions is None else memory + positions
        batch = memory.shape[0] or ops.shape(memory)[0]
        tokens = ops.broadcast_to(ops.expand_dims(self.embeddings, 0), (batch, self.queries, self.dim))
        for attention, cross_attention, network in zip(self.attentions, self.cross_attentions, self.networks, strict=True):
            tokens = attention(tokens, tokens, tokens, tokens, training=training)
            tokens = cross_attention(tokens, tokens, keys, memory, training=training)
            tokens = network(tokens, training=training)
        return tokens

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "queries": self.queries, "query_stddev": self.query_stddev, **stack_config(self)}


class Attention(keras.layers.Layer):
    """The sublayer of multi-head attention: `norm(tokens + dropout(attention(query, key, value)))`."""

    def __init__(self, *, dim: int, heads: int, dropout: float, gain: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.gain = gain
        self.attention = keras.layers.MultiHeadAttention(
            heads,
            dim // heads,
            # He's initialisation of a matrix with `dim` inputs. HeNormal would take these kernels of three axes for convolutions.
            kernel_initializer=keras.initializers.RandomNormal(stddev=math.sqrt(2 / dim)),
            dtype=self.dtype_policy,
            name="attention",
        )
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.norm = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, dtype=self.dtype_policy, name="norm")

    def build(self, tokens_shape: tuple[int | None, ...]) -> None:
        self.attention.build(tokens_shape, tokens_shape)
        kernel = self.attention.output_dense.kernel  # Keras gives the same initialiser to all four kernels
        kernel.assign(self.gain * kernel)
        self.norm.build(tokens_shape)
        self.built = True

    def call(self, tokens: Any, query: Any, key: Any, value: Any, training: bool | None = None) -> Any:
        attended = self.attention(query, value, key=key, training=training)
        return self.norm(tokens + self.dropout(attended, training=training))


class FeedForward(keras.layers.Layer):
    """The position-wise network: `norm(tokens + dropout(dense(relu(dense(tokens)))))`."""

    def __init__(self, *, dim: int, hidden: int, dropout: float, gain: float, **kwargs: Any):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.hidden = keras.layers.Dense(hidden, activation="relu", kernel_initializer="he_normal", dtype=dtype, name="hidden")
        self.out = keras.layers.Dense(dim, kernel_initializer=he_normal(gain), dtype=dtype, name="out")
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.norm = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, dtype=self.dtype_policy, name="norm")

    def build(self, tokens_shape: tuple[int | None, ...]) -> None:
        self.hidden.build(tokens_shape)
        self.out.build((*tokens_shape[:-1], self.hidden.units))
        self.norm.build(tokens_shape)
        self.built = True

    def call(self, tokens: Any, training: bool | None = None) -> Any:
        transformed = self.out(self.hidden(tokens))
        return self.norm(tokens + self.dropout(transformed, training=training))


def he_normal(gain: float) -> keras.initializers.Initializer:
    """He's normal initialisation with its standard deviation multiplied by `gain`."""
    return keras.initializers.VarianceScaling(2.0 * gain**2, mode="fan_in", distribution="truncated_normal")


def check(*, layers: int, dim: int, heads: int, gain: float) -> None:
    """Raises ValueError unless encoder and decoder can have these sizes."""
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    if gain <= 0:
        raise ValueError(f"gain must be positive, got {gain}")
    if dim % heads:
        raise ValueError(f"heads must divide dim, got {heads} heads for a width of {dim}")


def stack_config(stack: TransformerEncoder | TransformerDecoder) -> dict[str, Any]:
    """The arguments that encoder and decoder share."""
    shared = {name: getattr(stack, name) for name in ("dim", "heads", "feed_forward", "dropout", "gain")}
    return {"layers": stack.num_layers, **shared}
