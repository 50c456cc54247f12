"""CamLiRAFT in miniature: photographs on planes that move rigidly, on a CPU.

    jaxvision train --config camliflow/demo --workdir runs/camliflow

Flow, depth, scene flow and occlusion are exact. The evaluation `planes` prints the errors on
photographs never trained on beside those of no motion (`*_zero`). Your own pictures:
--config.data.root=FOLDER.

One plane moves before a wall that moves, too. Measured on two CPU cores (19 CPU minutes, of which
2 compile; seed 0): 4.58 px where no motion has 10.50, and 1.47 m where it has 3.30. Halfway through
the steps it is 5.06 px and 1.61 m. What it takes: kernels twice PyTorch's (`model.gain`; with
PyTorch's own and without changed colours, 1,000 steps end at 5.77 px and 2.19 m), the published
changes of colours (`task.jitter`; without, 1,000 steps end at 5.25 px and 1.51 m, 3.25 px on the
twelve photographs trained on), and a wall of which each pair shows another part.

A network of 401,000 parameters. Begun with ResNets of chance whose norms never change it stays at
no motion for hundreds of steps; so `encoder_norms` and `centred`. Branches exchange their motion
alone (`fusions`): what else the published network exchanges it learns more slowly.
"""

from ml_collections import ConfigDict

from jaxvision.methods.camliflow.recipes import benchmarks, fused, things


def get_config() -> ConfigDict:
    config = fused(things("camliraft", epochs=0, batch=8, peak=2e-3, clip=1.0), 3e-3, 0)
    config.model.update({"training_iterations": 3, "iterations": 4, "lookup": "volume"})
    config.model.update({"width": 32, "blocks": (1, 1), "levels": 2, "radius": 3})
    config.model.update(
        {"encoder_norms": True, "centred": True, "fusions": ("motion",), "gain": 2.0}
    )
    config.model.pyramid = (96, 64, 32, 24, 16)
    config.task.benchmarks = ConfigDict(benchmarks("camliraft"))
    config.task.update({"evaluation_batch": 8})
    config.task.predict.points = 192
    config.data.update({"name": "planes", "root": "", "size": (96, 96), "points": 192})
    config.data.update({"pairs": 4096, "planes": 1, "speed": 4.0})
    config.train.update({"epochs": 0.0, "steps": 1400, "loss_groups": 1})
    config.optim.packed = True  # of 250 small parameters: a smaller program
    config.quick_compilation = True
    for rate in (config.optim.learning_rate, config.optim.schedules.points):
        del rate.warmup_epochs
        rate.update({"clock": "step", "warmup_steps": 30})
    config.evaluate.update({"every_epochs": 0.0, "every_steps": 350})
    config.checkpoint.update({"best": "", "every_steps": 100})
    config.log.update({"every_steps": 20, "pictures_every_steps": 700})
    return config
