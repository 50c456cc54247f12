"""Pretraining on lists of real video files and frame folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.video_list import read_unlabelled_list
from jaxvision.errors import InputError
from jaxvision.methods.videomae.inputs import STRIDES, TEMPLATES, by_path
from jaxvision.methods.videomae.task import make_task
from jaxvision.training.config import load_config

VIDEOS = Path(__file__).parents[2] / "goldens" / "videos"


def small(path, **changes):
    config = load_config("videomae/vit_b_hybrid_pretrain", [f"data.list={path}"])
    with config.unlocked():
        config.model.update({"frames": 4, "image_size": (32, 32), "patch": 8})
        config.train.batch_size = 2
        config.update_from_flattened_dict(changes)
    return config


def test_clips_of_videos_and_frame_folders(tmp_path):
    folder = tmp_path / "AVA2.2 clips"
    folder.mkdir()
    for number in range(5, 30):
        Image.new("RGB", (64, 48), (number, number, number)).save(folder / f"image_{number:06}.jpg")
    path = tmp_path / "list.txt"
    path.write_text(f"{VIDEOS / 'h264_bframes.mp4'} 0 -1\n{folder} 5 25\n")
    config = small(path)
    task = make_task(config)
    (specs,) = task.batch_specs("train").values()
    assert specs["video"].shape == (8, 4, 32, 32, 3)
    source = task.source("train")
    batches = TrainingBatches({"clips": source}, Schedule.single("clips", 3), 0)
    for step in range(3):
        batch = batches[step]
        assert batch.arrays["video"].shape == specs["video"].shape
        assert not batch.replaced
        # Four crops of each clip are neighbours; the grey of a picture file is its number.
        place = 4 * batch.names.index(str(folder))
        greys = batch.arrays["video"][place : place + 4, :, 0, 0, 0].astype(int)
        assert (greys == greys[:1]).all()
        assert (np.diff(greys[0]) == 4).all()


def test_data_sets_are_told_by_their_path():
    assert by_path("data/SomethingV2/1", STRIDES, 4) == 2
    assert by_path("data/Kinetics/1", STRIDES, 4) == 4
    assert by_path("AVA2.2/1", TEMPLATES, "x") == "image_{:06}.jpg"


def test_wrong_lines_are_named(tmp_path):
    path = tmp_path / "list.txt"
    for text, why in [
        ("a.mp4", "list.txt:1: 'a.mp4': expected 'PATH START FRAMES'"),
        ("a.mp4 0 -1\nb.mp4 0 x", "list.txt:2"),
        ("folder 1 0", "0 frames"),
        ("\n", "an empty list"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError) as raised:
            read_unlabelled_list(path, "", lambda _: "")
        assert why in str(raised.value)
    with pytest.raises(InputError, match=r"data\.list"):
        make_task(small("")).source("train")


@pytest.mark.parametrize(("size", "batch"), [("b", 1024), ("l", 1536), ("h", 2048), ("g", 2048)])
def test_published_pretraining_recipes(size, batch):
    config = load_config(f"videomae/vit_{size}_hybrid_pretrain")
    task = make_task(config)
    assert config.train.batch_size == batch
    assert task.rows == 4 * batch
    assert task.visible_count == (208 if size == "g" else 160)
    assert task.model.decoder_depth == 4
