"""Commands of the pages, run in their order through `main(argv)`, in one process, with small
networks on small files of the kinds that they name.

A training does all that comes before its first compilation: settings, files, its first batch.
Instead of its steps it leaves a workdir with a checkpoint of made-up weights, which the page's next
commands evaluate and answer with. What is not run here stands, with the reason, in ELSEWHERE or in
its page's `left`, and is parsed, with all it names, by test_commands.py.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

from docs import page_files as files
from docs.test_commands import PAGES, ROOT, commands
from jaxvision import loading
from jaxvision.cli.main import main
from jaxvision.data.actions import prepare_ava
from jaxvision.data.actions.prepare_ava import Cut
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.lidar.streets import write_sequences
from jaxvision.downloads import published_file
from jaxvision.methods.pdpp.classifier import TaskClassifier
from jaxvision.methods.pdpp.task import ClassifierTask
from jaxvision.methods.pdpp.weights import classifier_entries
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.weights import question_entries
from jaxvision.nn.video_transformer import VideoClassifier
from jaxvision.registry import load_config, make_task
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.config import as_json, check_choices, leaves
from jaxvision.training.run import prepare_run
from jaxvision.training.run_record import CLASSES, open_workdir, record_config
from jaxvision.training.sharding import put
from jaxvision.weights.mapping import Entry
from jaxvision.weights.official import OfficialModel
from jaxvision.weights.torch_writer import write_torch_file
from jaxvision.weights.video_transformer_entries import classification_entries
from made_up_nuscenes import write_nuscenes

# Official names of networks that no demo's task trains.
BESIDE_DEMOS: dict[type, Callable[[Any], list[Entry]]] = {
    VideoClassifier: classification_entries,
    VideoQuestions: question_entries,
    TaskClassifier: partial(classifier_entries, data_parallel=False),
}
OFFICIAL_MODEL, RECOGNISE = loading.official_model, loading.recognise
# Pages whose commands another test runs to their end, or that name what no test can have.
ELSEWHERE = {
    "docs/own_videos.md": "tests/docs/test_own_videos.py trains it to its end",
    "docs/frozen_features.md": "tests/docs/test_frozen_features.py trains it to its end",
    "docs/adding_a_method.md": "tests/docs/test_adding_a_method.py makes its method and runs it",
    "docs/notebooks/": "tests/docs/test_notebooks.py runs every cell",
    "docs/scaling.md": "minutes of compilation each; tests/planning plans small programs",
    "docs/performance.md": "measurements of hours",
    "docs/tour.md": "minutes; tests/tour makes a method's page and loads what is shipped",
    "docs/launching.md": "several machines; tests/cli/test_shards.py, tests/stores, tests/launch",
}
# Of other pages, commands that are left out, and why.
TOUR = (r"^tour", "minutes; tests/tour makes a method's page")
PLANS = (r"^plan", "minutes of compilation; tests/planning plans small programs")


@dataclass(frozen=True)
class Page:
    """make: puts the files there that the commands name.  small: settings, of the recipes that have
    them.  names: what the page's words (or KEY=VALUE) stand for here.  networks: the recipe whose
    small network stands for a published one.  weights: files of those networks, as they are
    published.  left: (pattern, why) of commands.  everywhere: commands of sentences and tables are
    run, too."""

    make: Callable[[], object] = lambda: None
    small: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    left: tuple[tuple[str, str], ...] = ()
    everywhere: bool = False


# Of every recipe: a small batch, on one of the tests' eight devices where it is trained.
ONE = (
    *("mesh.data=1", "mesh.fsdp=1", "train.accumulate=1", "train.draw_groups=1"),
    *("train.norm_groups=1", "train.loss_groups=1", "train.batch_size=8", "data.workers=0"),
    *("data.people=3", "dtype=float32", "frozen.dtype=float32"),
)
VIDEO = (
    *(
        "model.frames=2",
        "model.tubelet=2",
        "model.image_size=(16,16)",
        "model.patch=8",
        "model.width=32",
    ),
    *("model.heads=2", "model.depth=1", "model.decoder_width=16", "model.decoder_depth=1"),
    *("task.crop=16", "task.short_side=16", "task.segments=1", "task.crops=1"),
)
WORDS = (
    *(*ONE, *VIDEO, f"language.vocabulary={len(files.WORDS) + 5}", "language.positions=16"),
    *("language.width=24", "language.heads=2", "language.hidden=48", "language.shared_width=16"),
    *("language.text_layers=1", "language.fusion_layers=1", "data.vocabulary=vocab.txt"),
    *("task.text_length=8", "task.test_frames=2", "task.reranked=2", "init=()"),
)
COMAE = (
    *("model.width=32", "model.heads=2", "model.depth=2", "model.image_size=16", "model.patch=8"),
    *("model.decoder_width=16", "model.decoder_heads=2", "model.decoder_depth=1"),
    *("data.side=20", "init=()"),
)


def traced_once(name: str) -> Callable:
    """In place of a method of Flax's modules: equal networks, of whatever commands, are traced once
    for inputs of the same shapes and types."""
    usual = getattr(nn.Module, name)

    @cache
    def traced(module: nn.Module, structure: jax.tree_util.PyTreeDef, others: tuple) -> Callable:
        """Of the arrays among the arguments; others: what the rest of them are."""

        def method(arrays: list) -> Any:
            given = iter(arrays)
            leaves = [next(given) if leaf is None else leaf for leaf in others]
            arguments, named = jax.tree.unflatten(structure, leaves)
            return usual(module, *arguments, **named)

        return jax.jit(method)

    def method(module: nn.Module, *arguments: Any, **named: Any) -> Any:
        leaves, structure = jax.tree.flatten((arguments, named))
        arrays = [leaf for leaf in leaves if isinstance(leaf, (jax.Array, np.ndarray))]
        others = tuple(None if isinstance(x, (jax.Array, np.ndarray)) else x for x in leaves)
        return traced(module, structure, others)(arrays)

    return method


TRACED_ONCE = {name: traced_once(name) for name in ("init", "apply")}


def begun(task, config, workdir, read_weights, recipe="", *, saved: Collection[str], **_):
    """In place of `loop.train`: see above.  saved: the workdirs that are asked for anything."""
    check_choices(config)
    classes = list(task.class_names)
    with open_workdir(workdir, config, {"recipe": recipe, CLASSES: classes}):
        run = prepare_run(task, config, jax.devices()[:1])
        assert run.data[0].names
        rng = np.random.default_rng(0)

        def made(leaf):
            values = 0.1 * rng.standard_normal(leaf.shape)
            return put(np.abs(values).astype(leaf.dtype), leaf.sharding)

        if str(workdir) in saved:
            with Checkpoints(workdir) as checkpoints:
                info = {"config": as_json(config), CLASSES: classes}
                state = run.target.replace(optimizer={})
                checkpoints.save(1, jax.tree.map(made, state), info)
                checkpoints.close()
        record_config(workdir, config)
    return {}


def trained(recipe: str, workdir: str, *settings: str) -> None:
    """A run whose weights a page takes as given."""
    assert (
        main(["train", "--config", recipe, "--workdir", workdir, *fitting(recipe, settings)]) == 0
    )


def fitting(recipe: str, settings: tuple[str, ...]) -> list[str]:
    """Those of `settings` that a recipe has. KEY@WORD: of recipes with that word in their name."""
    known = dict(leaves(load_config(recipe)))
    found = {}
    for key, _, value in (word.partition("=") for word in settings):
        key, _, only = key.partition("@")
        if only in recipe.partition(":")[0]:
            found[key] = value
    return [f"--config.{key}={value}" for key, value in found.items() if key in known]


def readme() -> None:
    files.class_folders("clips", "train", "validation")
    shutil.copytree("clips/train", "SRC")
    for name in ("dog.mp4", "clip.mp4"):
        files.film(name)
    data = ("data.train=clips/train", "data.validation=clips/validation", "init=()")
    for workdir in ("runs/k400", "runs/mine"):
        trained("videomae/vit_b_k400_finetune", workdir, *ONE, *VIDEO, *data)


VIDEOMAE = Page(
    make=readme,
    small=(*ONE, *VIDEO, "data.train=clips/train", "data.validation=clips/validation", "init=()"),
    names={
        "[METHOD]": "videomae",
        "METHOD": "videomae",
        "videomae/vit_b_k400": "runs/k400",
        "DST": "prepared",
    },
    networks={
        f"videomae/{name}": "videomae/vit_b_k400_finetune"
        for name in ("vit_b_k710", "vit_b_12classes")
    },
    weights={"vit_b_k710_dl_from_giant.pth": "videomae/vit_b_k710"},
    left=(
        *(PLANS, TOUR),
        (r"^evaluate --workdir runs/mae", "tests/cli/test_main.py evaluates the demo's run"),
    ),
)


def interpolation() -> None:
    files.triplets("DIR")
    for name in ("first", "last", "UCF101/1/frame_00", "UCF101/1/frame_01_gt", "UCF101/1/frame_02"):
        files.picture(f"{name}.png")
    files.film("clip.mp4", 2, 64, 64)


def emavfi() -> None:
    for name in ("first", "last", "frames/0", "frames/1"):
        files.picture(f"{name}.png")
    files.film("clip.mp4", 2, 64, 64)
    trained("emavfi/demo", "runs/emavfi", *INTERPOLATION, "model.unet_ratio=2", "data.clips=8")


def comae() -> None:
    files.pairs()
    files.sun_rgbd("SUNRGBD")
    files.nyu("nyu_depth_v2_labeled.mat")
    files.picture("rgb/a.jpg", 24, 32)


def video_lists() -> None:
    VIDEO_LISTS()
    files.film("long.mp4", 24)


def films() -> None:
    files.class_folders("videos", "train", "validation")
    for name in ("clips/a.mp4", "long.mp4"):
        files.film(name, 24)


def scans(semantic_kitti: str, nuscenes: str) -> None:
    """Small scans in the layouts of both, below these folders."""
    small = Sensor(beams=8, azimuths=64)
    write_sequences(Path(semantic_kitti), {0: 2, 8: 1, 11: 1}, sensor=small)
    scenes, version = {"scene-0001": 3, "scene-0003": 1}, "v1.0-trainval"
    write_nuscenes(Path(nuscenes), scenes, sensor=small, sweeps_between=1, version=version)


def walk() -> None:
    files.scene_flow("RAW")
    assert main(["prepare", "flyingthings3d", "RAW", "flyingthings3d"]) == 0
    trained("camliflow/camliraft_things", "runs/camliraft", *FLOW)


def films_of_people() -> None:
    files.ava()
    files.people_lists("a.mp4")
    shutil.copy("videos/a.mp4", "film.mp4")


def videos_with_words() -> None:
    """Lists of videos to classify, AVA's film, and videos with captions, choices and questions."""
    VIDEO_LISTS()
    files.ava()
    files.captions()
    files.video_lists("train.csv")


VIDEO_LISTS = partial(
    files.video_lists, "hybrid_train.csv", "k710/train.csv", "k400/train.csv", "k400/val.csv"
)
FORMER = (
    *(*ONE, "model.cortex=1", "model.repeats=1", "model.widths=(32, 32)", "model.channels=8"),
    *("model.tokens=9", "model.points=4", "data.size=32", "data.short_side=36"),
)
PLANNER = (
    *(*ONE, "model.width=32", "model.multipliers=(1, 1)", "data.channels=4"),
    *("task.prediction_samples=4", "train.batch_size=2"),
)
PLANNERS = {name: name for name in ("pdpp/crosstask_how", "pdpp/crosstask_how_classifier")}
SCANS = (
    *(*ONE, "model.width=8", "data.voxels=256", "model.block_share=1.0", "model.neck_layers=0"),
    *("model.level_share=(1.0, 1.0, 1.0, 1.0, 1.0)", "model.planes=(4, 4, 4, 4)"),
    *("model.neck_widths=(4, 4)", "model.joined_width=4", "model.head_width=4"),
    *("train.batch_size=2", "data.resample=False", "train.steps=100"),
    *("task.evaluation_batch=8", "task.evaluation_voxels=256", "task.evaluation_points=512"),
    *("task.candidates=16", "task.kept=4"),
    # Large kernels take many seconds to be traced.
    *("model.network=minkunet", "model.version=baseline"),
)
INTERPOLATION = (
    *(*ONE, "model.width=4", "model.depths=(1, 1, 1, 1, 1)", "data.crops=((64, 64),)"),
    "task.augment=False",
)
SCENES = {"('scene-0001', ...)": "('scene-0001',)"}
VOXEL_NETWORKS = {
    "link/linkunet_cos_3x7_kitti": "link/kitti_linkunet_cos_3x7",
    "link/centerpoint_elkv3_nuscenes": "link/nuscenes_centerpoint_elkv3",
}
FLOW = (
    *(*ONE, "model.width=8", "model.blocks=(1, 1)", "model.levels=1", "model.radius=1"),
    *("model.pyramid=(128, 64, 32, 24, 16)", "data.points=200", "task.predict.points=200"),
    *("model.iterations=1", "model.training_iterations=1", "task.evaluation_batch=8"),
    "model.fusions=('motion',)",
    *("data.size@things=(64, 96)", "data.pairs=8", "train.batch_size=1", "init=()"),
)
PEOPLE = (
    *(*ONE, "model.stem_width=8", "model.frames=8", "model.temporal_points=4", "model.queries=4"),
    *("model.query_width=16", "model.query_heads=2", "model.stages=1", "model.hidden=16"),
    *("model.spatial_points=2", "task.short_sides=(32,)", "task.test_short_side=32", "init=()"),
    *("model.width=32", "model.heads=2", "model.layers=1", "model.head_width=16"),
    *("model.backbone=vit", "task.short_side=32", "task.crop=32", "train.batch_size@/ava=1"),
    "data.classes@stmixer/ava=2",
)
DETECTORS = {"stmixer/slowfast_r50_k400": "stmixer/ava_slowfast_r50_k400"}
LISTS = (
    *("data.labels@/own=actions.txt", "data.train@/own=train.csv"),
    *("data.validation@/own=val.csv", "data.root@/own=videos"),
)
SMALL_UMT = (
    *(*ONE, *VIDEO, "teacher.width=32", "teacher.heads=2", "teacher.depth=2"),
    *("teacher.output_width=16", "teacher.returned_layers=1", "model.tubelet=1"),
    *("teacher.image_size=(16,16)", "teacher.patch=8"),
)
TABLES = (
    *("data.train@finetune=train.csv", "data.labels@finetune=k400_names.txt"),
    *(
        "data.train@stage2=webvid.sqlite",
        "data.train@choice=train.json",
        "data.root@retrieval=videos",
    ),
    *("data.train@question=questions.json", "data.train@retrieval=train.json"),
    *("task.crop@detection=16", "task.short_side@detection=20", "model.tubelet@finetune=1"),
    *("train.batch_size@detection=1", "language.vocabulary@demo=25"),
)
# 13 to 90 seconds of compilation each, of the smallest networks.
LABELLED = (
    r"^(evaluate|predict) .*kitti",
    "tests/methods/link/test_segmentation.py evaluates a run and labels scans",
)
DETECTED = (
    r"^(evaluate|predict) .*nuscenes",
    "tests/methods/link/test_detection.py evaluates a run, finds boxes, and fuses views",
)
JUDGED = (
    r"^evaluate .*(kitti_scene_flow|benchmarks.things)",
    "pictures of the sets' own sizes; tests/data/test_scene_flow.py and "
    "tests/methods/camliflow/test_task.py judge small ones",
)

RUN: dict[str, Page] = {
    "README.md": VIDEOMAE,
    "docs/weights.md": VIDEOMAE,
    "docs/from_authors/videomae.md": Page(
        make=video_lists,
        small=(*ONE, *VIDEO, "init=()", "data.labels=k400_names.txt"),
        names={"kinetics400": "k400_names.txt"},
        networks={"videomae/vit_b_k400": "videomae/vit_b_k400_finetune"},
        weights={"vit_b_k400.pth": "videomae/vit_b_k400"},
        everywhere=True,
    ),
    "jaxvision/methods/videomae/README.md": Page(make=films, small=(*ONE, *VIDEO, "init=()")),
    "docs/from_authors/umt.md": Page(
        make=videos_with_words,
        small=(*WORDS, *SMALL_UMT, *TABLES, "init=()"),
        networks={"umt/language_b_retrieval": "umt/retrieval"},
        weights={"b16_17m.pth": "umt/language_b_retrieval"},
        everywhere=True,
    ),
    "jaxvision/methods/umt/README.md": Page(
        make=videos_with_words,
        small=(*WORDS, *SMALL_UMT, *TABLES, "init=()", "data.train@demo=16"),
        networks={"umt/vit_b_k400": "umt/finetune"},
        weights={"b16_ptk710_ftk710_ftk400_f8_res224.pth": "umt/vit_b_k400"},
    ),
    "docs/from_authors/comae.md": Page(
        make=comae,
        small=(*ONE, *COMAE, "data.root=DIR"),
        networks={"comae/base_sunrgbd": "comae/finetune"},
        weights={"FILE": "comae/base_sunrgbd"},
        everywhere=True,
    ),
    "jaxvision/methods/comae/README.md": Page(
        make=comae,
        small=(*ONE, *COMAE, "data.root=sunrgbd"),
        names={"SRC": "SUNRGBD", "canvas.png": "sunrgbd/val/bedroom/*.png"},
        networks={"comae/base_sunrgbd": "comae/finetune"},
        weights={"finetune.pth": "comae/base_sunrgbd"},
    ),
    "docs/from_authors/sparseformer.md": Page(
        make=partial(files.picture_folders, "DIR", "train", "val"),
        small=(*FORMER, "data.train@tiny=DIR/train", "data.name@tiny=folder"),
        networks={"sparseformer/tiny": "sparseformer/tiny"},
        weights={"sparseformer_t_imagenet1k.pth": "sparseformer/tiny"},
        everywhere=True,
    ),
    "jaxvision/methods/sparseformer/README.md": Page(
        make=partial(files.picture_folders, "mine", "train", "val"),
        small=(*FORMER, "data.train@tiny=mine/train", "data.name@tiny=folder"),
        names={"mine/*.png": "mine/val/cat/*.png"},
        networks={"sparseformer/tiny": "sparseformer/tiny"},
        weights={"sparseformer_t_imagenet1k.pth": "sparseformer/tiny"},
    ),
    "docs/from_authors/pdpp.md": Page(
        make=partial(files.crosstask, "DIR"),
        small=PLANNER,
        names={"1500": "2"},
        networks=PLANNERS,
        weights={"planner.pt": "pdpp/crosstask_how"},
        everywhere=True,
    ),
    "jaxvision/methods/pdpp/README.md": Page(
        make=partial(files.crosstask, "DIR"),
        small=PLANNER,
        networks=PLANNERS,
        weights={"planner.pt": "pdpp/crosstask_how", "mlp.pt": "pdpp/crosstask_how_classifier"},
    ),
    "docs/from_authors/link.md": Page(
        make=partial(scans, "SemanticKITTI", "NUSCENES"),
        small=SCANS,
        names=SCENES,
        networks=VOXEL_NETWORKS,
        weights={
            "max-iou-val.pt": "link/linkunet_cos_3x7_kitti",
            "epoch_20.pth": "link/centerpoint_elkv3_nuscenes",
        },
        left=(LABELLED, DETECTED),
        everywhere=True,
    ),
    "jaxvision/methods/link/README.md": Page(
        make=partial(scans, "FOLDER", "FOLDER"),
        small=SCANS,
        names=SCENES,
        networks=VOXEL_NETWORKS,
        weights={"max-iou-val.pt": "link/linkunet_cos_3x7_kitti"},
        left=(LABELLED, DETECTED),
    ),
    "docs/from_authors/emavfi.md": Page(
        make=interpolation,
        small=INTERPOLATION,
        names={"--config.task.benchmarks.ucf101=DIR": "--config.task.benchmarks.ucf101=UCF101"},
        networks={f"emavfi/{name}": f"emavfi/{name}" for name in ("base", "base_t", "small")},
        weights={
            "ours.pkl": "emavfi/base",
            "ours_t.pkl": "emavfi/base_t",
            "ours_small.pkl": "emavfi/small",
        },
        everywhere=True,
    ),
    "docs/from_authors/stmixer.md": Page(
        make=films_of_people,
        small=PEOPLE,
        networks=DETECTORS,
        weights={"CHECKPOINT": "stmixer/slowfast_r50_k400"},
        everywhere=True,
    ),
    "jaxvision/methods/stmixer/README.md": Page(make=films_of_people, small=(*PEOPLE, *LISTS)),
    "docs/own_actions.md": Page(
        make=films_of_people,
        small=(*PEOPLE, *LISTS),
        names={"people.json": "found_people.json"},
    ),
    "docs/from_authors/cycleacr.md": Page(
        make=films_of_people,
        small=PEOPLE,
        networks={"cycleacr/slowfast_r101_k700": "cycleacr/ava_slowfast_r101_k700"},
        weights={"CHECKPOINT": "cycleacr/slowfast_r101_k700"},
        everywhere=True,
    ),
    "jaxvision/methods/cycleacr/README.md": Page(make=films_of_people, small=PEOPLE),
    "docs/index.md": Page(
        make=partial(files.class_folders, "videos", "train"),
        small=(*ONE, *VIDEO, "init=()"),
        left=(TOUR, (r"^demo", "minutes; tests/cli and tests/methods/videomae run its parts")),
    ),
    "docs/own_rgbd.md": Page(make=comae, small=(*ONE, *COMAE)),
    "docs/own_captions.md": Page(
        make=files.captions,
        small=(*WORDS, "data.train@question=questions.json"),
        networks={
            "umt/language_b_retrieval": "umt/retrieval",
            "umt/language_b_answers": "umt/question_answering",
        },
        weights={
            "ret_msrvtt_b16_25m.pth": "umt/language_b_retrieval",
            "qa_msrvtt_b16_25m.pth": "umt/language_b_answers",
        },
    ),
    "jaxvision/methods/emavfi/README.md": Page(make=emavfi),
    "docs/from_authors/camliflow.md": Page(
        make=partial(files.scene_flow, "DIR"),
        small=FLOW,
        networks={"camliflow/camliraft": "camliflow/camliraft_things"},
        weights={"camliraft_things150e.pt": "camliflow/camliraft"},
        left=(JUDGED,),
        everywhere=True,
    ),
    "jaxvision/methods/camliflow/README.md": Page(
        make=partial(files.scene_flow, "RAW"),
        small=FLOW,
        left=(JUDGED,),
    ),
    "docs/own_scene_flow.md": Page(make=walk, small=FLOW, left=(TOUR,)),
}


def commands_of(name: str) -> Iterator[list[str]]:
    """The words of every command of a page that is run, in order; page.names in their place."""
    page = RUN[name]

    def here(word: str) -> str:
        key, sign, value = word.rpartition("=")
        return page.names.get(word, key + sign + page.names.get(value, value))

    for words, mentioned in commands((ROOT / name).read_text()):
        text = " ".join(words)
        if mentioned and not page.everywhere:
            continue
        if not any(re.search(pattern, text) for pattern, _ in page.left):
            yield [here(word) for word in words if word != "..."]


def small_network(name: str, page: Page) -> OfficialModel:
    """The small network that stands for a published one, with its tensors' official names."""
    recipe, method = page.networks[name], name.partition("/")[0]
    overrides = [word.removeprefix("--config.") for word in fitting(recipe, page.small)]
    task = make_task(load_config(recipe, overrides))
    model = task.classifier if isinstance(task, ClassifierTask) else task.model
    for kind, entries in BESIDE_DEMOS.items():
        if isinstance(model, kind):
            return OfficialModel(name, model, entries(model), NotImplemented)
    module = import_module(f"jaxvision.methods.{method}.pretrained")
    return module.network_of(task, name)


def official(name: str, tensors: Any = (), dtype: str = "float32", *, page: Page) -> OfficialModel:
    """In place of `loading.official_model`."""
    return (
        small_network(name, page) if name in page.networks else OFFICIAL_MODEL(name, tensors, dtype)
    )


def recognised(tensors: Any, source: str, *, page: Page) -> OfficialModel:
    """In place of `loading.recognise`."""
    if source in page.weights:
        return small_network(page.weights[source], page)
    return RECOGNISE(tensors, source)


def publish(file: str, name: str, page: Page) -> None:
    """A file as the network called `name` was published, with made-up values."""
    rng = np.random.default_rng(0)
    values = {
        entry.name: np.asarray(np.abs(0.1 * rng.standard_normal(entry.shape)), entry.dtype)
        for entry in small_network(name, page).entries
    }
    write_torch_file(Path(file), {"model": values})


def fitted(words: list[str], page: Page) -> list[str]:
    """A command's words with the page's small settings, those that its recipe has."""
    if "--config" not in words or words[0] not in ("train", "inspect", "predict", "evaluate"):
        return words
    settings = fitting(words[words.index("--config") + 1], page.small)
    return [*words, *settings, *(["--config.mesh.data=8"] if words[0] != "train" else [])]


# XLA compiles tests called "emavfi" with care, which takes its time (conftest.py).
@pytest.mark.parametrize("name", RUN, ids=lambda name: name.replace("emavfi", "interpolation"))
def test_the_commands_of_a_page_run(name, tmp_path, monkeypatch, capsys):
    page, listed = RUN[name], list(commands_of(name))
    asked = {word for words in listed if words[0] != "train" for word in words}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # what is prepared is so in this process
    monkeypatch.setattr(loop, "train", partial(begun, saved=asked))
    for method, traced in TRACED_ONCE.items():
        monkeypatch.setattr(nn.Module, method, traced)
    (tmp_path / "fetched").write_bytes(b"weights")
    monkeypatch.setattr(published_file, "in_hub_cache", lambda *_: tmp_path / "fetched")
    monkeypatch.setattr(loading, "official_model", partial(official, page=page))
    monkeypatch.setattr(loading, "recognise", partial(recognised, page=page))
    monkeypatch.setitem(prepare_ava.CUTS, "seconds", Cut(8, files.AVA_SECONDS, 64))
    page.make()
    for words in listed:
        for file, network in page.weights.items():
            if any(file in word for word in words) and not Path(file).exists():
                publish(file, network, page)
        capsys.readouterr()
        if words[0] == "train":  # a page may call another run the same
            shutil.rmtree(words[words.index("--workdir") + 1], ignore_errors=True)
        status = main(fitted(words, page))
        said = capsys.readouterr()
        assert status == 0, f"jaxvision {' '.join(words)}: {said.out}{said.err}"
    assert listed


def test_every_page_is_run_or_says_why_not():
    asked = [p for p in PAGES if not all(said for _, said in commands((ROOT / p).read_text()))]
    asked += [page for page in PAGES if page.startswith("docs/from_authors/")]
    unknown = [p for p in asked if p not in RUN and not p.startswith(tuple(ELSEWHERE))]
    assert not unknown
    assert set(RUN) <= set(asked)
