"""Recipes: frozen records whose defaults are the paper's recipe, and overlays that change named fields of them."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from model.config import ModelConfig, RCANConfig

RecipeT = TypeVar("RecipeT")
Precision = Literal["float32", "bfloat16"]
HR_REFERENCE = (128, 64)  # height, width of what RCAN leads to: the LR buckets are its fractions
FROM_DATA = 0  # model.identities: as many as the training set has


class ConfigError(ValueError):
    """A recipe that cannot be used; the message names the field and the valid names."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of Eq. 7, 9 and 13. A weight of zero turns the term off: the rows of Table II."""

    identity: float = 1.0
    wrt: float = 1.0
    shallow: float = 5.0  # gamma
    mutual: float = 1.0  # the KL divergence between branches
    side_identity: tuple[float, float] = (0.5, 0.5)  # alpha_1, beta_1
    side_wrt: tuple[float, float] = (0.5, 0.5)  # alpha_2, beta_2
    label_smoothing: float = 0.1  # xi


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """The paper's SGD (section IV-C); `adamw` with `cosine` suits schedules of a few epochs."""

    kind: Literal["sgd", "adamw"] = "sgd"
    rate: float = 1.3e-2
    momentum: float = 0.9  # Nesterov; the first beta of AdamW
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = (30.0, 60.0)  # epochs; x0.1 at each (step)
    warmup_epochs: float = 5.0
    warmup_rate: float = 3e-4


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """One draw per pair, so that Eq. 5 compares aligned maps."""

    flip: float = 0.5
    padding: int = 10  # pixels at 256x128; scaled with the height
    erasing: float = 0.0  # probability; off in the paper


@dataclass(frozen=True, slots=True)
class CollapseConfig:
    """When GALN counts as collapsed: all images of `reports` reports in a row in hardly more than one group."""

    effective_groups: float = 1.5  # exp(entropy of the mean probability) below this
    reports: int = 5  # 0: never stop
    differentiation: float = 0.01  # below this share of log(K), a warning: the groups treat all images alike


@dataclass(frozen=True, slots=True)
class DGRLRecipe:
    """Everything that decides a DGRL training. The defaults are the paper's."""

    name: str = "paper"
    seed: int = 0
    epochs: float = 70.0
    identities_per_batch: int = 16
    pairs_per_identity: int = 3
    hr_reference: tuple[int, int] = HR_REFERENCE
    model: ModelConfig = field(default_factory=lambda: ModelConfig(identities=FROM_DATA))
    losses: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    collapse: CollapseConfig = field(default_factory=CollapseConfig)
    precision: Precision = "bfloat16"
    compile: bool = False
    ema: float = 0.0  # decay of the average of weights and BatchNorm statistics that is the result; 0: none
    checkpoint_minutes: float = 4.0
    log_steps: int = 10

    def __post_init__(self) -> None:
        _check_positive(self, "epochs", "identities_per_batch", "pairs_per_identity", "log_steps")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is a decay from 0 (none) to below 1, not {self.ema}")


@dataclass(frozen=True, slots=True)
class RCANRecipe:
    """Everything that decides an RCAN training: L1, Adam at 1e-4, on whole images (DGRL.md)."""

    name: str = "paper"
    seed: int = 0
    model: RCANConfig = field(default_factory=RCANConfig)
    height: int = 128  # of the HR reference, which LR twins are made from
    width: int = 64
    epochs: float = 100.0
    batch: int = 16
    rate: float = 1e-4
    schedule: Literal["step", "cosine"] = "step"  # step: halved after each fifth of the run
    precision: Precision = "bfloat16"
    checkpoint_minutes: float = 4.0
    measure_steps: int = 2000  # PSNR on validation images this often; the best weights are kept
    log_steps: int = 20

    def __post_init__(self) -> None:
        _check_positive(self, "height", "width", "epochs", "batch", "measure_steps", "log_steps")


def load_recipe(default: RecipeT, path: Path | None) -> RecipeT:
    """`default` with the TOML file's fields laid over it. Raises ConfigError."""
    if path is None:
        return default
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    return overlay(default, values, where=str(path))


def overlay(record: RecipeT, values: Mapping[str, Any], where: str) -> RecipeT:
    """A copy of a (nested) record with some fields changed; an unknown name or wrong type is a ConfigError."""
    types = get_type_hints(type(record))
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in types:
            close = difflib.get_close_matches(name, types, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ConfigError(f"{where}: unknown field {name!r}; {hint}valid names: {', '.join(types)}")
        changed[name] = _converted(types[name], getattr(record, name), value, f"{where}: {name}")
    try:
        return dataclasses.replace(record, **changed)  # type: ignore[type-var]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _converted(kind: Any, current: Any, value: Any, where: str) -> Any:
    """`value` as a field of type `kind`."""
    if dataclasses.is_dataclass(current):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is a table, not {value!r}")
        return overlay(current, value, where)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{where} is one of {', '.join(map(str, get_args(kind)))}, not {value!r}")
        return value
    if get_origin(kind) is tuple:
        return _sequence(get_args(kind), value, where)
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float:
        raise ConfigError(f"{where} is a whole number, not {value!r}")
    if type(value) is not (get_origin(kind) or kind):
        raise ConfigError(f"{where} is of type {getattr(kind, '__name__', kind)}, not {value!r}")
    return value


def _sequence(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """A list as a tuple of `kinds`; the last one may be an ellipsis."""
    if not isinstance(value, list):
        raise ConfigError(f"{where} is a list, not {value!r}")
    each = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
    if len(each) != len(value):
        raise ConfigError(f"{where} has {len(each)} values, not {value!r}")
    return tuple(_converted(kind, None, item, where) for kind, item in zip(each, value, strict=True))


def _check_positive(record: Any, *names: str) -> None:
    for name in names:
        if not getattr(record, name) > 0:
            raise ConfigError(f"{name} must be more than 0, not {getattr(record, name)}")


def as_json(record: Any) -> dict[str, Any]:
    """A recipe as plain JSON values, to store beside what it made."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record)))
    return plain
