import keras
import numpy as np
import pytest
from keras import ops

from kfacealign.layers.transformer import LearnedPosition2D, TransformerDecoder, TransformerEncoder

SMALL = {"dim": 16, "heads": 4, "feed_forward": 24}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def parameters(layer):
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)


def weights_by_path(layer):
    return {weight.path.split("/", 1)[1]: ops.convert_to_numpy(weight) for weight in layer.weights}


# === The layers in NumPy, for one sample ===


def normalized(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attend(w, query, key, value):
    q, k, v = (
        np.einsum("td,dhe->hte", x, w[f"{n}/kernel"]) + w[f"{n}/bias"][:, None]
        for n, x in (("query", query), ("key", key), ("value", value))
    )
    logits = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    mixed = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = mixed / mixed.sum(-1, keepdims=True) @ v
    return np.einsum("hte,hed->td", mixed, w["attention_output/kernel"]) + w["attention_output/bias"]


def below(w, prefix):
    return {path.removeprefix(prefix): value for path, value in w.items() if path.startswith(prefix)}


def network(w, x):
    hidden = np.maximum(x @ w["hidden/kernel"] + w["hidden/bias"], 0)
    return normalized(x + hidden @ w["out/kernel"] + w["out/bias"])


# === Positions ===


def test_position_is_that_of_the_row_beside_that_of_the_column():
    layer = LearnedPosition2D(2, 3, dim=4)
    positions = np.asarray(layer(np.zeros((5, 6, 4), "float32")))
    assert positions.shape == (1, 6, 4) and parameters(layer) == (2 + 3) * 2
    rows, columns = (ops.convert_to_numpy(weight) for weight in (layer.rows, layer.columns))
    expected = [np.concatenate([rows[y], columns[x]]) for y in range(2) for x in range(3)]
    np.testing.assert_array_equal(positions[0], expected)


def test_positions_begin_standard_normal():
    layer = LearnedPosition2D(60, 50, dim=64)
    layer.build((None, 3000, 64))
    assert np.std(ops.convert_to_numpy(layer.rows)) == pytest.approx(1.0, abs=0.05)
    assert np.mean(ops.convert_to_numpy(layer.columns)) == pytest.approx(0.0, abs=0.1)


def test_positions_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="dim must be even"):
        LearnedPosition2D(2, 2, dim=5)
    with pytest.raises(ValueError, match="2 x 3 map of width 4"):
        LearnedPosition2D(2, 3, dim=4)(np.zeros((1, 5, 4), "float32"))


# === Encoder and decoder ===


def test_encoder_layer_is_post_norm_with_positions_on_queries_and_keys():
    tokens, positions = normal(1, 6, 16), normal(1, 6, 16, seed=1)
    encoder = TransformerEncoder(layers=1, **SMALL)
    encoded = np.asarray(encoder(tokens, positions))[0]
    w = weights_by_path(encoder)
    x, p = tokens[0], positions[0]
    x = normalized(x + attend(below(w, "attention_1/attention/"), x + p, x + p, x))
    np.testing.assert_allclose(encoded, network(below(w, "network_1/"), x), atol=2e-5)


def test_every_encoder_layer_adds_the_positions_anew():
    tokens, positions = normal(1, 6, 16), normal(1, 6, 16, seed=1)
    encoder = TransformerEncoder(layers=2, **SMALL)
    encoded = np.asarray(encoder(tokens, positions))[0]
    w, x, p = weights_by_path(encoder), tokens[0], positions[0]
    for i in (1, 2):
        x = normalized(x + attend(below(w, f"attention_{i}/attention/"), x + p, x + p, x))
        x = network(below(w, f"network_{i}/"), x)
    np.testing.assert_allclose(encoded, x, atol=5e-5)


def test_decoder_reads_the_memory_with_learned_queries():
    """Positions on the keys of the cross-attention; queries of deviation 1 so that there is something to compare."""
    memory, positions = normal(1, 6, 16), normal(1, 6, 16, seed=1)
    decoder = TransformerDecoder(5, layers=2, query_stddev=1.0, **SMALL)
    decoded = np.asarray(decoder(memory, positions))[0]
    w, m, p = weights_by_path(decoder), memory[0], positions[0]
    x = w["queries"]
    for i in (1, 2):
        x = normalized(x + attend(below(w, f"attention_{i}/attention/"), x, x, x))
        x = normalized(x + attend(below(w, f"cross_attention_{i}/attention/"), x, m + p, m))
        x = network(below(w, f"network_{i}/"), x)
    np.testing.assert_allclose(decoded, x, atol=5e-5)


def test_without_positions_a_permutation_of_tokens_permutes_the_encoding():
    tokens, order = normal(2, 6, 16), [3, 1, 5, 0, 2, 4]
    encoder, decoder = TransformerEncoder(layers=1, **SMALL), TransformerDecoder(5, layers=1, **SMALL)
    encoded = np.asarray(encoder(tokens))
    np.testing.assert_allclose(np.asarray(encoder(tokens[:, order])), encoded[:, order], atol=1e-5)
    np.testing.assert_allclose(np.asarray(decoder(encoded[:, order])), np.asarray(decoder(encoded)), atol=1e-5)
    positions = LearnedPosition2D(2, 3, dim=16)(tokens)
    moved = np.asarray(encoder(tokens[:, order], positions)) - np.asarray(encoder(tokens, positions))[:, order]
    assert np.abs(moved).max() > 1e-2


def test_dropout_is_for_training_only():
    tokens = normal(2, 6, 16)
    encoder = TransformerEncoder(layers=1, dropout=0.5, **SMALL)
    np.testing.assert_array_equal(np.asarray(encoder(tokens)), np.asarray(encoder(tokens, training=False)))
    assert np.abs(np.asarray(encoder(tokens, training=True)) - np.asarray(encoder(tokens))).max() > 0.1


def test_first_values_are_the_papers():
    encoder, decoder = TransformerEncoder(layers=1), TransformerDecoder(106, layers=1)
    encoder.build((None, 36, 64))
    decoder.build((None, 36, 64))
    assert np.std(ops.convert_to_numpy(decoder.embeddings)) == pytest.approx(1e-4, rel=0.05)
    w = weights_by_path(encoder)
    for name in ("query", "key", "value", "attention_output"):
        assert np.std(w[f"attention_1/attention/{name}/kernel"]) == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    assert np.std(w["network_1/out/kernel"]) == pytest.approx(np.sqrt(2 / 128), rel=0.05)


def kept(gain):
    """How much of the queries a decoder hands on, given noise: the correlation of its answers with them."""
    keras.utils.set_random_seed(0)
    decoder = TransformerDecoder(50, query_stddev=1.0, gain=gain)
    decoded = ops.convert_to_numpy(decoder(normal(4, 36, 64)))
    queries = ops.convert_to_numpy(decoder.embeddings)
    return np.corrcoef(decoded.ravel(), np.broadcast_to(queries, decoded.shape).ravel())[0, 1]


def test_a_gain_below_one_leaves_the_queries_recognisable():
    """Sublayers that add nothing hand on normalised queries; with the paper's values a hundredth of the variance is theirs."""
    assert kept(1e-6) > 0.98
    assert kept(0.1) > 0.9
    assert kept(1.0) < 0.2


def test_the_gain_is_a_factor_on_the_last_kernels_alone():
    encoder = TransformerEncoder(layers=1, gain=0.1)
    encoder.build((None, 36, 64))
    w = weights_by_path(encoder)
    for name in ("query", "key", "value"):
        assert np.std(w[f"attention_1/attention/{name}/kernel"]) == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    assert np.std(w["attention_1/attention/attention_output/kernel"]) == pytest.approx(0.1 * np.sqrt(2 / 64), rel=0.05)
    assert np.std(w["network_1/hidden/kernel"]) == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    assert np.std(w["network_1/out/kernel"]) == pytest.approx(0.1 * np.sqrt(2 / 128), rel=0.05)
    assert TransformerEncoder.from_config(encoder.get_config()).gain == 0.1


def test_sizes_of_lotr():
    """4 (64^2 + 64) for attention, 2 * 64 for a normalisation, 64 * 128 * 2 + 128 + 64 for the network."""
    attention, norm, net = 4 * (64 * 64 + 64), 2 * 64, 2 * 64 * 128 + 128 + 64
    encoder, decoder = TransformerEncoder(layers=2), TransformerDecoder(106, layers=2)
    encoder.build((None, 36, 64))
    decoder.build((None, 36, 64))
    assert parameters(encoder) == 2 * (attention + net + 2 * norm)
    assert parameters(decoder) == 2 * (2 * attention + net + 3 * norm) + 106 * 64


@pytest.mark.parametrize("layers", [1, 6])
def test_layers_from_one_to_six(layers):
    decoded = TransformerDecoder(5, layers=layers, **SMALL)(TransformerEncoder(layers=layers, **SMALL)(normal(2, 4, 16)))
    assert decoded.shape == (2, 5, 16) and np.isfinite(np.asarray(decoded)).all()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: TransformerEncoder(layers=0), "layers must be at least 1"),
        (lambda: TransformerDecoder(5, layers=0), "layers must be at least 1"),
        (lambda: TransformerEncoder(dim=64, heads=7), "heads must divide dim"),
        (lambda: TransformerDecoder(0), "queries must be at least 1"),
    ],
)
def test_refuses_sizes_without_meaning(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def small_model():
    """Tokens of a 2 x 2 map -> five landmarks' tokens."""
    tokens = keras.Input((4, 16), name="tokens")
    positions = LearnedPosition2D(2, 2, dim=16)(tokens)
    encoded = TransformerEncoder(layers=1, **SMALL)(tokens, positions)
    return keras.Model(tokens, TransformerDecoder(5, layers=1, query_stddev=0.5, name="decoder", **SMALL)(encoded, positions))


def test_nested_summary_prints():
    """An attribute `layers` that is a number would break it."""
    lines = []
    small_model().summary(expand_nested=True, print_fn=lines.append)
    assert "decoder" in "".join(lines)
