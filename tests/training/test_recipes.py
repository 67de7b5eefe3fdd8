"""Recipes: the paper's values by default, overlays checked name by name."""

from pathlib import Path

import pytest

from training.config import ConfigError, DGRLRecipe, RCANRecipe, as_json, load_recipe, overlay

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def test_the_defaults_are_the_papers() -> None:
    recipe = DGRLRecipe()
    assert (recipe.epochs, recipe.identities_per_batch, recipe.pairs_per_identity) == (70, 16, 3)
    assert (recipe.optimiser.kind, recipe.optimiser.rate, recipe.optimiser.weight_decay) == (
        "sgd",
        1.3e-2,
        5e-4,
    )
    assert (recipe.losses.shallow, recipe.losses.side_identity, recipe.losses.label_smoothing) == (
        5,
        (0.5, 0.5),
        0.1,
    )
    assert (recipe.model.height, recipe.model.width, recipe.model.groups) == (256, 128, 32)
    assert recipe.model.restormer_block.heads == 4


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_changes_something(path: Path) -> None:
    default = RCANRecipe() if path.stem.startswith("rcan") else DGRLRecipe()
    assert load_recipe(default, path) != default


def test_a_typo_lists_the_valid_names(tmp_path: Path) -> None:
    path = tmp_path / "typo.toml"
    path.write_text("[optimiser]\nlearning_rate = 0.1\n")
    with pytest.raises(
        ConfigError, match=r"typo\.toml: optimiser: unknown field 'learning_rate'.*valid names: kind, rate"
    ):
        load_recipe(DGRLRecipe(), path)


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean epochs"):
        overlay(DGRLRecipe(), {"epoch": 3}, "here")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "many"}, "epochs is of type float, not 'many'"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"model": 3}, "model is a table"),
        ({"compile": 1}, "compile is of type bool"),
        ({"model": {"restormer_block": {"heads": 5}}}, "must be a multiple of heads"),
        ({"precision": "float8"}, "precision is one of float32, bfloat16"),
        ({"optimiser": {"kind": "adam"}}, "kind is one of sgd, adamw"),
        ({"optimiser": {"milestones": 30}}, "milestones is a list, not 30"),
        ({"optimiser": {"milestones": ["a"]}}, "milestones is of type float, not 'a'"),
        ({"hr_reference": [256]}, r"hr_reference has 2 values, not \[256\]"),
        ({"hr_reference": [256.5, 128]}, "hr_reference is a whole number"),
        ({"epochs": 0}, "here: epochs must be more than 0, not 0"),
        ({"log_steps": 0}, "log_steps must be more than 0"),
        ({"ema": 1.0}, "ema is a decay from 0"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        overlay(DGRLRecipe(), values, "here")


def test_whole_numbers_serve_as_fractions_and_lists_as_tuples() -> None:
    recipe = overlay(DGRLRecipe(), {"epochs": 3, "optimiser": {"milestones": [1, 2]}}, "here")
    assert (recipe.epochs, recipe.optimiser.milestones) == (3.0, (1, 2))
    assert {type(milestone) for milestone in recipe.optimiser.milestones} == {float}


def test_broken_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("epochs = = 3")
    for name, message in (("broken.toml", "broken.toml"), ("absent.toml", "no such recipe")):
        with pytest.raises(ConfigError, match=message):
            load_recipe(DGRLRecipe(), tmp_path / name)


def test_a_recipe_survives_json() -> None:
    assert as_json(DGRLRecipe())["model"]["restormer_block"]["heads"] == 4
