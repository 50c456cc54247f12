r"""PDPP on COIN with S3D features.

    jaxvision train --config pdpp/coin --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/coin --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 21.33 | 45.62 | 51.82 |
| 4 * | 14.41 | 44.10 | 51.39 |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/coin_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
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
    config.task = ConfigDict(
        {
            "stage": "planner",
            "classifier": "joint",
            "classifier_rate": 10.0,  # a peak of 1e-4
            "baseline": "",  # or "noise", "deterministic": the paper's baselines
            "diffusion_steps": 200,
            "sampler": "ddim",
            "sampling_steps": 10,
            "eta": 0.0,
            "evaluation_batch": 256,
            "compare": True,
            "uncertainty_samples": 0,  # published: 1500
            "uncertainty_batch": 8,
            "prediction_samples": 1500,
        }
    )
    config.data.update({"name": "coin", "root": "", "horizon": 3, "channels": 512})
    # Published as 8 processes of 32 that never averaged their gradients: one model saw 32.
    config.train.steps = 160_000
    config.train.batch_size = 32
    config.optim.learning_rate = ConfigDict(
        {
            "name": "decay_in_periods",
            "peak": 1e-5,
            "warmup_steps": 160_000 * 20 / 120,
            "period_steps": 160_000 * 30 / 120,
        }
    )
    config.ema.update({"decay": 0.995, "start_step": 400, "interval": 10})
    config.evaluate.update({"every_steps": 1_000, "weights": "ema"})
    config.checkpoint.update({"every_steps": 1_000, "best": "plans/SR"})
    return config
