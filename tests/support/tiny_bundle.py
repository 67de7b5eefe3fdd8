"""A bundle small enough to make in every test run: real graphs for the real runtime, colours for features.

The encoders describe a crop by the mean colours of 5 stripes over the middle half of its width, where the
person stands. They share one weight file, as a shipped bundle's do, and differ in a small bias, so that a
test can tell which of them ran. The super-resolvers are bilinear.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.bundle.manifest import (
    MANIFEST_NAME,
    CalibrationBucket,
    Encoders,
    Manifest,
    Preprocessing,
    SuperResolver,
    Threshold,
    TrainingRecord,
    bundle_id,
    sha256_of,
)

HEIGHT, WIDTH, DIMENSION = 64, 32, 16
BUCKETS = {2: (32, 16), 3: (21, 10), 4: (16, 8)}  # scale: (height, width)
WEIGHTS = "weights/shared.bin"
_STRIPES = 5
_OPSET = 18


def make_tiny_bundle(path: Path, dimension: int = DIMENSION, turn: int = 0) -> Path:
    """Writes the bundle into the folder `path`, the same bytes each time, and returns the folder.

    With another `turn` the same crops get the same scores from other vectors.
    """
    (path / "weights").mkdir(parents=True, exist_ok=True)
    projection = np.roll(_projection(dimension), turn, axis=1)
    (path / WEIGHTS).write_bytes(projection.tobytes())
    _save(_encoder(dimension, bias=0.0), path / "hr.onnx")
    _save(_encoder(dimension, bias=0.02), path / "sr.onnx")
    for scale, (height, width) in BUCKETS.items():
        _save(_super_resolver(scale, height, width), path / f"rcan_x{scale}.onnx")
    manifest = _manifest(path, dimension)
    (path / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    return path


def _projection(dimension: int) -> NDArray[np.float32]:
    """(3 * stripes, dimension) with orthonormal rows, from the DCT."""
    rows = 3 * _STRIPES
    k, n = np.arange(1, rows + 1)[:, None], np.arange(dimension)[None, :]
    dct = np.sqrt(2 / dimension) * np.cos(np.pi * k * (2 * n + 1) / (2 * dimension))
    return np.asarray(dct, np.float32)


def _encoder(dimension: int, bias: float) -> onnx.ModelProto:
    spec = Preprocessing(height=HEIGHT, width=WIDTH)
    constants = [
        _constant("scale", np.float32(255)),
        _constant("mean", np.array(spec.mean, np.float32)),
        _constant("std", np.array(spec.std, np.float32)),
        _constant("starts", np.array([WIDTH // 4], np.int64)),
        _constant("ends", np.array([WIDTH - WIDTH // 4], np.int64)),
        _constant("axes", np.array([3], np.int64)),
        _constant("bias", np.full(dimension, bias, np.float32)),
        _external_weights(dimension),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["cast", "scale"], ["unit"]),
        helper.make_node("Sub", ["unit", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
        helper.make_node("Transpose", ["normalised"], ["chw"], perm=[0, 3, 1, 2]),
        helper.make_node("Slice", ["chw", "starts", "ends", "axes"], ["middle"]),
        helper.make_node(  # 5 stripes, 12 pixels high each
            "AveragePool", ["middle"], ["stripes"], kernel_shape=[12, WIDTH // 2], strides=[13, WIDTH // 2]
        ),
        helper.make_node("Flatten", ["stripes"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "projection"], ["projected"]),
        helper.make_node("Add", ["projected", "bias"], ["embedding"]),
        helper.make_node("LpNormalization", ["embedding"], ["embeddings"], axis=1, p=2),
    ]
    return _model(
        nodes,
        constants,
        ("images", ["N", HEIGHT, WIDTH, 3]),
        ("embeddings", TensorProto.FLOAT, ["N", dimension]),
    )


def _super_resolver(scale: int, height: int, width: int) -> onnx.ModelProto:
    constants = [
        _constant("roi", np.array([], np.float32)),
        _constant("scales", np.array([1, 1, scale, scale], np.float32)),
        _constant("low", np.float32(0)),
        _constant("high", np.float32(255)),
    ]
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["chw"], perm=[0, 3, 1, 2]),
        helper.make_node("Resize", ["chw", "roi", "scales"], ["large"], mode="linear"),
        helper.make_node("Clip", ["large", "low", "high"], ["clipped"]),
        helper.make_node("Round", ["clipped"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["hwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["hwc"], ["upscaled"], to=TensorProto.UINT8),
    ]
    return _model(
        nodes,
        constants,
        ("images", ["N", height, width, 3]),
        ("upscaled", TensorProto.UINT8, ["N", height * scale, width * scale, 3]),
    )


def _model(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    source: tuple[str, list[str | int]],
    result: tuple[str, int, list[str | int]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(source[0], TensorProto.UINT8, source[1])],
        [helper.make_tensor_value_info(*result)],
        initializer=constants,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9, producer_name="tiny_bundle"
    )


def _constant(name: str, value: NDArray[np.generic] | np.generic) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _external_weights(dimension: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name="projection",
        data_type=TensorProto.FLOAT,
        dims=[3 * _STRIPES, dimension],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in {
        "location": WEIGHTS,
        "offset": "0",
        "length": str(3 * _STRIPES * dimension * 4),
    }.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def _save(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString(deterministic=True))


def _manifest(path: Path, dimension: int) -> Manifest:
    names = ["hr.onnx", "sr.onnx", WEIGHTS, *(f"rcan_x{scale}.onnx" for scale in BUCKETS)]
    files = {name: sha256_of(path / name) for name in names}
    return Manifest(
        bundle_id=bundle_id(files),
        name="tiny",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        dimension=dimension,
        preprocessing=Preprocessing(height=HEIGHT, width=WIDTH),
        encoders=Encoders(hr="hr.onnx", sr="sr.onnx"),
        super_resolution=tuple(
            SuperResolver(scale=scale, height=height, width=width, file=f"rcan_x{scale}.onnx")
            for scale, (height, width) in BUCKETS.items()
        ),
        hr_reference_height=HEIGHT,
        precision="float32",
        training=TrainingRecord(
            data="none", terms="unrestricted", recipe="stripe colours", started_from="nothing", device="none"
        ),
        calibration=(_calibration(0, 24), _calibration(24, None)),
        files=files,
    )


def _calibration(min_height: int, max_height: int | None) -> CalibrationBucket:
    return CalibrationBucket(
        min_height=min_height,
        max_height=max_height,
        slope=20.0,
        intercept=-17.0,
        genuine_pairs=1000,
        impostor_pairs=100_000,
        thresholds=tuple(
            Threshold(far=far, score=score, low=score - 0.01, high=score + 0.01, true_accept_rate=0.9)
            for far, score in ((1e-2, 0.90), (1e-3, 0.95), (1e-4, 0.98))
        ),
    )
