r"""The task classifier of PDPP on COIN: the task from start and goal.

    jaxvision train --config pdpp/coin_classifier --workdir runs/c3 \
        --config.data.root=DIR

Published top-1 accuracy (percent; the paper, not re-checked):
79.4, 78.9 at horizons 3 and 4.
One run per horizon: --config.data.horizon=4.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "pdpp"
    config.model = ConfigDict(
        {
            "classes": 180,
            "actions": 778,
            "width": 256,
            "multipliers": (1, 2, 4),
        }
    )
    config.task = ConfigDict({"stage": "classifier", "evaluation_batch": 256})
    config.data.update({"name": "coin", "root": "", "horizon": 3, "channels": 512})
    # 8 processes of 32 whose gradients are averaged.
    config.train.steps = 24_000
    config.train.batch_size = 256
    config.optim.learning_rate = ConfigDict(
        {
            "name": "decay_in_periods",
            "peak": 1e-4,
            "warmup_steps": 24_000 * 20 / 120,
            "period_steps": 24_000 * 30 / 120,
        }
    )
    config.evaluate.every_steps = 400
    config.checkpoint.update({"every_steps": 400, "best": "tasks/accuracy"})
    return config
