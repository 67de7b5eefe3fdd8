"""Weights beside the graphs: shared, cut to size, rounded only where it does no harm."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.export.storage import StoredPrecision, WeightStore, with_external_weights


def linear(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> onnx.ModelProto:
    rows, columns = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )[0]
    return result


@pytest.fixture
def weight() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(96, 64)).astype(np.float32)


@pytest.mark.parametrize("limit", [2**20, 5000, 256], ids=["one file", "parts", "a part a row"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 0.05)])
def test_the_stored_graph_computes_the_same(
    tmp_path: Path, weight: NDArray[np.float32], limit: int, precision: StoredPrecision, tolerance: float
) -> None:
    bias = np.arange(64, dtype=np.float32)
    store = WeightStore(tmp_path, file_limit=limit)
    model = with_external_weights(linear(weight, bias), store, precision)
    onnx.save(model, tmp_path / "linear.onnx")
    onnx.checker.check_model(tmp_path / "linear.onnx")
    x = np.random.default_rng(1).normal(size=(5, 96)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "linear.onnx", x), x @ weight + bias, atol=tolerance)
    files = list((tmp_path / "weights").iterdir())
    assert all(f.stat().st_size <= limit for f in files)
    assert sum(f.stat().st_size for f in files) <= weight.size * (4 if precision == "float32" else 2) * 1.02


def test_equal_weights_of_two_graphs_are_stored_once(tmp_path: Path, weight: NDArray[np.float32]) -> None:
    store = WeightStore(tmp_path)
    for bias in (np.zeros(64, np.float32), np.ones(64, np.float32)):
        with_external_weights(linear(weight, bias), store, "float32")
    with_external_weights(linear(weight + 1, bias), store, "float32")
    assert (tmp_path / "weights/0.bin").stat().st_size == 2 * weight.nbytes


def test_weights_that_float16_cannot_hold_stay_float32(tmp_path: Path, weight: NDArray[np.float32]) -> None:
    weight[0, 0] = 1e5
    model = with_external_weights(linear(weight, np.zeros(64, np.float32)), WeightStore(tmp_path), "float16")
    assert {t.name: t.data_type for t in model.graph.initializer}["w"] == TensorProto.FLOAT
    assert (tmp_path / "weights/0.bin").stat().st_size == weight.nbytes


def test_the_original_model_is_left_as_it_was(tmp_path: Path, weight: NDArray[np.float32]) -> None:
    model = linear(weight, np.zeros(64, np.float32))
    before = model.SerializeToString()
    with_external_weights(model, WeightStore(tmp_path), "float16")
    assert model.SerializeToString() == before


def test_a_row_that_no_file_can_hold_is_refused(tmp_path: Path, weight: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="256 bytes do not fit into a file of 100"):
        with_external_weights(linear(weight, weight[0]), WeightStore(tmp_path, file_limit=100), "float32")
