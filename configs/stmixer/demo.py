"""STMixer in miniature: drawn figures that stand, walk, wave, crouch and meet, on a laptop CPU.

    jaxvision train --config stmixer/demo --workdir runs/figures

Frames of 64 x 64 are made as they are needed. Walking needs motion, being together needs others;
with `--config.data.motions=True` figures stand, walk, reach, wave and meet, and the first four show
in time only (not measured). To compare: `--config.task.boxes=frame` evaluates whole frames in place
of boxes, `--config.task.still=True` trains and evaluates without motion.

Measured once, on two busy CPU cores (12 minutes of processor time, 3 of them to compile): 44.4 %
mean average precision on 256 held-out clips; stand 33.7, walk 37.4, wave 49.4, crouch 46.8,
together 54.5. Whole frames score 0 %: no box covers half of one. Without motion: not measured;
walking and standing are hardly told apart after so few steps.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import fine_tuning


def get_config() -> ConfigDict:
    config = fine_tuning("vit_b_k400")
    config.dtype = "float32"
    config.model.update({"frames": 4, "image_size": 64, "temporal_points": 2, "remat": "none"})
    config.model.update({"width": 128, "heads": 4, "layers": 3, "drop_path": 0.0})
    config.model.update({"queries": 8, "query_width": 32, "stages": 2, "query_heads": 4})
    config.model.update({"hidden": 128, "spatial_points": 8, "groups": 2})
    config.task.update({"stride": 1, "short_sides": (64,), "test_short_side": 64})
    config.task.update({"evaluation_batch": 16, "threshold": 0.5, "fallback": 0})
    config.data.update({"name": "figures", "train": 16384, "validation": 256})
    config.data.update({"height": 64, "width": 64, "motions": False, "people": 3})
    config.train.update({"batch_size": 16, "steps": 1200, "epochs": 0.0})
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
