"""The deployed networks as ONNX graphs: uint8 NHWC pixels in, all arithmetic inside."""

import json
import logging
import warnings

import onnx
import torch
from torch import Tensor, nn

from model.bundle.manifest import Preprocessing
from model.embedder import Branch, Embedder
from model.rcan import RCAN, to_pixels

OPSET = 18


class EncoderGraph(nn.Module):
    """uint8 (N, H, W, 3) to unit embeddings (N, D): what a stem's graph and the trunk's give together."""

    def __init__(self, embedder: Embedder, branch: Branch, spec: Preprocessing) -> None:
        super().__init__()
        self.embedder = embedder
        self.branch = branch
        self.prepare = Prepare(spec)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.embedder(self.prepare(images), self.branch)
        return out


class StemGraph(nn.Module):
    """uint8 (N, H, W, 3) to the shallow maps of one branch (N, C, H/4, W/4)."""

    def __init__(self, embedder: Embedder, branch: Branch, spec: Preprocessing) -> None:
        super().__init__()
        self.prepare = Prepare(spec)
        self.stem = embedder.stem(branch)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.stem(self.prepare(images))
        return out


class TrunkGraph(nn.Module):
    """Shallow maps of either branch to unit embeddings (N, D)."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, maps: Tensor) -> Tensor:
        return self.embedder.describe(maps)


class Prepare(nn.Module):
    """uint8 (N, H, W, 3) to normalised float32 (N, 3, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float() / 255  # (N, 3, H, W)
        return (x - self.mean) / self.std


class ResolverGraph(nn.Module):
    """uint8 (N, h, w, 3) to uint8 (N, scale*h, scale*w, 3)."""

    def __init__(self, rcan: RCAN, scale: int) -> None:
        super().__init__()
        self.rcan = rcan
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        y = self.rcan(images.permute(0, 3, 1, 2).float(), self.scale)
        return to_pixels(y).permute(0, 2, 3, 1)


def stem_onnx(embedder: Embedder, branch: Branch, spec: Preprocessing) -> onnx.ModelProto:
    """The stem of one branch, with the preprocessing spec in its metadata."""
    model = _export(StemGraph(embedder, branch, spec), _pixels(spec.height, spec.width), "images", "maps")
    metadata = {"dgrl.branch": branch, "dgrl.preprocessing": json.dumps(spec.model_dump(), sort_keys=True)}
    onnx.helper.set_model_props(model, metadata)
    return model


def trunk_onnx(embedder: Embedder, spec: Preprocessing) -> onnx.ModelProto:
    """What both branches share, behind their stems."""
    with torch.no_grad():
        maps = StemGraph(embedder, "hr", spec).eval()(_pixels(spec.height, spec.width))
    return _export(TrunkGraph(embedder), maps, "maps", "embeddings")


def resolver_onnx(rcan: RCAN, scale: int, height: int, width: int) -> onnx.ModelProto:
    """The super-resolver of one scale at its native bucket."""
    model = _export(ResolverGraph(rcan, scale), _pixels(height, width), "images", "enlarged")
    onnx.helper.set_model_props(model, {"dgrl.scale": str(scale)})
    return model


def _pixels(height: int, width: int) -> Tensor:
    return torch.zeros(2, height, width, 3, dtype=torch.uint8)


def _export(module: nn.Module, example: Tensor, source: str, result: str) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of every torchvision operator
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's own deprecations, from inside its exporter
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[source],
            output_names=[result],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return _without_traces(program.model_proto)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops torch's notes, which hold source paths of the exporting machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    return model
