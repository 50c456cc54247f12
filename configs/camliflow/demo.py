"""CamLiPWC in miniature: photographs on planes that move rigidly, on a CPU.

    jaxvision train --config camliflow/demo --workdir runs/camliflow

Flow, depth, scene flow and occlusion are exact. The evaluation `planes` prints the errors on
photographs never trained on beside those of no motion (`*_zero`). Your own pictures:
--config.data.root=FOLDER.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import benchmarks, fused, things


def get_config() -> ConfigDict:
    config = fused(things("camlipwc", epochs=0, batch=4, peak=5e-4, clip=20.0), 1e-3, 0)
    config.model.update({"lite": True, "pyramid": (128, 64, 32, 24, 16)})
    config.task.update({"jitter": (0.0, 0.0, 0.0, 0.0), "benchmarks": benchmarks("camlipwc")})
    config.task.predict.points = 256
    config.data.update({"name": "planes", "root": "", "size": (64, 64), "points": 256})
    config.data.update({"pairs": 4096, "speed": 2.0})
    config.train.update({"epochs": 0.0, "steps": 400, "loss_groups": 1})
    config.optim.packed = True  # of 530 small parameters: a smaller program
    for rate in (config.optim.learning_rate, config.optim.schedules.points):
        rate.update({"clock": "step", "warmup_epochs": 0})
    config.evaluate.update({"every_epochs": 0.0, "every_steps": 0})
    config.checkpoint.update({"best": "", "every_steps": 200})
    config.log.update({"every_steps": 20, "pictures_every_steps": 200})
    return config
