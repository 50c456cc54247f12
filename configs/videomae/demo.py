"""VideoMAE V2 pretraining in miniature: real photographs under a moving camera, on a laptop CPU.

    jaxvision demo
    jaxvision train --config videomae/demo --workdir runs/demo

Tubes hide 75 % of the cubes from the encoder, a running cell leaves half of all cubes to decode.
The target is raw pixels, not the published per-cube normalised ones (task.normalise_target), which
need far more steps than a demo has before they show. A linear probe then names the kind of camera
motion from the frozen features, on photographs never trained on: on two cores 0.53 where chance is
0.2. That says the features hold motion, not that pretraining put it there: so short a run scores
no better than the untrained network. Your own pictures: --config.data.root=FOLDER.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "videomae"
    config.model = ConfigDict(
        {
            "frames": 8,
            "image_size": (48, 48),
            "tubelet": 2,
            "patch": 8,
            "width": 128,
            "heads": 4,
            "depth": 4,
            "decoder_width": 64,
            "decoder_heads": 2,
            "decoder_depth": 2,
            "mlp_ratio": 4.0,
            "qkv_bias": True,
            "layer_scale": 0.0,
            "cosine_attention": False,
            "drop_path": 0.0,
            "remat": "none",
        }
    )
    config.task = ConfigDict(
        {
            "name": "reconstruction",
            "encoder_mask": "tube",
            "encoder_mask_ratio": 0.75,
            "decoder_mask_ratio": 0.5,
            "normalise_target": False,
            "probe": True,
            "crops_per_clip": 1,
        }
    )
    config.data.update({"name": "camera", "root": "", "clips": 4096, "speed": 1.0})
    config.data.reach = (0.5, 1.0)
    config.train.steps = 800
    config.train.batch_size = 32
    config.optim.b2 = 0.95
    config.optim.clip_norm = 1.0
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1e-3, "end": 1e-5, "warmup_steps": 100}
    )
    config.optim.weight_decay.value = 0.05
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 2
    config.evaluate.every_steps = 400
    config.log.every_steps = 50
    config.log.pictures_every_steps = 400
    return config
