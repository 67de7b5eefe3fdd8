"""A training whose curve broke."""


class TrainingFailed(RuntimeError):
    """NaN, or groups that collapsed; the message says where and what to try."""
