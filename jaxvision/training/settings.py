"""Every setting of the engine: its default, and what it is.

Methods add theirs under `model`, `data` and `task`, and describe them in `SETTINGS` of
`jaxvision/methods/<method>/settings.py`. A line at a table speaks for all settings in it.
"""

from typing import Any

SETTINGS: dict[str, tuple[Any, str]] = {
    "method": ("", "a method's folder in jaxvision/methods"),
    "seed": (0, "of parameters, of the data's order and of every draw"),
    "dtype": ("float32", "of activations (or bfloat16); parameters are float32 always"),
    "data.workers": (0, "processes that prepare batches; 0 = threads in this one"),
    "data.threads": (1, "of each process that prepares batches"),
    "data.patience": (900.0, "seconds for a batch to come before the run ends; 0 = for ever"),
    "data.max_unreadable": (0.01, "share of records that may fail before the run stops"),
    "train.steps": (0, "optimizer steps; or train.epochs"),
    "train.epochs": (0.0, "passes over the data; or train.steps"),
    "train.batch_size": (0, "records a step, over all devices and micro-batches"),
    "train.accumulate": (1, "micro-batches a step"),
    "train.draw_groups": (1, "groups of a batch that share one draw (mixup, modality)"),
    "train.norm_groups": (1, "groups of a batch with batch-norm statistics of their own"),
    "train.loss_groups": (1, "groups of a batch whose losses are averaged, each a mean or a sum"),
    "train.max_not_finite": (10, "dropped updates before the run stops"),
    "optim.name": ("adamw", "adamw, adam or sgd"),
    "optim.learning_rate": (
        {"name": "constant", "value": 1e-3},
        "a schedule by name, and its numbers: see training/schedules.py",
    ),
    "optim.schedules": ({}, "{name: a learning rate for the groups of parameters that name it}"),
    "optim.weight_decay": (
        {"name": "constant", "value": 0.0},
        "a schedule by name, and its numbers; adam and sgd add the decay to the gradient",
    ),
    "optim.b1_schedule": ({}, "a schedule by name, and its numbers, instead of b1"),
    "optim.b1": (0.9, "decay of the mean of gradients"),
    "optim.b2": (0.999, "decay of the mean of squared gradients"),
    "optim.eps": (1e-8, "added to the root of that mean"),
    "optim.momentum": (0.9, "of sgd"),
    "optim.nesterov": (False, "whether sgd looks ahead"),
    "optim.clip_norm": (0.0, "of the global gradient; 0 = none"),
    "optim.packed": (
        False,
        "moments of parameters as a few vectors, a smaller program where many are small; whole on "
        "every device",
    ),
    "optim.batch_scaling": (0, "learning rates are per this many records; 0 = as given"),
    "ema.decay": (0.0, "of the average of parameters; 0 = no average"),
    "ema.start_step": (0, "the average is the parameters until then"),
    "ema.interval": (1, "steps from one update of the average to the next"),
    "ema.collections": ((), "averaged beside the parameters"),
    "frozen.prefix": ("", "path that frozen parameters (teachers) begin with; empty = any"),
    "frozen.dtype": ("float32", "of those parameters, or bfloat16"),
    "frozen.sharded": (True, "whether they are split over the mesh; False = whole everywhere"),
    "init": ((), "links of training/initialisation.py, e.g. {'from': 'weights.pth'}"),
    "mesh.data": (-1, "devices among which batches are split; -1 fills"),
    "mesh.fsdp": (1, "devices among which batches and parameters are split"),
    "mesh.tensor": (1, "devices among which heads and hidden widths are split"),
    "checkpoint.every_steps": (1000, "steps from one checkpoint to the next"),
    "checkpoint.every_minutes": (0.0, "the same by the clock, of one process; 0 = by steps alone"),
    "checkpoint.keep": (3, "newest checkpoints that stay"),
    "checkpoint.best": ("", "result of an evaluation whose best checkpoint stays, too"),
    "checkpoint.best_mode": ("max", "max or min"),
    "evaluate.every_steps": (0, "0 = only after the last step"),
    "evaluate.every_epochs": (0.0, "the same in passes over the data; 0 = by steps alone"),
    "evaluate.weights": ("raw", "raw or ema"),
    "evaluate.max_unreadable": (0, "records that an evaluation may leave out, and say so"),
    "log.every_steps": (50, "steps from one line of metrics to the next"),
    "log.pictures_every_steps": (0, "0 = no pictures"),
    "profile.start_step": (0, "first step of the profiler's trace"),
    "profile.steps": (0, "steps that are traced"),
    "debug": (False, "stop at the first NaN"),
    "quick_compilation": (False, "on a CPU: compile in a third of the time to slower programs"),
}
