r"""PDPP on CrossTask with S3D features (CrossTask_How).

    jaxvision train --config pdpp/crosstask_how --workdir runs/t3 --config.data.root=DIR
    jaxvision train --config pdpp/crosstask_how --workdir runs/t4 --config.data.root=DIR \
        --config.data.horizon=4

One run per horizon; nothing else changes with it. Published results (percent;
one pass of 10 DDIM steps; * = the paper, not re-checked):

| horizon | SR | mAcc | mIoU |
| --- | --- | --- | --- |
| 3 | 37.20 | 64.67 | 66.57 |
| 4 * | 21.48 | 57.82 | 65.13 |
| 5 * | 13.45 | | |
| 6 * | 8.41 | | |

The task classifier trains beside the planner in the same run (they share no parameter). To train it
as published, on batches of 256, run pdpp/crosstask_how_classifier first and start from it:
--config.task.classifier=frozen --config.init='({"from": "runs/c3", "to": ""},)'.
Uncertainty at horizon 6: --config.task.uncertainty_samples=1500 (published NLL 4.06, KL 2.76,
ModePrec 25.61, ModeRec 22.68; Noise baseline 4.79, 3.49, 24.51, 11.04; Deterministic 5.12, 3.82,
25.24, 6.75).
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "pdpp"
    config.model = ConfigDict(
        {
            "classes": 18,
            "actions": 105,
            "width": 256,
            "multipliers": (1, 2, 4),
        }
    )
    config.task = ConfigDict(
        {
            "stage": "planner",
            "classifier": "joint",
            "classifier_rate": 0.2,  # a peak of 1e-4
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
    config.data.update({"name": "crosstask_how", "root": "", "horizon": 3, "channels": 512})
    # Published as 8 processes of 32 that never averaged their gradients: one model saw 32.
    config.train.steps = 24_000
    config.train.batch_size = 32
    config.optim.learning_rate = ConfigDict(
        {
            "name": "decay_in_periods",
            "peak": 5e-4,
            "warmup_steps": 24_000 * 20 / 120,
            "period_steps": 24_000 * 30 / 120,
        }
    )
    config.ema.update({"decay": 0.995, "start_step": 400, "interval": 10})
    config.evaluate.update({"every_steps": 1_000, "weights": "ema"})
    config.checkpoint.update({"every_steps": 1_000, "best": "plans/SR"})
    return config
