"""Platt's map from score to probability (Platt 1999; the Newton iteration of Lin, Lin and Weng 2007)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_ITERATIONS = 100
_TOLERANCE = 1e-10


def fit_logistic(genuine: Floats, impostors: Floats) -> tuple[float, float]:
    """Slope and intercept of p(genuine | score) = 1 / (1 + exp(-(slope * score + intercept))).

    Both classes weigh the same however many pairs they have: p is what to believe when a match and a
    mismatch were equally likely beforehand. Targets are Platt's, just inside 0 and 1, so that separable
    classes end finite.
    """
    scores = np.concatenate([genuine, impostors]).astype(np.float64)
    many, few = len(impostors), len(genuine)
    target = np.concatenate([np.full(few, (few + 1) / (few + 2)), np.full(many, 1 / (many + 2))])
    weight = np.concatenate([np.full(few, 0.5 / few), np.full(many, 0.5 / many)])
    centre, spread = scores.mean(), scores.std() or 1.0
    x = np.stack([(scores - centre) / spread, np.ones_like(scores)])  # (2, N)
    parameters = np.zeros(2)
    loss = _loss(parameters, x, target, weight)
    for _ in range(_ITERATIONS):
        p = _sigmoid(parameters @ x)
        gradient = x @ (weight * (p - target))
        hessian = (x * (weight * p * (1 - p))) @ x.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        shrink = 1.0
        while (new := _loss(parameters - shrink * step, x, target, weight)) > loss and shrink > 1e-10:
            shrink /= 2
        parameters = parameters - shrink * step
        if loss - new < _TOLERANCE:
            break
        loss = new
    slope = parameters[0] / spread
    return float(slope), float(parameters[1] - slope * centre)


def _loss(parameters: Floats, x: Floats, target: Floats, weight: Floats) -> float:
    logit = parameters @ x
    return float(weight @ (np.logaddexp(0, logit) - target * logit))


def _sigmoid(x: Floats) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))
