"""STMixer in miniature: drawn figures that stand, walk, reach, wave and meet, on a laptop CPU.

    jaxvision train --config stmixer/demo --workdir runs/figures

Frames of 64 x 64 are made as they are needed. Figures stand or walk, and hold their arms up still
("reach") or in a swing ("wave"): four actions that show in time only, since every picture of one is
a picture of its like, too. "together" needs others and no motion. To compare:
`--config.task.still=True` trains and evaluates on the key frame alone, repeated;
`--config.task.boxes=frame` evaluates whole frames in place of boxes.
`--config.data.motions=False --config.data.people=3` has standing, walking, waving, crouching and
meeting figures that move less.

Measured once each: average precision on 256 held-out clips, per cent:

                                   mean   stand  walk   reach  wave   together
    as it is                       75.6   81.6   87.2   71.7   70.0   67.5
    whole frames for boxes          0.0    0.0    0.0    0.0    0.0    0.0
    of a network twice as wide     77.3   84.2   89.1   75.9   70.7   66.8
    that, trained without motion   51.9   50.7   40.8   56.4   43.4   68.3

No box covers half of a frame. `task.overlap` counts for much: with every query's answer kept it is
52.8 % as it is. A training took five minutes of processor time on two busy CPU cores.
"""

from ml_collections import ConfigDict

from jaxvision.methods.stmixer.recipes import fine_tuning


def get_config() -> ConfigDict:
    config = fine_tuning("vit_b_k400")
    config.dtype = "float32"
    config.model.update({"frames": 4, "image_size": 64, "temporal_points": 2, "remat": "none"})
    config.model.update({"width": 64, "heads": 4, "layers": 3, "drop_path": 0.0})
    config.model.update({"queries": 8, "query_width": 32, "stages": 3, "query_heads": 4})
    config.model.update({"hidden": 64, "spatial_points": 8, "groups": 2})
    config.task.update({"stride": 1, "short_sides": (64,), "test_short_side": 64})
    config.task.update({"evaluation_batch": 16, "threshold": 0.5, "fallback": 0})
    config.task.overlap = 0.5  # two queries may answer for one figure
    # Boxes first: what people do shows within them.
    config.task.update({"action_weight": 12.0, "l1_weight": 4.0, "giou_weight": 4.0})
    config.data.update({"name": "figures", "train": 16384, "validation": 256})
    config.data.update({"height": 64, "width": 64, "motions": True, "people": 2})
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
