"""STMixer in miniature: drawn figures that stand, walk, wave, crouch and meet, on a laptop CPU.

    jaxvision train --config stmixer/demo --workdir runs/figures

Frames of 96 x 128 are made as they are needed. Walking needs motion, being together needs others.
To compare: `--config.task.boxes=frame` evaluates whole frames in place of boxes,
`--config.task.still=True` trains and evaluates without motion.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import fine_tuning


def get_config() -> ConfigDict:
    config = fine_tuning("slowonly_r50_k400")
    config.dtype = "float32"
    config.model.update({"frames": 8, "stem_width": 16, "temporal_points": 8})
    config.model.update({"queries": 12, "query_width": 64, "stages": 3, "query_heads": 4})
    config.model.update({"hidden": 128, "spatial_points": 8})
    config.task.update({"stride": 1, "short_sides": (96,), "test_short_side": 96})
    config.task.update({"evaluation_batch": 16, "threshold": 0.5, "fallback": 0})
    config.data.update({"name": "figures", "train": 4096, "validation": 256})
    config.data.update({"height": 96, "width": 128, "people": 4})
    config.train.update({"batch_size": 16, "steps": 600, "epochs": 0.0})
    config.optim.batch_scaling = 0
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1e-3, "end": 0.0, "warmup_steps": 50}
    )
    config.optim.clip_norm = 1.0
    config.evaluate.every_steps = 0
    config.log.every_steps = 20
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 1
    return config
