"""UMT in miniature: shapes that move over photographs, and sentences about them, on a laptop CPU.

    jaxvision train --config umt/demo:stage=teacher --workdir runs/shapes1
    jaxvision train --config umt/demo:stage=stage1,start=runs/shapes1 --workdir runs/shapes2
    jaxvision train --config umt/demo:stage=retrieval,start=runs/shapes2,words=runs/shapes1 \\
        --workdir runs/shapes3

Measured once, on two busy CPU cores (7, 5 and 10 minutes): a probe of stage 1's features names
50.4 % of held-out shapes, of a random start's 32.1 % (chance 2.1); the first of 64 clips found is
right for 20.3 % of sentences, the first sentence for 21.9 % of clips (chance 1.6). That is what
colour and size tell: shape and motion are hardly told apart after so few steps (the contrast's loss
is 1.03, colour and size alone reach 0.98). With the 16 best ranked again it is 20.3 and 7.8 %:
matching learns from hard negatives, which share colour and size (its loss is 0.63, chance 0.64).
"""

from ml_collections import ConfigDict

from jaxvision.data.moving_shapes import WORDS
from jaxvision.data.word_pieces import SPECIAL
from jaxvision.errors import InputError, nearest
from jaxvision.methods.umt.language.variants import text_table
from jaxvision.methods.umt.variants import student_table, teacher_table
from jaxvision.training.config import base_config, recipe_arguments

STEPS = {"teacher": 800, "stage1": 400, "retrieval": 400}
RATES = {"teacher": 2e-3, "stage1": 1.5e-3, "retrieval": 4e-4}


def get_config(arguments: str = "") -> ConfigDict:
    chosen = recipe_arguments(arguments, stage="stage1", start="", words="")
    if chosen.stage not in STEPS:
        raise InputError(f"recipe argument 'stage': {chosen.stage!r}{nearest(chosen.stage, STEPS)}")
    config = base_config()
    config.method = "umt"
    side = {"image_size": (36, 36), "patch": 6}
    config.model = ConfigDict(student_table("b"))
    config.model.update({"frames": 4, "width": 64, "heads": 4, "depth": 3, **side})
    config.teacher = ConfigDict(teacher_table("b16"))
    config.teacher.update({"width": 64, "heads": 4, "depth": 4, "output_width": 64, **side})
    config.teacher.returned_layers = 3
    config.task = ConfigDict({"name": chosen.stage})
    with config.ignore_type():  # counts of made-up clips, not files
        config.data.update({"name": "shapes", "clips": 4096})
    if chosen.stage == "stage1":
        config.task.update({"mask_ratio": 0.75, "loss": "l2", "spare_teacher": True})
        if chosen.start:
            config.init = ({"from": chosen.start, "drop": (r"^params/(text|temperature)",)},)
    else:
        config.language = ConfigDict(text_table("b"))
        config.language.update(
            {
                "vocabulary": len(SPECIAL) + len(WORDS),
                "positions": 8,
                "width": 64,
                "heads": 4,
                "hidden": 128,
                "text_layers": 2,
                "fusion_layers": 2,
                "dropout": 0.0,
                "attention_dropout": 0.0,
                "shared_width": 64,
            }
        )
        config.task.text_length = 8
    if chosen.stage == "retrieval":
        del config["teacher"]
        with config.ignore_type():
            config.data.update({"train": 4096, "validation": 64})
        config.data.update({"paragraphs": False, "many_videos_a_text": True})
        config.data.update({"seconds": 0.0, "query": ""})
        config.task.update({"flip": False, "loss_weights": {"vtc": 1.0, "vtm": 1.0}})
        config.model.frames = 2  # a clip's beginning and end show where to and how fast
        config.task.update({"test_frames": 2, "reranked": 16})
        if chosen.start:
            config.init = (
                {"from": chosen.start, "to": "vision", "drop": (r"^heads/", r"^teacher/")},
            )
        if chosen.words:
            drop = (r"^params/(teacher/|temperature)",)
            config.init = (*config.init, {"from": chosen.words, "drop": drop})
    config.train.batch_size = 64 if chosen.stage == "teacher" else 32
    config.train.steps = STEPS[chosen.stage]
    config.optim.b2 = 0.98
    config.optim.clip_norm = 1.0
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": RATES[chosen.stage], "end": 1e-5, "warmup_steps": 40}
    )
    config.optim.weight_decay.value = 0.02
    config.evaluate.every_steps = 0
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 2
    config.log.every_steps = 20
    return config
