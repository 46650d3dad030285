"""The rows of the benchmarks behind docs/claims.md: what each option changes, and that nothing else does."""

import importlib.util
from pathlib import Path

import kfacealign as kfa

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCHEME = kfa.schemes.get("ibug68")


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pipnet_at_every_stride_has_its_cells_and_no_neighbours(monkeypatch):
    heads = script("pipnet_heads", monkeypatch)
    arguments = heads.parse(["--data-dir", "x", "--width", "0.25", "--strides", "16", "32", "64", "128"])
    found = {name: build() for name, (build, warmup) in heads.strides(SCHEME, arguments).items() if not warmup}
    assert {name: model.codec.size for name, model in found.items()} == {
        "stride 16": 8,
        "stride 32": 4,
        "stride 64": 2,
        "stride 128": 1,
    }
    assert [model.codec.offset_weight for model in found.values()] == [0.02, 0.1, 0.125, 0.25]  # Sec. 4.1.2
    assert all(model.codec.neighbors == 0 for model in found.values())


def test_lotr_has_the_layers_and_first_values_that_are_asked_for(monkeypatch):
    frozen = script("lotr_frozen", monkeypatch)
    arguments = frozen.parse(["--data-dir", "x", "--layers", "1", "3", "--input-size", "64", "--first-values", "paper"])
    assert frozen.rows(arguments) == {"LOTR, 1 layer": frozen.Row(1), "LOTR, 3 layers": frozen.Row(3)}
    model = frozen.build(frozen.Row(3), SCHEME, arguments)
    assert (model.num_layers, model.gain, model.query_stddev, model.dropout) == (3, 1.0, 1e-4, 0.0)
    plain = frozen.parse(["--data-dir", "x", "--input-size", "64"])
    assert frozen.rows(plain) == {"CNN + FFN": frozen.Row(None), "LOTR": frozen.Row(2)}
    assert isinstance(frozen.build(frozen.Row(None), SCHEME, plain), kfa.models.CNNFFN)


def test_lotr_is_trained_under_the_losses_that_are_asked_for(monkeypatch):
    frozen = script("lotr_frozen", monkeypatch)
    arguments = frozen.parse(["--data-dir", "x", "--losses", "l2", "wing", "--input-size", "64"])
    models = {name: frozen.build(row, SCHEME, arguments) for name, row in frozen.rows(arguments).items()}
    found = {name: (type(model.codec.point_loss), model.num_layers) for name, model in models.items()}
    assert found == {"LOTR, l2": (kfa.losses.L2, 2), "LOTR, wing": (kfa.losses.Wing, 2)}


def test_heatmap_networks_differ_in_their_training_as_the_tables_ask(monkeypatch):
    readers = script("heatmap_readers", monkeypatch)
    monkeypatch.setattr(
        "sys.argv", ["heatmap_readers", "--data-dir", "x", "--epochs", "6", "--warmup-epochs", "2", "--drops", "4"]
    )
    arguments = readers.parse()
    rows = readers.networks(SCHEME, arguments)
    found = {name: readers.settings_of(arguments, name, row, 3) for name, row in rows.items()}
    plain, twice, through = (found[name] for name in ("continuous", "continuous, twice the steps", "global soft-argmax"))
    assert (plain.epochs, plain.warmup_epochs, plain.drops) == (6, 2, [4])
    assert (twice.epochs, twice.warmup_epochs, twice.drops) == (12, 4, [8])
    assert (through.epochs, through.warmup_epochs, through.drops) == (6, 6, [4])  # the warm-up's loss is that baseline's
    assert [name for name, row in rows.items() if row.siamese] == ["continuous, siamese"]
    assert len({settings.out for settings in found.values()}) == len(rows)


def test_decimal_heads_of_every_size_and_sigma(monkeypatch):
    decimals = script("hih_decimals", monkeypatch)
    words = ["--width", "16", "--input-size", "64", "--decimal-sizes", "2", "8", "--decimal-sigmas", "0.5", "1"]
    found = {told: changed for changed, told in decimals.variants(decimals.parse(words))}
    assert list(found) == [f", size {size}, sigma {sigma}" for size in (2, 8) for sigma in (0.5, 1)]
    model = decimals.build(SCHEME, found[", size 8, sigma 0.5"], "attended, soft, csc")
    assert (model.codec.decimal_size, model.codec.decimal_sigma) == (8, 0.5)
    assert model.network.output["decimal"].shape == (None, 8, 8, 68)
    ((plain, told),) = decimals.variants(decimals.parse([]))
    assert (plain.sizes, told) == ({}, "")


def test_the_ratio_of_latencies_is_to_the_first_model(monkeypatch):
    latency = script("lotr_latency", monkeypatch)
    monkeypatch.setattr(latency.kfa.deploy, "export", lambda model, path: path.write_bytes(b"0") and path)
    monkeypatch.setattr(latency, "milliseconds", lambda paths, image, runs: {1: {"a": 4.0, "b": 10.0}, 2: {"a": 2.0, "b": 6.0}})
    models = {name: type("Model", (), {"input_size": 64}) for name in "ab"}
    columns = [list(column.cells) for column in latency.heatmap_table(models, 1).columns]
    assert columns[0] == ["a", "b"] and columns[3] == ["1.00", "2.50"] and columns[5] == ["1.00", "3.00"]
