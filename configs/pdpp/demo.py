"""PDPP in miniature: made-up procedures, planner and task classifier in one run, on a laptop CPU.

    jaxvision train --config pdpp/demo --workdir runs/pdpp

Takes about two minutes on two cores and reaches a success rate above 90 %; plans retrieved from the
nearest training window and random plans are measured in the same evaluation.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "pdpp"
    config.model = ConfigDict(
        {
            "classes": 0,  # as many as the data has
            "actions": 0,
            # Group norm has 32 groups: fewer than 4 channels in each learn far more slowly.
            "width": 128,
            "multipliers": (1, 1, 1),
        }
    )
    config.task = ConfigDict(
        {
            "stage": "planner",
            "classifier": "joint",
            "classifier_rate": 1.0,  # of the planner's learning rate
            "baseline": "",
            "diffusion_steps": 50,
            "sampler": "ddim",
            "sampling_steps": 10,
            "eta": 0.0,
            "evaluation_batch": 128,
            "compare": True,
            "uncertainty_samples": 0,
            "uncertainty_batch": 8,
            "prediction_samples": 100,
        }
    )
    config.data.update(
        {
            "name": "generated",
            "root": "",
            "horizon": 3,
            "channels": 32,
            "train_videos": 800,
            "test_videos": 200,
            "world": {
                "tasks": 6,
                "actions": 24,
                "steps": 7,
                "variant": 2.0,
                "look": 2.0,
                "noise": 0.15,
                "seed": 0,
            },
        }
    )
    config.train.steps = 1000
    config.train.batch_size = 64
    config.optim.learning_rate = ConfigDict(
        {"name": "decay_in_periods", "peak": 2e-3, "warmup_steps": 100, "period_steps": 300}
    )
    config.ema.update({"decay": 0.95, "start_step": 200, "interval": 10})
    config.evaluate.update({"every_steps": 500, "weights": "ema"})
    config.checkpoint.update({"every_steps": 250, "keep": 2})
    config.log.update({"every_steps": 100, "pictures_every_steps": 500})
    return config
