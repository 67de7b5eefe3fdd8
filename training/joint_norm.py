"""BatchNorm over the joint batch of several processes: torch's SyncBatchNorm on GPUs, and one for CPUs."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.device import ModuleT


def with_joint_norms(network: ModuleT) -> ModuleT:
    """Replace every BatchNorm below `network`; parameters, buffers and their names stay."""
    if next(network.parameters()).is_cuda:
        converted: ModuleT = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, JointBatchNorm(child))
        elif next(child.parameters(), None) is not None:
            with_joint_norms(child)
    return network


class JointBatchNorm(_BatchNorm):
    """(B, C) or (B, C, H, W), with statistics over all processes, whose batches are equally large."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None: ...

    def forward(self, input: Tensor) -> Tensor:
        """In float32; the result has the input's type."""
        if not self.training:
            return super().forward(input)
        x, over = input.float(), [0, *range(2, input.ndim)]
        shape = (1, -1) + (1,) * (input.ndim - 2)  # (1, C, 1, 1)
        mean = _Mean.apply(x.mean(over))  # type: ignore[no-untyped-call]
        centred = x - mean.reshape(shape)
        variance = _Mean.apply(centred.square().mean(over))  # type: ignore[no-untyped-call]
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1] * dist.get_world_size())
        scale = self.weight * (variance + self.eps).rsqrt()
        out: Tensor = centred * scale.reshape(shape) + self.bias.reshape(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked += 1


class _Mean(torch.autograd.Function):
    """The mean over processes; the gradient of what all of them made of it is the mean, too."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return _over_ranks(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        return _over_ranks(gradients[0])


def _over_ranks(x: Tensor) -> Tensor:
    total = x.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
