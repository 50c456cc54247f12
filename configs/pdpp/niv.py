r"""PDPP on NIV.

    jaxvision train --config pdpp/niv --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/niv --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 31.25 | 49.26 | 57.92 |
| 4 (first version) * | 26.67 | 46.89 | 59.45 |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/niv_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "pdpp"
    config.model = ConfigDict(
        {
            "classes": 5,
            "actions": 48,
            "width": 256,
            "multipliers": (1, 2, 4),
        }
    )
    config.task = ConfigDict(
        {
            "stage": "planner",
            "classifier": "joint",
            "classifier_rate": 1.0 / 3.0,  # a peak of 1e-4
            "baseline": "",  # or "noise", "deterministic": the paper's baselines
            "diffusion_steps": 50,
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
    config.data.update({"name": "niv", "root": "", "horizon": 3, "channels": 512})
    # Published as 8 processes of 32 that never averaged their gradients: one model saw 32.
    config.train.steps = 6_500
    config.train.batch_size = 32
    config.optim.learning_rate = ConfigDict(
        {
            "name": "decay_in_periods",
            "peak": 3e-4,
            "warmup_steps": 6_500 * 20 / 120,
            "period_steps": 6_500 * 30 / 120,
        }
    )
    config.ema.update({"decay": 0.995, "start_step": 400, "interval": 10})
    config.evaluate.update({"every_steps": 250, "weights": "ema"})
    config.checkpoint.update({"every_steps": 250, "best": "plans/SR"})
    return config
