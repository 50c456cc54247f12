"""A stage-1 recipe that fits two cores: built-in photographs, a teacher drawn at random."""

from ml_collections import ConfigDict

from jaxvision.methods.umt.recipes import pretraining

WIDTH, FRAMES, SIDE = 32, 4, 32


def stage1(**overrides) -> ConfigDict:
    config = pretraining("b", gpus=1, clips=8)
    config.dtype, config.frozen.dtype = "float32", "float32"
    config.model.update({"frames": FRAMES, "image_size": (SIDE, SIDE), "patch": 8})
    config.model.update({"width": WIDTH, "heads": 2, "depth": 3, "drop_path": 0.1})
    config.teacher.update({"image_size": (28, 28), "patch": 7, "width": 24, "heads": 2})
    config.teacher.update({"depth": 3, "output_width": 16, "returned_layers": 2})
    config.task.mask_ratio = 0.5
    config.data.update({"name": "camera", "clips": 64, "speed": 1.0, "reach": (0.5, 1.0)})
    config.init = ()
    config.train.epochs, config.train.steps = 0.0, 4
    config.optim.learning_rate = ConfigDict({"name": "constant", "value": 1e-3})
    config.optim.batch_scaling = 0
    config.log.every_steps = 1
    config.mesh.data = 1
    with config.unlocked():
        config.update_from_flattened_dict(overrides)
    return config
