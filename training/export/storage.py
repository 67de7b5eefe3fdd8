"""Weights beside the graphs: each stored once, in files small enough for a repository, in 16 bits at wish."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

StoredPrecision = Literal["float32", "float16"]
FILE_LIMIT = 48 * 2**20  # bytes; below the 50 MiB that a repository takes
_ALIGNMENT = 64
_SMALLEST = 1024  # elements; what is smaller stays in the graph, in float32
_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Location:
    """Where some bytes lie: a path relative to the bundle, an offset and a length."""

    file: str
    offset: int
    length: int


class WeightStore:
    """Content-addressed: equal bytes get one location, whichever graph they come from."""

    def __init__(self, bundle: Path, *, file_limit: int = FILE_LIMIT) -> None:
        self.file_limit = file_limit
        self._bundle = bundle
        self._known: dict[bytes, Location] = {}
        self._sizes: list[int] = []

    def put(self, data: bytes) -> Location:
        digest = hashlib.sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = self._append(data)
        return self._known[digest]

    def _append(self, data: bytes) -> Location:
        if len(data) > self.file_limit:
            raise ValueError(f"{len(data)} bytes do not fit into a file of {self.file_limit}")
        fits = (i for i, size in enumerate(self._sizes) if _aligned(size) + len(data) <= self.file_limit)
        index = next(fits, len(self._sizes))
        if index == len(self._sizes):
            self._sizes.append(0)
        offset, name = _aligned(self._sizes[index]), f"weights/{index}.bin"
        (self._bundle / "weights").mkdir(parents=True, exist_ok=True)
        with (self._bundle / name).open("ab") as file:
            file.write(bytes(offset - self._sizes[index]) + data)
        self._sizes[index] = offset + len(data)
        return Location(name, offset, len(data))


def with_external_weights(
    model: onnx.ModelProto, store: WeightStore, precision: StoredPrecision
) -> onnx.ModelProto:
    """A copy of `model` whose large weights lie in `store`.

    float16 weights are cast back to float32 by the graph, and a weight larger than a file is put together
    from parts; a runtime folds both away when it loads the graph.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    small: list[onnx.TensorProto] = []
    large: list[onnx.TensorProto] = []
    for tensor in stored.graph.initializer:
        is_large = tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= _SMALLEST
        (large if is_large else small).append(tensor)
    tensors, nodes = [*small], []
    for tensor in large:
        parts, restoring = _store(tensor.name, numpy_helper.to_array(tensor), store, precision)
        tensors += parts
        nodes += restoring
    nodes += stored.graph.node
    _replace(stored.graph.initializer, tensors)
    _replace(stored.graph.node, nodes)
    return stored


def _store(
    name: str, weight: NDArray[np.float32], store: WeightStore, precision: StoredPrecision
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """The tensors that hold a weight, and the nodes that make it from them."""
    fits = np.abs(weight).max() <= _FLOAT16_MAX
    kind = np.dtype("<f2") if precision == "float16" and fits else np.dtype("<f4")
    values = weight.astype(kind)
    pieces = _pieces(values, store.file_limit)
    plain = len(pieces) == 1 and kind.itemsize == 4
    names = [name] if plain else [f"{name}.{kind.name}.{i}" for i in range(len(pieces))]
    tensors = [_external(n, piece, store) for n, piece in zip(names, pieces, strict=True)]
    if plain:
        return tensors, []
    nodes = []
    if len(pieces) > 1:
        joined = name if kind.itemsize == 4 else f"{name}.{kind.name}"
        nodes.append(helper.make_node("Concat", names, [joined], axis=0))
        names = [joined]
    if kind.itemsize == 2:
        nodes.append(helper.make_node("Cast", names, [name], to=TensorProto.FLOAT))
    return tensors, nodes


def _pieces(values: NDArray[Any], limit: int) -> list[NDArray[Any]]:
    """Cut along the first axis into pieces of at most `limit` bytes."""
    rows = max(1, limit * len(values) // values.nbytes)
    return [values[i : i + rows] for i in range(0, len(values), rows)]


def _external(name: str, values: NDArray[Any], store: WeightStore) -> onnx.TensorProto:
    location = store.put(np.ascontiguousarray(values).tobytes())
    tensor = onnx.TensorProto(
        name=name,
        dims=values.shape,
        data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    for key in ("location", "offset", "length"):
        value = location.file if key == "location" else str(getattr(location, key))
        tensor.external_data.add(key=key, value=value)
    return tensor


def _replace(field: Any, values: list[Any]) -> None:
    del field[:]
    field.extend(values)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
