"""Recipes of videos with words that fit two cores: videos as folders of pictures, made here."""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data.word_pieces import SPECIAL
from jaxvision.methods.umt.language.variants import text_table
from jaxvision.methods.umt.variants import student_table, teacher_table
from jaxvision.training.config import base_config

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "grey": (90,) * 3}
FRAMES, SIDE, LENGTH = 2, 32, 6


def made(folder: Path, records: int = 8, medium: str = "video") -> Path:
    """An annotation file of records of one colour each, and the vocabulary beside it."""
    rng = np.random.default_rng(0)
    listed = []
    for number in range(records):
        name = list(COLOURS)[number % len(COLOURS)]
        paths = []
        for frame in range(3 if medium == "video" else 1):
            noise = rng.integers(0, 30, (SIDE, SIDE, 3))
            pixels = np.uint8(np.clip(np.array(COLOURS[name]) + noise, 0, 255))
            paths.append(f"{medium}_{number}_{frame}.png")
            Image.fromarray(pixels).save(folder / paths[-1])
        caption = f"a {name} {medium}" if number % 2 else [f"a {name} {medium}", f"{name}!"]
        listed.append({medium: paths if medium == "video" else paths[0], "caption": caption})
    (folder / f"{medium}.json").write_text(json.dumps(listed))
    words = (*SPECIAL, "a", "video", "image", *COLOURS)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder / f"{medium}.json"


def recipe(folder: Path, name: str = "retrieval", **overrides) -> ConfigDict:
    """`folder`: of `made`."""
    config = base_config()
    config.method = "umt"
    config.model = ConfigDict(student_table("b"))
    config.model.update({"frames": FRAMES, "image_size": (SIDE, SIDE), "patch": 8})
    config.model.update({"width": 32, "heads": 2, "depth": 2})
    config.language = ConfigDict(text_table("b"))
    config.language.update({"vocabulary": len(SPECIAL) + 3 + len(COLOURS), "positions": 8})
    config.language.update({"width": 24, "heads": 2, "hidden": 48, "shared_width": 16})
    config.language.update({"text_layers": 1, "fusion_layers": 1})
    config.teacher = ConfigDict(teacher_table("b16"))
    config.teacher.update({"image_size": (28, 28), "patch": 7, "width": 24, "heads": 2})
    config.teacher.update({"depth": 2, "output_width": 16, "returned_layers": 1})
    weights = {"vtc": 1.0, "vtm": 1.0, "mlm": 1.0, "uta": 1.0}
    config.task = ConfigDict(
        {
            "name": name,
            "text_length": LENGTH,
            "flip": True,
            "loss_weights": weights,
            "test_frames": FRAMES,
            "reranked": 3,
            "video_mask_ratio": 0.5,
            "image_mask_ratio": 0.5,
            "word_mask_ratio": 0.5,
        }
    )
    video = folder / "video.json"
    config.data.update(
        {
            "vocabulary": str(folder / "vocab.txt"),
            "root": str(folder),
            "train": str(video),
            "pictures": "",
            "validation": str(video),
            "paragraphs": False,
            "many_videos_a_text": False,
            "seconds": 0.0,
            "query": "",
            "answers": "",
        }
    )
    config.dtype = config.frozen.dtype = "float32"
    config.train.batch_size, config.train.epochs, config.train.steps = 4, 0.0, 3
    config.optim.learning_rate = ConfigDict({"name": "constant", "value": 1e-3})
    config.log.every_steps = 1
    config.mesh.data = 1
    with config.unlocked():
        config.update_from_flattened_dict(overrides)
    return config


def with_questions(folder: Path, config: ConfigDict, records: int = 8) -> ConfigDict:
    """Made into a recipe of questions about the colours of `made`'s videos. One annotator of three
    says "grey" of each."""
    listed = json.loads((folder / "video.json").read_text())[:records]
    colours = [list(COLOURS)[number % len(COLOURS)] for number in range(records)]
    for name, given in (("train", ["{}", "{}", "grey"]), ("validation", ["{}"])):
        questions = [
            {
                "video": record["video"],
                "question": "a video?",
                "answer": [answer.format(colour) for answer in given],
            }
            for record, colour in zip(listed, colours, strict=True)
        ]
        file = folder / f"questions_{name}.json"
        file.write_text(json.dumps(questions))
        config.data[name] = str(file)
    (folder / "answers.json").write_text(json.dumps(list(COLOURS)))
    config.data.answers = str(folder / "answers.json")
    config.task.answer_length = 3
    return config


def with_choices(folder: Path, config: ConfigDict, records: int = 8) -> ConfigDict:
    """Validated by captions to choose from."""
    listed = json.loads((folder / "video.json").read_text())[:records]
    options = [f"a {colour} video" for colour in COLOURS]
    choices = [
        {"video": record["video"], "caption": options, "answer": number % len(COLOURS)}
        for number, record in enumerate(listed)
    ]
    (folder / "choices.json").write_text(json.dumps(choices))
    config.data.validation = str(folder / "choices.json")
    return config
