"""The pages whose commands are run, and what each needs for it: small files, small settings, small
networks in place of published ones. Of each method: its settings, its files, its pages.

A new page, or a page's new file or network, gets its line in its method's table here. What cannot
be run stands, with the reason, in ELSEWHERE or in its page's `left`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from docs import page_files as files
from jaxvision.cli.main import main
from jaxvision.data.lidar.ray_casting import Sensor
from jaxvision.data.lidar.streets import write_sequences
from made_up_nuscenes import write_nuscenes


@dataclass(frozen=True)
class Page:
    """make: puts the files there that the commands name.  runs: workdirs that the page takes as
    given, and their recipes.  small: settings, of the recipes that have them; KEY@WORD: of recipes
    with that word in their name.  names: what the page's words (or KEY=VALUE) stand for here.
    networks: the recipe whose small network stands for a published one.  weights: files of those
    networks, as they are published.  left: (pattern, why) of commands.  run_by: {pattern: page} of
    commands that a page runs in the same way.  everywhere: commands of sentences and tables
    are run, too."""

    make: Callable[[], object] = lambda: None
    runs: dict[str, str] = field(default_factory=dict)
    small: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    left: tuple[tuple[str, str], ...] = ()
    run_by: dict[str, str] = field(default_factory=dict)
    everywhere: bool = False


# Pages whose commands another test runs to their end, or that name what no test can have.
ELSEWHERE = {
    "docs/own_videos.md": "tests/docs/test_own_videos.py trains it to its end",
    "docs/frozen_features.md": "tests/docs/test_frozen_features.py trains it to its end",
    "docs/adding_a_method.md": "tests/docs/test_adding_a_method.py makes its method and runs it",
    "docs/notebooks/": "tests/docs/test_notebooks.py runs every cell",
    "docs/scaling.md": "minutes of compilation each; tests/planning plans small programs",
    "docs/performance.md": "measurements of hours",
    "docs/launching.md": "several machines; tests/cli/test_shards.py, tests/stores, tests/launch",
}
# Of other pages, commands that are left out, and why.
TOUR = (r"^tour", "minutes; tests/tour makes a method's page")
PLANS = (r"^plan", "minutes of compilation; tests/planning plans small programs")

# Of every recipe: a small batch on one device.
ONE = (
    *("mesh.data=1", "mesh.fsdp=1", "train.accumulate=1", "train.draw_groups=1"),
    *("train.norm_groups=1", "train.loss_groups=1", "train.batch_size=2", "data.workers=0"),
    *("data.people=3", "dtype=float32", "frozen.dtype=float32", "task.evaluation_batch=1"),
)

# VideoMAE, also of pages about every method.
VIDEO = (
    *("model.frames=2", "model.tubelet=2", "model.image_size=(16,16)", "model.patch=8"),
    *("model.width=32", "model.heads=2", "model.depth=1"),
    *("model.decoder_width=16", "model.decoder_depth=1"),
    *("task.crop=16", "task.short_side=16", "task.segments=1", "task.crops=1"),
    "model.remat=none",
)


def readme() -> None:
    files.class_folders("clips", "train", "validation")
    shutil.copytree("clips/train", "SRC")
    for name in ("dog.mp4", "clip.mp4"):
        files.film(name)


def video_lists() -> None:
    files.video_lists(*VIDEO_LISTS)
    files.film("long.mp4", 24)


def films() -> None:
    files.class_folders("videos", "train", "validation")
    for name in ("clips/a.mp4", "long.mp4"):
        files.film(name, 24)


VIDEO_LISTS = ("hybrid_train.csv", "k710/train.csv", "k400/train.csv", "k400/val.csv")
README = Page(
    make=readme,
    runs=dict.fromkeys(("runs/k400", "runs/mine"), "videomae/vit_b_k400_finetune"),
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
VIDEOMAE = {
    "README.md": README,
    "docs/weights.md": Page(run_by={"^(fetch|predict) ": "README.md"}),
    "docs/index.md": Page(
        make=partial(files.class_folders, "videos", "train"),
        small=(*ONE, *VIDEO, "init=()"),
        left=(TOUR, (r"^demo", "minutes; tests/cli and tests/methods/videomae run its parts")),
    ),
    "docs/from_authors/videomae.md": Page(
        make=video_lists,
        small=(*ONE, *VIDEO, "init=()", "data.labels=k400_names.txt"),
        names={"kinetics400": "k400_names.txt"},
        networks={"videomae/vit_b_k400": "videomae/vit_b_k400_finetune"},
        weights={"vit_b_k400.pth": "videomae/vit_b_k400"},
        everywhere=True,
    ),
    "jaxvision/methods/videomae/README.md": Page(
        make=films,
        small=(*ONE, *VIDEO, "init=()"),
        run_by={"^evaluate .* --only test": "docs/from_authors/videomae.md"},
    ),
}

# UMT.
WORDS = (
    *(*ONE, *VIDEO, f"language.vocabulary={len(files.WORDS) + 5}", "language.positions=16"),
    *("language.width=24", "language.heads=2", "language.hidden=48", "language.shared_width=16"),
    *("language.text_layers=1", "language.fusion_layers=1", "data.vocabulary=vocab.txt"),
    *("task.text_length=8", "task.test_frames=2", "task.reranked=2", "init=()"),
)
SMALL_UMT = (
    *(*WORDS, "teacher.width=32", "teacher.heads=2", "teacher.depth=2"),
    *("teacher.output_width=16", "teacher.returned_layers=1", "model.tubelet=1"),
    *("teacher.image_size=(16,16)", "teacher.patch=8"),
    *("data.train@finetune=train.csv", "data.labels@finetune=k400_names.txt"),
    *("data.train@stage2=webvid.sqlite", "data.train@choice=train.json"),
    *("data.root@retrieval=videos", "data.train@retrieval=train.json"),
    *("data.train@question=questions.json", "task.crop@detection=16"),
    *("task.short_side@detection=20", "model.tubelet@finetune=1"),
    *("train.batch_size@detection=1", "language.vocabulary@demo=25"),
)


def videos_with_words() -> None:
    """Lists of videos to classify, AVA's film, and videos with captions, choices and questions."""
    files.video_lists(*VIDEO_LISTS)
    files.ava()
    files.captions()
    files.video_lists("train.csv")


UMT = {
    "docs/from_authors/umt.md": Page(
        make=videos_with_words,
        small=SMALL_UMT,
        networks={"umt/language_b_retrieval": "umt/retrieval"},
        weights={"b16_17m.pth": "umt/language_b_retrieval"},
        everywhere=True,
    ),
    "jaxvision/methods/umt/README.md": Page(
        make=videos_with_words,
        small=(*SMALL_UMT, "data.train@demo=16"),
        networks={"umt/vit_b_k400": "umt/finetune"},
        weights={"b16_ptk710_ftk710_ftk400_f8_res224.pth": "umt/vit_b_k400"},
        run_by={"^predict --workdir runs/found": "docs/own_captions.md"},
    ),
    "docs/own_captions.md": Page(
        make=files.captions,
        small=SMALL_UMT,
        networks={
            "umt/language_b_retrieval": "umt/retrieval",
            "umt/language_b_answers": "umt/question_answering",
        },
        weights={
            "ret_msrvtt_b16_25m.pth": "umt/language_b_retrieval",
            "qa_msrvtt_b16_25m.pth": "umt/language_b_answers",
        },
    ),
}

# CoMAE.
SMALL_COMAE = (
    *(*ONE, "model.width=32", "model.heads=2", "model.depth=2", "model.image_size=16"),
    *("model.patch=8", "model.decoder_width=16", "model.decoder_heads=2"),
    *("model.decoder_depth=1", "data.side=20", "init=()"),
)


def rooms() -> None:
    files.pairs()
    files.sun_rgbd("SUNRGBD")
    files.nyu("nyu_depth_v2_labeled.mat")
    files.picture("rgb/a.jpg", 24, 32)


COMAE = {
    "docs/from_authors/comae.md": Page(
        make=rooms,
        small=(*SMALL_COMAE, "data.root=DIR"),
        networks={"comae/base_sunrgbd": "comae/finetune"},
        weights={"FILE": "comae/base_sunrgbd"},
        everywhere=True,
    ),
    "jaxvision/methods/comae/README.md": Page(
        make=rooms,
        small=(*SMALL_COMAE, "data.root=sunrgbd"),
        names={"SRC": "SUNRGBD", "canvas.png": "sunrgbd/val/bedroom/*.png"},
        networks={"comae/base_sunrgbd": "comae/finetune"},
        weights={"finetune.pth": "comae/base_sunrgbd"},
    ),
    "docs/own_rgbd.md": Page(
        make=rooms,
        small=SMALL_COMAE,
        run_by={"^(prepare nyud|evaluate)": "jaxvision/methods/comae/README.md"},
    ),
}

# SparseFormer.
FORMER = (
    *(*ONE, "model.cortex=1", "model.repeats=1", "model.widths=(32, 32)", "model.channels=8"),
    *("model.tokens=9", "model.points=4", "data.size=32", "data.short_side=36"),
)
SPARSEFORMER = {
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
    # With the weights that come with the library.
    "docs/tour.md": Page(
        make=partial(files.picture, "digits/0.png", 32, 32),
        small=(*ONE, "train.batch_size=64"),
        left=(TOUR, (r"^predict", "tests/tour/test_tour.py answers digits by it")),
    ),
}

# PDPP.
PLANNER = (
    *(*ONE, "model.width=32", "model.multipliers=(1,)", "data.channels=4"),
    "task.prediction_samples=4",
)
PLANNERS = {name: name for name in ("pdpp/crosstask_how", "pdpp/crosstask_how_classifier")}
PDPP = {
    "docs/from_authors/pdpp.md": Page(
        make=partial(files.crosstask, "DIR"),
        small=PLANNER,
        names={"1500": "2"},
        networks=PLANNERS,
        weights={"planner.pt": "pdpp/crosstask_how"},
        # Its next command evaluates the same and more.
        run_by={"^evaluate --workdir runs/t3$": "docs/from_authors/pdpp.md"},
        everywhere=True,
    ),
    "jaxvision/methods/pdpp/README.md": Page(
        make=partial(files.crosstask, "DIR"),
        small=PLANNER,
        networks=PLANNERS,
        weights={"planner.pt": "pdpp/crosstask_how", "mlp.pt": "pdpp/crosstask_how_classifier"},
    ),
}

# LinK.
SCANS = (
    *(*ONE, "model.width=8", "data.voxels=256", "model.block_share=1.0", "model.neck_layers=0"),
    *("model.level_share=(1.0, 1.0, 1.0, 1.0, 1.0)", "model.planes=(4, 4, 4, 4)"),
    *("model.neck_widths=(4, 4)", "model.joined_width=4", "model.head_width=4"),
    *("data.resample=False", "train.steps=100"),
    *("task.evaluation_voxels=256", "task.evaluation_points=512"),
    *("task.candidates=16", "task.kept=4"),
    # Large kernels take many seconds to be traced.
    *("model.network=minkunet", "model.version=baseline"),
)
VOXEL_NETWORKS = {
    "link/linkunet_cos_3x7_kitti": "link/kitti_linkunet_cos_3x7",
    "link/centerpoint_elkv3_nuscenes": "link/nuscenes_centerpoint_elkv3",
}
# 13 to 90 seconds of compilation each, of the smallest networks.
LABELLED = (
    r"^(evaluate|predict) .*kitti",
    "tests/methods/link/test_segmentation.py evaluates a run and labels scans",
)
DETECTED = (
    r"^(evaluate|predict) .*nuscenes",
    "tests/methods/link/test_detection.py evaluates a run, finds boxes, and fuses views",
)


def scans() -> None:
    """Small ones in the layouts of both data sets."""
    small = Sensor(beams=8, azimuths=64)
    write_sequences(Path("SemanticKITTI"), {0: 2, 8: 1, 11: 1}, sensor=small)
    scenes, version = {"scene-0001": 3, "scene-0003": 1}, "v1.0-trainval"
    write_nuscenes(Path("NUSCENES"), scenes, sensor=small, sweeps_between=1, version=version)


LINK = {
    "docs/from_authors/link.md": Page(
        make=scans,
        small=SCANS,
        names={"('scene-0001', ...)": "('scene-0001',)"},
        networks=VOXEL_NETWORKS,
        weights={
            "max-iou-val.pt": "link/linkunet_cos_3x7_kitti",
            "epoch_20.pth": "link/centerpoint_elkv3_nuscenes",
        },
        left=(LABELLED, DETECTED),
        everywhere=True,
    ),
    "jaxvision/methods/link/README.md": Page(
        small=SCANS,
        networks=VOXEL_NETWORKS,
        weights={"max-iou-val.pt": "link/linkunet_cos_3x7_kitti"},
        left=(LABELLED, DETECTED),
        run_by={"^prepare|^train .*link/(kitti|nuscenes)": "docs/from_authors/link.md"},
    ),
}

# EMA-VFI.
INTERPOLATION = (
    *(*ONE, "model.width=4", "model.depths=(1, 1, 1, 1, 1)", "data.crops=((64, 64),)"),
    "task.augment=False",
)


def frames() -> None:
    for name in ("first", "last", "frames/0", "frames/1"):
        files.picture(f"{name}.png")
    files.film("clip.mp4", 2, 64, 64)


def triplets() -> None:
    files.triplets("DIR")
    frames()
    for name in ("frame_00", "frame_01_gt", "frame_02"):
        files.picture(f"UCF101/1/{name}.png")


EMAVFI = {
    "docs/from_authors/emavfi.md": Page(
        make=triplets,
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
    "jaxvision/methods/emavfi/README.md": Page(
        make=frames,
        runs={"runs/emavfi": "emavfi/demo"},
        small=(*INTERPOLATION, "model.unet_ratio=2", "data.clips=8"),
    ),
}

# STMixer and CycleACR.
PEOPLE = (
    *(*ONE, "model.stem_width=8", "model.frames=8", "model.temporal_points=4", "model.queries=4"),
    *("model.query_width=16", "model.query_heads=2", "model.stages=1", "model.hidden=16"),
    *("model.spatial_points=2", "task.short_sides=(32,)", "task.test_short_side=32", "init=()"),
    *("model.width=32", "model.heads=2", "model.layers=1", "model.head_width=16"),
    *("model.backbone=vit", "task.short_side=32", "task.crop=32", "train.batch_size@/ava=1"),
    *("data.classes@stmixer/ava=2", "model.remat=none"),
)
LISTS = (
    *("data.labels@/own=actions.txt", "data.train@/own=train.csv"),
    *("data.validation@/own=val.csv", "data.root@/own=videos"),
)


def films_of_people() -> None:
    files.ava()
    files.people_lists("a.mp4")
    shutil.copy("videos/a.mp4", "film.mp4")


PEOPLES_PAGES = {
    "docs/from_authors/stmixer.md": Page(
        make=films_of_people,
        small=PEOPLE,
        networks={"stmixer/slowfast_r50_k400": "stmixer/ava_slowfast_r50_k400"},
        weights={"CHECKPOINT": "stmixer/slowfast_r50_k400"},
        run_by={"^predict": "docs/own_actions.md"},
        everywhere=True,
    ),
    "jaxvision/methods/stmixer/README.md": Page(
        make=films_of_people,
        small=(*PEOPLE, *LISTS),
        run_by={"^(predict|evaluate) --workdir runs/own": "docs/own_actions.md"},
    ),
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
}

# CamLiFlow.
FLOW = (
    *(*ONE, "model.width=8", "model.blocks=(1, 1)", "model.levels=1", "model.radius=1"),
    *("model.pyramid=(128, 64, 32, 24, 16)", "data.points=200", "task.predict.points=200"),
    *("model.iterations=1", "model.training_iterations=1"),
    "model.fusions=('motion',)",
    *("data.size@things=(64, 96)", "data.pairs=8", "train.batch_size=1", "init=()"),
)
JUDGED = (
    r"^evaluate .*(kitti_scene_flow|benchmarks.things)",
    "pictures of the sets' own sizes; tests/data/test_scene_flow.py and "
    "tests/methods/camliflow/test_task.py judge small ones",
)


def walk() -> None:
    files.scene_flow("RAW")
    assert main(["prepare", "flyingthings3d", "RAW", "flyingthings3d"]) == 0


CAMLIFLOW = {
    "docs/from_authors/camliflow.md": Page(
        make=partial(files.scene_flow, "DIR"),
        small=FLOW,
        networks={"camliflow/camliraft": "camliflow/camliraft_things"},
        weights={"camliraft_things150e.pt": "camliflow/camliraft"},
        left=(JUDGED,),
        everywhere=True,
    ),
    "jaxvision/methods/camliflow/README.md": Page(
        small=FLOW,
        left=(JUDGED,),
        run_by={"^(prepare|predict) |camliraft_(things|kitti)": "docs/own_scene_flow.md"},
    ),
    "docs/own_scene_flow.md": Page(
        make=walk,
        runs={"runs/camliraft": "camliflow/camliraft_things"},
        small=FLOW,
        left=(TOUR,),
        # The tour's pair is answered as the walk is.
        run_by={"^predict .*motorcycle": "docs/own_scene_flow.md"},
    ),
}

RUN: dict[str, Page] = {
    **VIDEOMAE,
    **UMT,
    **COMAE,
    **SPARSEFORMER,
    **PDPP,
    **LINK,
    **EMAVFI,
    **PEOPLES_PAGES,
    **CAMLIFLOW,
}
