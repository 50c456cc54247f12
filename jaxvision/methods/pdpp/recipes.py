"""What the recipes share; configs/pdpp/ holds what is each dataset's own."""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def planner_recipe(
    dataset: str,
    *,
    classes: int,
    actions: int,
    steps: int,
    peak: float,
    classifier_rate: float,
    channels: int = 512,
    diffusion_steps: int = 200,
    every_steps: int = 1_000,
) -> ConfigDict:
    """The planner, and the task classifier in the same run.

    steps, peak: updates of the published run, and its highest learning rate.
    classifier_rate: the classifier's learning rate over the planner's.
    every_steps: between evaluations, and between checkpoints.
    """
    # Published as 8 processes of 32 that never averaged their gradients: one model saw 32.
    config = _window_recipe(dataset, classes, actions, channels)
    config.task = ConfigDict(
        {
            "name": "planner",
            "classifier": "joint",
            "classifier_rate": classifier_rate,
            "baseline": "",  # or "noise", "deterministic": the paper's baselines
            "diffusion_steps": diffusion_steps,
            "sampler": "ddim",
            "sampling_steps": 10,
            "eta": 0.0,
            "evaluation_batch": 256,
            "compare": True,  # with retrieved and random plans
            "uncertainty_samples": 0,  # published: 1500
            "uncertainty_batch": 8,
            "prediction_samples": 1500,
        }
    )
    config.train.update({"steps": steps, "batch_size": 32})
    config.optim.learning_rate = published_rate(peak, steps)
    config.ema.update({"decay": 0.995, "start_step": 400, "interval": 10})
    config.evaluate.update({"every_steps": every_steps, "weights": "ema"})
    config.checkpoint.update({"every_steps": every_steps, "best": "plans/SR"})
    return config


def classifier_recipe(
    dataset: str, *, classes: int, actions: int, channels: int = 512
) -> ConfigDict:
    """The task classifier alone, as published: 8 processes of 32 whose gradients are averaged."""
    config = _window_recipe(dataset, classes, actions, channels)
    config.task = ConfigDict({"name": "classifier", "evaluation_batch": 256})
    config.train.update({"steps": 24_000, "batch_size": 256})
    config.optim.learning_rate = published_rate(1e-4, 24_000)
    config.evaluate.every_steps = 400
    config.checkpoint.update({"every_steps": 400, "best": "tasks/accuracy"})
    return config


def published_rate(peak: float, steps: int) -> ConfigDict:
    """Warm-up over 20 of 120 epochs, then halved every 30."""
    return ConfigDict(
        {
            "name": "decay_in_periods",
            "peak": peak,
            "warmup_steps": steps * 20 / 120,
            "period_steps": steps * 30 / 120,
        }
    )


def _window_recipe(dataset: str, classes: int, actions: int, channels: int) -> ConfigDict:
    config = base_config()
    config.method = "pdpp"
    config.model = ConfigDict(
        {"classes": classes, "actions": actions, "width": 256, "multipliers": (1, 2, 4)}
    )
    config.data.update({"name": dataset, "root": "", "horizon": 3, "channels": channels})
    return config
