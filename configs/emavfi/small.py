"""EMA-VFI small at t = 0.5 on Vimeo90K triplets, as published (2303.00440, section 4.1).

    jaxvision train --config emavfi/small --workdir runs/small --config.data.root=vimeo_triplet

Published after 300 epochs: 36.07 dB / 0.9797 on the Vimeo90K test list (the authors' number).
"""

from ml_collections import ConfigDict

from jaxvision.training.config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.method = "emavfi"
    config.model = ConfigDict(
        {
            "width": 16,
            "window": 7,
            "depths": (2, 2, 2, 2, 2),
            "mlp_ratio": 4.0,
            "unet_ratio": 2,
            "remat": False,
            "any_time": False,
        }
    )
    config.task = ConfigDict(
        {
            "name": "interpolation",
            "merged_weight": 0.5,
            "augment": False,
            "down_scale": 1.0,
            "evaluation_batch": 8,
            "benchmarks": {  # folders of the sets at hand
                "vimeo90k": "",
                "ucf101": "",
                "snu_film_easy": "",
                "snu_film_medium": "",
                "snu_film_hard": "",
                "snu_film_extreme": "",
                "xiph_2k": "",
                "xiph_4k": "",
                "xtest_2k": "",
                "xtest_4k": "",
                "middlebury": "",
                "hd_544p": "",
                "hd_720p": "",
                "hd_1080p": "",
            },
            "predict": {
                "times": (),
                "multiple": 2,
                "rate": 0.0,
                "cut": 0.5,
                "longest_gap": 0.0,
                "tile": 0,
                "segment": 64,
            },
        }
    )
    config.data.update({"name": "vimeo_triplets", "root": "vimeo_triplet", "crops": ((256, 256),)})
    config.train.epochs = 300.0
    config.train.batch_size = 32
    config.seed = 1234
    config.optim.learning_rate = ConfigDict(
        {
            "name": "cosine",
            "peak": 2e-4,
            "end": 2e-5,
            "warmup_steps": 2000,
            "inclusive_warmup": False,
        }
    )
    config.optim.weight_decay.value = 1e-4
    config.checkpoint.every_steps = 1603
    config.evaluate.every_steps = 3 * 1603
    config.log.every_steps = 50
    config.log.pictures_every_steps = 1603
    return config
