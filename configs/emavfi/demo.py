"""EMA-VFI in miniature: real photographs under a moving camera, on a laptop CPU in minutes.

    jaxvision train --config emavfi/demo --workdir runs/emavfi

The in-between frame is known, at any time. The evaluation `camera` prints the PSNR on photographs
never trained on beside those of blending both frames and of repeating the nearer one. Measured once
on two busy CPU cores (12 minutes of processor time): 24.98 dB, blend 22.94, nearer frame 21.46.
Your own pictures: --config.data.root=FOLDER.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "emavfi"
    config.model = ConfigDict(
        {
            "width": 4,
            "window": 7,
            "depths": (1, 1, 1, 2, 2),
            "mlp_ratio": 4.0,
            "unet_ratio": 1,  # most of the weights are in the refinement
            "remat": False,
            "any_time": True,
        }
    )
    config.task = ConfigDict(
        {
            "name": "interpolation",
            "merged_weight": 0.5,
            "augment": False,
            "down_scale": 1.0,
            "evaluation_batch": 1,
            "benchmarks": {},
            "predict": {
                "times": (),  # between two pictures; empty: by the multiple
                "multiple": 2,  # of a video's or a folder's frames
                "rate": 0.0,  # or a video's target rate, frames a second
                "cut": 0.5,  # share of colours that change at a scene cut; 0 finds none
                "longest_gap": 0.0,  # seconds that are left empty; 0 fills all
                "tile": 0,  # refine parts of this side, for large frames
                "segment": 64,  # frames a job that is stopped may lose
            },
        }
    )
    config.data.update(
        {"name": "camera", "root": "", "crops": ((64, 64),), "clips": 65536, "speed": 0.15}
    )
    config.train.steps = 1600
    config.train.batch_size = 8
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2e-3, "end": 1e-5, "warmup_steps": 50}
    )
    config.optim.weight_decay.value = 1e-4
    config.optim.clip_norm = 1.0
    config.checkpoint.every_steps = 250
    config.checkpoint.keep = 2
    config.evaluate.every_steps = 800
    config.log.every_steps = 50
    config.log.pictures_every_steps = 800
    return config
