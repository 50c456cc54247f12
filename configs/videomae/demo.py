"""VideoMAE V2 pretraining in miniature: real photographs under a moving camera, on a laptop CPU.

    jaxvision demo
    jaxvision train --config videomae/demo --workdir runs/demo

Tubes of 4 x 4 pixels hide half of each clip, and all that is hidden is decoded: an easier task than
the published one, which a demo's steps do not learn. Pixels are normalised by the clip's visible
ones (task.normalise_clip), so that a network that has learnt nothing answers the mean colour.

Measured with seed 0 on two machines of two CPU cores each, on photographs never trained on: hidden
cubes at 20.3 and 20.2 dB, the mean visible colour 18.2 dB, the nearest visible cubes 19.2 dB. A
linear probe names 55.6 and 53.8 % of the kinds of camera motion from the frozen features, 52.2 %
from those of the untrained network, which 320 clips cannot tell apart: the network fills holes from
their neighbours, and does not follow the motion yet. 4 to 7 minutes of processor time. What else
was tried: docs/performance.md. Your own pictures: --config.data.root=FOLDER.
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "videomae"
    config.model = ConfigDict(
        {
            "frames": 8,
            "image_size": (32, 32),
            "tubelet": 8,
            "patch": 4,
            "width": 96,
            "heads": 4,
            "depth": 3,
            "decoder_width": 64,
            "decoder_heads": 4,
            "decoder_depth": 2,
            "mlp_ratio": 4.0,
            "qkv_bias": True,
            "layer_scale": 0.0,
            "cosine_attention": True,
            "drop_path": 0.0,
            "remat": "full",
        }
    )
    config.task = ConfigDict(
        {
            "name": "reconstruction",
            "encoder_mask": "tube",
            "encoder_mask_ratio": 0.5,
            "decoder_mask_ratio": 0.0,
            "normalise_target": False,
            "normalise_clip": True,
            "probe": True,
            "crops_per_clip": 1,
        }
    )
    config.data.update({"name": "camera", "root": "", "clips": 4096, "speed": 0.6})
    config.data.reach = (0.04, 0.12)
    config.train.steps = 3000
    config.train.batch_size = 8
    config.optim.b2 = 0.99
    config.optim.clip_norm = 10.0
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 2e-3, "end": 1e-5, "warmup_steps": 50}
    )
    config.optim.weight_decay.value = 0.0
    config.checkpoint.every_steps = 500
    config.checkpoint.keep = 2
    config.evaluate.every_steps = 3000
    config.log.every_steps = 250
    config.log.pictures_every_steps = 3000
    return config
