"""A tfds dataset of videos is read, and trained on, without TensorFlow."""

import io
import pickle
import sys

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.tfds import TfdsRecords, TfdsVideos
from jaxvision.errors import InputError
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.training.loop import train

SMALL = [
    "model.frames=4",
    "model.image_size=(16,16)",
    "model.patch=8",
    "model.width=32",
    "model.heads=2",
    "model.depth=1",
    "dtype=float32",
    "init=()",
    "train.batch_size=2",
    "train.draw_groups=1",
    "train.epochs=0.0",
    "train.steps=1",
    "data.name=tfds",
    "data.train=bright_clips:train[:4]",
    "data.validation=bright_clips:1.0.0:train[4:]",
]


def picture(level: int) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(np.full((20, 24, 3), level, np.uint8)).save(stream, format="PNG")
    stream.seek(0)
    return stream


class BrightClips(tfds.core.GeneratorBasedBuilder):
    """Clip n has 6 + n frames; frame t is 10n + t bright."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # what tfds would find by this module's name has a dependency of its own

    def _info(self):
        image = tfds.features.Image(shape=(20, 24, 3), encoding_format="png")
        label = tfds.features.ClassLabel(names=["even", "odd"])
        features = {"video": tfds.features.Sequence(image), "label": label, "id": np.int64}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, download_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(6):
            frames = [picture(10 * number + time) for time in range(6 + number)]
            yield number, {"video": frames, "label": number % 2, "id": number}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    BrightClips(data_dir=folder, file_format="array_record").download_and_prepare()
    return str(folder)


@pytest.mark.xdist_group("tfds")
def test_examples_by_number(folder):
    records = pickle.loads(pickle.dumps(TfdsRecords("bright_clips", "train", folder)))
    assert len(records) == 6
    found = {int(records[index]["id"]): records[index] for index in range(6)}
    for number, example in found.items():
        assert example["label"] == number % 2
        frames = np.stack(list(example["video"]))
        assert frames.shape == (6 + number, 20, 24, 3)
        assert np.array_equal(frames[:, 0, 0, 0], 10 * number + np.arange(6 + number))
    assert records.name(3) == "bright_clips train 3"
    assert "tensorflow" not in sys.modules


@pytest.mark.xdist_group("tfds")
def test_videos_decode_only_what_is_asked_for(folder):
    videos = TfdsVideos.of("bright_clips:train[2:5]", folder)
    assert len(videos) == 3
    assert videos.class_names == ("even", "odd")
    with videos[0].open() as video:
        number = len(video) - 6
        frames = video.frames([5, 0, 5])
        assert np.array_equal(frames[:, 0, 0, 0], 10 * number + np.array([5, 0, 5]))
        assert videos[0].label == number % 2
        with pytest.raises(InputError, match=rf"\[2:5\] 0: no frame {len(video)} among"):
            video.frames([len(video)])


@pytest.mark.xdist_group("tfds")
def test_fine_tuning_on_it(folder, tmp_path):
    settings = [*SMALL, f"data.root={folder}"]
    config = load_config("videomae/vit_b_k400_finetune", settings)
    task = make_task(config)
    batch = TrainingBatches({"clips": task.source("train")}, Schedule.single("clips", 1), 0)[0]
    assert batch.arrays["video"].shape == (4, 4, 16, 16, 3)
    assert not batch.replaced
    results = train(task, config, tmp_path, None, jax.devices()[:2])
    assert task.class_names == ("even", "odd")
    assert 0 <= results["validation/top1"] <= 1


@pytest.mark.xdist_group("tfds")
def test_what_cannot_be_is_one_line(folder, tmp_path):
    def refused(match, *settings):
        task = make_task(
            load_config("videomae/vit_b_k400_finetune", [*SMALL, f"data.root={folder}", *settings])
        )
        with pytest.raises(InputError, match=match) as raised:
            task.source("train")
        assert "\n" not in str(raised.value)

    refused("Unknown split 'trian'", "data.train=bright_clips:trian")
    refused(r"'bright_clips': expected DATASET:SPLIT", "data.train=bright_clips")
    refused("Dataset no_clips not found", "data.train=no_clips:train")
    refused(
        "data.name 'tdfs'; did you mean 'tfds'",
        "data.name=tdfs",
        "data.labels=" + str(labels(tmp_path, 2)),
    )
    refused("3 names for the 2 classes", "data.labels=" + str(labels(tmp_path, 3)))


def labels(folder, count):
    path = folder / f"{count}.txt"
    path.write_text("".join(f"class {number}\n" for number in range(count)))
    return path
