"""CamLiRAFT in miniature: photographs on planes that move rigidly, on a CPU.

    jaxvision train --config camliflow/demo --workdir runs/camliflow

Flow, depth, scene flow and occlusion are exact. The evaluation `planes` prints the errors on
photographs never trained on beside those of no motion (`*_zero`). Your own pictures:
--config.data.root=FOLDER.

One plane moves before a wall that moves, too. Measured on two busy CPU cores (13 CPU minutes, of
which 3 compile; seed 0): 8.06 px where no motion has 10.33, and 2.48 m where it has 3.36. That is a
fifth and a quarter off in 500 steps; on the photographs that it trains on its errors were still
falling, at 6.6 px and 2.1 m. With four planes (`data.planes`), 450 steps
and kernels 2.4 times PyTorch's (`model.gain`) it was 8.45 of 10.06 px and 2.38 of 2.97 m.

A network of 456,000 parameters. Begun with ResNets of chance whose norms never change it stays at
no motion for hundreds of steps; so `encoder_norms` and `centred`. Branches exchange features after
their correlation alone (`fuse_features`).
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import benchmarks, fused, things


def get_config() -> ConfigDict:
    config = fused(things("camliraft", epochs=0, batch=8, peak=2e-3, clip=1.0), 3e-3, 0)
    config.model.update({"training_iterations": 3, "iterations": 4, "lookup": "volume"})
    config.model.update({"width": 32, "blocks": (1, 1), "levels": 2, "radius": 3})
    config.model.update({"encoder_norms": True, "centred": True, "fuse_features": False})
    config.model.pyramid = (96, 64, 32, 24, 16)
    config.task.update({"jitter": (0.0, 0.0, 0.0, 0.0), "benchmarks": benchmarks("camliraft")})
    config.task.update({"evaluation_batch": 8})
    config.task.predict.points = 192
    config.data.update({"name": "planes", "root": "", "size": (96, 96), "points": 192})
    config.data.update({"pairs": 4096, "planes": 1, "speed": 4.0})
    config.train.update({"epochs": 0.0, "steps": 500, "loss_groups": 1})
    config.optim.packed = True  # of 250 small parameters: a smaller program
    config.quick_compilation = True
    for rate in (config.optim.learning_rate, config.optim.schedules.points):
        del rate.warmup_epochs
        rate.update({"clock": "step", "warmup_steps": 30})
    config.evaluate.update({"every_epochs": 0.0, "every_steps": 0})
    config.checkpoint.update({"best": "", "every_steps": 100})
    config.log.update({"every_steps": 20, "pictures_every_steps": 500})
    return config
