"""Fine-tuning on real video files, end to end, and its parts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

import media
from jaxvision.data import video_list
from jaxvision.data.augment import random_erasing
from jaxvision.data.augment.rand_augment import OPERATIONS, RandAugment, argument
from jaxvision.data.frame_sequence import FrameFolder
from jaxvision.data.labels import read_labels
from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.mixing import Mix, draw_mix, mix_batch
from jaxvision.data.video import Video
from jaxvision.data.video_clips import FrameSampling, TrainingClips
from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.methods.videomae.distillation import DistillationTask, distillation_loss
from jaxvision.methods.videomae.recipes import finetuning
from jaxvision.methods.videomae.task import make_task
from jaxvision.methods.videomae.temporal_features import window_clip
from jaxvision.training.config import load_config, recipes
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.loop import train
from jaxvision.training.mesh import make_mesh
from jaxvision.weights.mapping import flatten

CLASSES = ("falling", "rising")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return media.bars(tmp_path_factory.mktemp("videos"), around=True, train=24, validation=12)


def small(root, **overrides) -> ConfigDict:
    config = finetuning(
        "s",
        "k400",
        gpus=2,
        clips=4,
        learning_rate=1e-3,
        epochs=1,
        layer_decay=0.9,
        drop_path=0.1,
    )
    config.dtype = "float32"
    config.model.update(
        {"frames": 4, "image_size": (32, 32), "width": 48, "heads": 3, "depth": 2, "patch": 8}
    )
    config.model.init_scale = 1.0
    config.task.update({"stride": 2, "flip": False, "rand_augment": "", "segments": 2})
    config.data.update({"train": str(root / "train"), "validation": str(root / "validation")})
    config.train.epochs, config.train.steps = 0.0, 4
    config.optim.batch_scaling = 0
    config.optim.learning_rate = ConfigDict({"name": "constant", "value": 2e-3})
    with config.unlocked():
        for key, value in overrides.items():
            config.update_from_flattened_dict({key: value})
    return config


def test_a_run_learns_evaluates_and_predicts(videos, tmp_path):
    config = small(
        videos,
        **{
            "train.steps": 120,
            "task.mixup_alpha": 0.0,
            "task.cutmix_alpha": 0.0,
            "task.erase_probability": 0.0,
            "model.drop_path": 0.0,
            "task.test": True,
        },
    )
    task = make_task(config)
    results = train(task, config, tmp_path, None, jax.devices()[:2])
    assert results["validation/top1"] > 0.8
    assert results["test/top1"] > 0.8
    assert results["test/top5"] == 1.0

    task, _, variables = load_run(None, (), tmp_path, None)
    paths = sorted((videos / "validation").rglob("*.mp4"))
    written = task.predict_files(variables, paths, tmp_path)
    answers = json.loads((tmp_path / "predictions.json").read_text())
    right = [answers[str(path)][0]["class"] == path.parent.name for path in paths]
    assert np.mean(right) > 0.8
    assert all(abs(sum(a["probability"] for a in answer) - 1) < 1e-5 for answer in answers.values())
    assert len(written) == len(paths) + 2
    assert all(path.is_file() for path in written)


def test_features_of_every_window(videos, tmp_path):
    config = small(videos, **{"task.features": "thumos14"})
    task = make_task(config)
    variables = nn.unbox(task.init(jax.random.key(0)))
    path = videos / "train" / "rising" / "0.mp4"
    other = tmp_path / "0.mp4"
    other.write_bytes(path.read_bytes())
    first, second = task.predict_files(variables, [path, other], tmp_path)
    assert (first.name, second.name) == ("0.npy", "0_2.npy")
    rows = np.load(first)
    # Windows of 4 frames at 0, 4 and 8 of 12.
    assert rows.shape == (3, 48)
    assert rows.dtype == np.float32
    with Video(path) as video:
        clip = window_clip(video.frames(range(4, 8)), (32, 32))
    alone = jax.jit(lambda v, x: task.model.apply(v, x[None], features=True))(variables, clip)
    np.testing.assert_allclose(rows[1:2], alone, rtol=1e-4, atol=1e-5)
    task = make_task(small(videos, **{"task.features": "thumos"}))
    with pytest.raises(InputError, match="did you mean 'thumos14'"):
        task.predict_files(variables, [path], tmp_path)


def test_views_are_merged_alike_for_any_batch_size(videos):
    results = []
    for size in (3, 8):
        config = small(
            videos, **{"train.batch_size": size, "train.draw_groups": 1, "task.test": True}
        )
        config.mesh.data = 1
        task = make_task(config)
        mesh = make_mesh(config.mesh.to_dict(), jax.devices()[:1])
        variables = nn.unbox(task.init(jax.random.key(0)))
        evaluator = Evaluator(task, mesh)
        evaluator.compile(variables)
        results.append(evaluator.run(variables)[0])
    assert results[0] == results[1]
    assert set(results[0]) == {f"{e}/top{k}" for e in ("validation", "test") for k in (1, 5)}


def test_an_unreadable_video_is_replaced_and_named(videos, tmp_path):
    broken = tmp_path / "train" / "falling" / "broken.mp4"
    for name in CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(8):
            path = videos / "train" / name / f"{number}.mp4"
            (tmp_path / "train" / name / path.name).symlink_to(path)
    broken.write_bytes(b"no video")
    config = small(tmp_path, **{"data.validation": "", "train.batch_size": 16})
    config.data.max_unreadable = 1.0
    task = make_task(config)
    batches = TrainingBatches({"clips": task.source("train")}, Schedule.single("clips", 4), 0)
    seen = [batches[step] for step in range(2)]
    assert all(batch.arrays["video"].shape == (32, 4, 32, 32, 3) for batch in seen)
    replaced = [name for batch in seen for name, _ in batch.replaced]
    assert str(broken) in replaced
    assert str(broken) not in [name for batch in seen for name in batch.names]


def test_repeats_are_crops_of_one_clip_and_neighbours(videos):
    items = video_list.read_class_folders(videos / "train").items
    clips = TrainingClips(FrameSampling("dense", 4, 2), (32, 32), RandAugment(), crops_per_clip=3)
    first = clips(items[0], np.random.default_rng(0), "clips")
    again = clips(items[0], np.random.default_rng(0), "clips")
    assert len(first) == 3
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["video"], other["video"])
    assert not np.array_equal(first[0]["video"], first[1]["video"])
    assert {int(sample["label"]) for sample in first} == {0}


def test_odd_groups_cannot_be_mixed(videos):
    config = small(
        videos, **{"train.batch_size": 3, "train.draw_groups": 3, "task.crops_per_clip": 1}
    )
    with pytest.raises(InputError, match="draw_groups=3 makes groups of 1"):
        make_task(config).batch_specs("train")
    config.task.mixup_alpha = config.task.cutmix_alpha = 0.0
    make_task(config).batch_specs("train")


@pytest.mark.parametrize(
    "name", [name for name in recipes() if "_finetune" in name or "_distill" in name]
)
def test_every_recipe_makes_its_published_task(name, tmp_path):
    config = load_config(name)
    names = {"k400": 400, "k600": 600, "k710": 710, "ssv2": 174, "ucf101": 101, "hmdb51": 51}
    classes = names[name.split("_")[-2]]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {k}" for k in range(classes)))
    task = make_task(load_config(name, [f"data.labels={labels}"]))
    assert task.model.classes == classes
    (specs,) = task.batch_specs("train").values()
    assert specs["video"].shape[0] == 2 * config.train.batch_size
    assert config.train.batch_size % config.train.draw_groups == 0
    assert config.init[-1]["from"].endswith(".pth")


def test_a_student_learns_its_frozen_teacher(videos, tmp_path):
    config = small(videos, **{"train.steps": 3, "data.validation": "", "task.name": "distillation"})
    config.task.update({"temperature": 2.0, "label_weight": 0.25})
    with config.unlocked():
        config.teacher = ConfigDict(config.model.to_dict())
        config.teacher.update({"width": 96, "drop_path": 0.0})
    task = make_task(config)
    assert isinstance(task, DistillationTask)
    teacher = make_task(config).model.clone(block=task.teacher.block)
    weights = nn.unbox(teacher.init(jax.random.key(7), jnp.zeros((1, 4, 32, 32, 3))))
    config.init = ({"from": "teacher", "to": "teacher"},)
    train(task, config, tmp_path, lambda _: weights, jax.devices()[:1])
    found = read_weights(str(tmp_path))["params"]
    jax.tree.map(np.testing.assert_array_equal, found.pop("teacher"), weights["params"])
    start = flatten(nn.unbox(task.init(jax.random.key(0)))["params"])
    assert any(not np.array_equal(value, start[path]) for path, value in flatten(found).items())


def test_distillation_loss_is_a_divergence():
    student, teacher = jax.random.normal(jax.random.key(0), (2, 5, 7))
    np.testing.assert_allclose(distillation_loss(teacher, teacher, 3.0), np.zeros(5), atol=1e-5)
    p, q = (np.asarray(jax.nn.softmax(x / 3)) for x in (teacher, student))
    expected = 9 * np.sum(p * np.log(p / q), axis=-1)
    np.testing.assert_allclose(distillation_loss(student, teacher, 3.0), expected, rtol=1e-4)


# Its parts.


def test_every_group_draws_its_own_mix():
    mix = draw_mix(jax.random.key(1), 64, (8, 8), mixup_alpha=0.8, cutmix_alpha=1.0)
    assert 0.2 < float(jnp.mean(mix.cut)) < 0.8
    assert len(np.unique(mix.ratio)) == 64
    never = draw_mix(
        jax.random.key(1), 8, (8, 8), mixup_alpha=0.8, cutmix_alpha=1.0, probability=0.0
    )
    assert (never.ratio == 1).all()
    assert not never.cut.any()


def test_groups_do_not_mix_with_each_other():
    pictures = jnp.arange(4.0).reshape(4, 1, 1, 1, 1) * jnp.ones((1, 2, 4, 4, 3))
    mix = Mix(jnp.array([0.25, 1.0]), jnp.array([False, False]), jnp.zeros((2, 2), jnp.int32))
    mixed, target, _ = mix_batch(pictures, jnp.arange(4), mix, classes=4, smoothing=0.0)
    np.testing.assert_allclose(mixed[:, 0, 0, 0, 0], [0.75, 0.25, 2, 3])
    np.testing.assert_allclose(target[0], [0.25, 0.75, 0, 0])
    np.testing.assert_allclose(target[3], [0, 0, 0, 1])


def test_erasing_fills_one_box_of_every_frame_with_fresh_noise():
    keys = jax.random.split(jax.random.key(0), 400)
    boxes = random_erasing.draw_boxes(keys, (24, 24), probability=0.25)
    share = np.asarray(boxes[:, 2] * boxes[:, 3]) / 24**2
    assert 0.17 < np.mean(share > 0) < 0.33
    done = share[share > 0]
    assert done.min() > 0.01
    assert done.max() < 0.36
    assert (boxes[:, :2] + boxes[:, 2:] <= 24).all()
    video = jnp.full((1, 3, 24, 24, 3), 9.0)
    erased = random_erasing.erase(video, jnp.array([[2, 3, 10, 12]]), keys[:1])
    changed = np.asarray(erased != video)[0].any(-1)
    assert changed[:, 2:12, 3:15].all()
    assert changed.sum() == 3 * 10 * 12
    assert not np.allclose(erased[0, 0, 2:12, 3:15], erased[0, 1, 2:12, 3:15])


def test_rand_augment_policy_and_draws():
    policy = RandAugment.parse("rand-m7-n4-mstd0.5-inc1")
    assert policy == RandAugment(7.0, 4, 0.5)
    for wrong in ("rand-m7-n4", "rand-m7-x4-inc1", "augmix-m3-inc1"):
        with pytest.raises(InputError, match="policy"):
            RandAugment.parse(wrong)
    rng = np.random.default_rng(0)
    steps = [step for _ in range(500) for step in policy.draw(rng)]
    assert 900 < len(steps) < 1100  # half of 4 a clip
    assert {name for name, _ in steps} == set(OPERATIONS)
    rotations = [value for name, value in steps if name == "Rotate"]
    assert min(rotations) < 0 < max(rotations)
    assert np.mean(np.abs(rotations)) == pytest.approx(21, abs=1)
    assert argument("ColorIncreasing", 10, positive=False) == pytest.approx(0.1)


def test_segments_of_short_videos_and_bad_names():
    sampling = FrameSampling("segments", 8)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(sampling.training(3, rng), [0, 0, 0, 0, 0, 0, 1, 2])
    assert sampling.training(80, rng).max() < 80
    with pytest.raises(InputError, match="did you mean 'dense'"):
        FrameSampling("dens", 8)


def test_lists_are_read_and_wrong_lines_named(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a b/c.mp4 3\nframes/x 62 0\n\n")
    video, frames = video_list.read_list(path, 4, "root")
    assert (str(video.path), video.label, video.frames) == ("root/a b/c.mp4", 3, None)
    assert (str(frames.path), frames.label, len(frames.frames)) == ("root/frames/x", 0, 62)
    for text, why in [
        ("a.mp4", "train.csv:1: 'a.mp4': expected 'PATH LABEL'"),
        ("ok.mp4 0\na.mp4 cat", "train.csv:2: 'a.mp4 cat': expected"),
        ("a.mp4 4", "label 4 is not in 0 .. 3"),
        ("a.mp4 -1", "label -1 is not in"),
        ("folder 1", "no video file"),
        ("folder 0 1", "0 frames"),
        ("", "an empty list"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError) as raised:
            video_list.read_list(path, 4)
        assert why in str(raised.value)
    with pytest.raises(InputError, match=r"absent\.csv"):
        video_list.read_list(tmp_path / "absent.csv", 4)


def test_labels_and_folders(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("run\njump high\n")
    assert read_labels(labels) == ("run", "jump high")
    labels.write_text("run\nrun\n")
    with pytest.raises(InputError, match="'run' comes twice"):
        read_labels(labels)
    (tmp_path / "data" / "other").mkdir(parents=True)
    with pytest.raises(InputError, match="a folder of no class"):
        video_list.read_class_folders(tmp_path / "data", ["run"])
    with pytest.raises(InputError, match="no videos there"):
        video_list.read_class_folders(tmp_path / "data")


def test_frame_folders(tmp_path):
    from PIL import Image

    for number in range(1, 4):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"img_{number:05}.png")
    item = video_list.LabelledVideo(tmp_path, 0, FrameFolder(tmp_path, 4, "img_{:05}.png"))
    with item.open() as frames:
        assert len(frames) == 4
        read = frames.frames([2, 0, 2])
        assert read[:, 0, 0, 0].tolist() == [3, 1, 3]
        with pytest.raises(InputError, match=r"img_00004\.png"):
            frames.frames([3])
