"""Each loss against a slow float64 statement of its equation."""

import math

import pytest
import torch
from torch import Tensor

from model.dgrl import BranchOutput, DGRLOutput
from training.config import LossConfig
from training.losses.identity import identity_loss
from training.losses.mutual import mutual_loss
from training.losses.shallow import shallow_loss
from training.losses.total import total_loss
from training.losses.wrt import wrt_loss


def slow_wrt(features: Tensor, labels: Tensor) -> float:
    """Eq. 8 anchor by anchor, with exact weights: exponentials shifted by the true extreme of each set."""
    x, total = features.double(), 0.0
    for a in range(len(x)):
        distances = [
            (math.dist(x[a].tolist(), x[j].tolist()), bool(labels[j] == labels[a])) for j in range(len(x))
        ]
        positives = [d for d, same in distances if same]
        negatives = [d for d, same in distances if not same]
        up = [math.exp(d - max(positives)) for d in positives]
        down = [math.exp(min(negatives) - d) for d in negatives]
        furthest = sum(w * d for w, d in zip(up, positives, strict=True)) / sum(up)
        nearest = sum(w * d for w, d in zip(down, negatives, strict=True)) / sum(down)
        z = furthest - nearest
        total += max(z, 0.0) + math.log1p(math.exp(-abs(z)))
    return total / len(x)


@pytest.mark.parametrize("distance", [0.01, 1.0, 13.0, 30.0, 300.0])
def test_wrt_is_exact_at_small_and_large_distances(distance: float) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(6).repeat_interleave(4)
    features = torch.randn(24, 32, generator=random)
    features = features * (distance / torch.cdist(features, features).mean())
    assert wrt_loss(features, labels).item() == pytest.approx(slow_wrt(features, labels), rel=1e-4, abs=1e-5)


def test_wrt_has_finite_gradients_where_two_images_coincide() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    wrt_loss(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad is not None and features.grad.isfinite().all()


def test_wrt_is_not_a_number_where_an_anchor_has_no_negative() -> None:
    assert wrt_loss(torch.randn(4, 3), torch.zeros(4, dtype=torch.long)).isnan()


def test_the_identity_loss_is_equation_6() -> None:
    logits, labels, xi = torch.tensor([[2.0, -1.0, 0.5, 0.0]]), torch.tensor([2]), 0.1
    log_p = logits.double().log_softmax(dim=1)[0]
    q = [xi / 4, xi / 4, 1 - 3 / 4 * xi, xi / 4]
    expected = -sum(weight * float(value) for weight, value in zip(q, log_p, strict=True))
    assert identity_loss(logits, labels, xi).item() == pytest.approx(expected, rel=1e-6)


def test_the_shallow_loss_is_the_mean_of_equation_5() -> None:
    hr, sr = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.tensor([0.5, -3.0, 0.0, 1.0])
    assert shallow_loss(hr, sr).item() == pytest.approx((0.5 * 0.25 + 2.5 + 0 + 0) / 4)


def test_the_mutual_loss_sums_six_ordered_pairs_with_detached_teachers() -> None:
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(5, 7, generator=random, requires_grad=True) for _ in range(3)]
    p = [branch.detach().double().softmax(dim=1) for branch in logits]
    expected = sum(
        float((p[j] * (p[j].log() - p[i].log())).sum(dim=1).mean())
        for i in range(3)
        for j in range(3)
        if i != j
    )
    loss = mutual_loss(logits)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits[0].grad is not None
    # the gradient of KL(t || p) with a fixed teacher is p - t: for the main branch, summed over its two teachers
    student = (2 * p[0] - p[1] - p[2]) / 5
    torch.testing.assert_close(logits[0].grad.double(), student, atol=1e-6, rtol=1e-4)


def output(branches: int) -> tuple[DGRLOutput, Tensor]:
    random = torch.Generator().manual_seed(0)
    made = [
        BranchOutput(torch.randn(8, 6, generator=random), torch.randn(8, 3, generator=random), None)
        for _ in range(branches)
    ]
    maps = torch.randn(2, 4, 2, 2, 2, generator=random)
    return DGRLOutput(maps[0], maps[1], tuple(made)), torch.tensor([0, 0, 1, 2])


def test_the_total_is_equation_13_with_the_papers_weights() -> None:
    made, labels = output(3)
    both = torch.cat([labels, labels])
    ids = [identity_loss(b.logits, both, 0.1) for b in made.branches]
    wrts = [wrt_loss(b.feature, both) for b in made.branches]
    expected = 5 * shallow_loss(made.shallow_hr, made.shallow_sr) + mutual_loss(
        [b.logits for b in made.branches]
    )
    expected = expected + ids[0] + 0.5 * ids[1] + 0.5 * ids[2] + wrts[0] + 0.5 * wrts[1] + 0.5 * wrts[2]
    torch.testing.assert_close(total_loss(made, labels, LossConfig()).total, expected)


@pytest.mark.parametrize("off", ["identity", "wrt", "shallow", "mutual"])
def test_each_term_can_be_switched_off(off: str) -> None:
    made, labels = output(3)
    full = total_loss(made, labels, LossConfig())
    without = total_loss(made, labels, LossConfig(**{off: 0.0}))
    assert set(full.terms) - set(without.terms) == {off}
    torch.testing.assert_close(full.total - without.total, full.terms[off])


def test_the_mutual_term_without_side_branches_is_an_error_not_a_silent_zero() -> None:
    made, labels = output(1)
    with pytest.raises(ValueError, match="mutual = 0"):
        total_loss(made, labels, LossConfig())


def test_nothing_to_train_is_an_error() -> None:
    made, labels = output(1)
    with pytest.raises(ValueError, match="nothing to train"):
        total_loss(made, labels, LossConfig(identity=0, wrt=0, shallow=0, mutual=0))
