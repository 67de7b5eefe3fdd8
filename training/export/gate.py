"""What an export must hold to become a bundle."""

from dataclasses import dataclass

from training.export.parity import EncoderParity, ResolverParity
from training.export.storage import StoredPrecision


class GateFailed(RuntimeError):
    """The export differs from the network that it was made from; one line per reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Encoders as unit vectors, super-resolvers in grey levels, Rank-1 in points."""

    max_difference: float = 1e-4
    min_cosine: float = 0.9999
    min_cosine_float16: float = 0.999
    max_batch_difference: float = 1e-5
    max_norm_error: float = 1e-5
    max_levels: int = 1
    max_differing: float = 1e-3
    max_mean_levels_float16: float = 0.02
    max_rank1_loss: float = 0.3


def encoder_failures(
    name: str, found: EncoderParity, precision: StoredPrecision, limits: Limits
) -> list[str]:
    """`precision` is that of the stored weights: in 16 bits only directions are compared with the network."""
    exact = precision == "float32"
    least = limits.min_cosine if exact else limits.min_cosine_float16
    checks = [
        (not exact or found.max_difference <= limits.max_difference, "max |Δ|", found.max_difference),
        (found.min_cosine >= least, "min cosine", found.min_cosine),
        (
            found.max_batch_difference <= limits.max_batch_difference,
            "batch rows against single runs",
            found.max_batch_difference,
        ),
        (found.max_norm_error <= limits.max_norm_error, "error of the norm", found.max_norm_error),
        (
            found.swapped_cosine < min(least, found.min_cosine),
            "cosine with swapped channels",
            found.swapped_cosine,
        ),
    ]
    return [
        f"{name} ({precision} weights): {what} is {value:.6g}" for good, what, value in checks if not good
    ]


def resolver_failures(
    name: str, found: ResolverParity, precision: StoredPrecision, limits: Limits
) -> list[str]:
    """Weights rounded to 16 bits move many samples a little; what counts there is how far on average."""
    exact = precision == "float32"
    checks = [
        (found.max_levels <= limits.max_levels, "largest difference in grey levels", found.max_levels),
        (not exact or found.differing <= limits.max_differing, "share of differing samples", found.differing),
        (
            exact or found.mean_levels <= limits.max_mean_levels_float16,
            "mean grey levels apart",
            found.mean_levels,
        ),
    ]
    return [
        f"{name} ({precision} weights): {what} is {value:.6g}" for good, what, value in checks if not good
    ]


def rank1_failures(float32: float, bfloat16: float, limits: Limits) -> list[str]:
    """In percent."""
    if float32 - bfloat16 <= limits.max_rank1_loss:
        return []
    return [f"Rank-1 falls from {float32:.2f} in float32 to {bfloat16:.2f} in bfloat16"]
