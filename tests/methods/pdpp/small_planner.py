"""A planner small enough to run in every test."""

from ml_collections import ConfigDict

from jaxvision.training.config import load_config


def small_config(**overrides) -> ConfigDict:
    """The demo's config, smaller; `overrides` as {"task.eta": 0.5}."""
    settings = {
        "model.width": 32,
        "model.multipliers": "(1, 2, 4)",
        "data.train_videos": 24,
        "data.test_videos": 8,
        "data.channels": 8,
        "train.batch_size": 16,
        "train.steps": 4,
        "task.evaluation_batch": 16,
        "task.prediction_samples": 12,
    }
    recipe = [f"{key}={value}" for key, value in {**settings, **overrides}.items()]
    return load_config("pdpp/demo", recipe)
