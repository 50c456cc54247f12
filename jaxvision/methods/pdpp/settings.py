"""What each setting of PDPP's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.training.sizes import Sizes

SETTINGS = {
    "model.classes": "tasks of the data set; 0 = as many as its labels name",
    "model.actions": "of the data set; 0 = as many as its labels name",
    "model.width": "channels of the U-Net's first level",
    "model.multipliers": "channels of each level as multiples of the width",
    "task.name": "planner, or classifier (of tasks, alone)",
    "task.classifier": "where the task comes from: joint (trained beside), frozen (loaded) or none",
    "task.classifier_rate": "learning rate of a joint classifier as a multiple of the planner's",
    "task.baseline": "noise or deterministic instead of diffusion; empty = none",
    "task.diffusion_steps": "of training",
    "task.sampler": "ddim or ddpm",
    "task.sampling_steps": "of ddim",
    "task.eta": "share of fresh noise in a step of ddim",
    "task.evaluation_batch": "windows at a time",
    "task.compare": "evaluate retrieved and random plans, too",
    "task.uncertainty_samples": "plans of each window to compare with all true ones; 0 = none",
    "task.uncertainty_batch": "windows at a time with that many samples",
    "task.prediction_samples": "plans of each window that predict draws",
    "data.name": "crosstask_how, crosstask_base, coin, niv, plain (one's own) or generated",
    "data.root": "folder of the data set",
    "data.horizon": "actions of a plan",
    "data.channels": "of a second's features",
    "data.train_videos": "made up to train on",
    "data.test_videos": "made up to test on",
    "data.world.tasks": "of made-up videos",
    "data.world.actions": "of made-up videos",
    "data.world.steps": "actions of a task",
    "data.world.variant": "how strongly a variant of a task shows, in units of an action",
    "data.world.look": "how strongly a video's look shows, in units of an action",
    "data.world.noise": "deviation per channel and second",
    "data.world.seed": "of orders and looks",
}

SIZES = Sizes(
    least={
        "model.classes": 0,
        "model.actions": 0,
        "task.uncertainty_samples": 0,
        "data.world.seed": 0,
    },
)
