"""Make data cheap to read, once, before many epochs.

    jaxvision prepare videos SRC DST --short-side 320
    jaxvision prepare videos SRC DST --short-side 320 --format frames --list train.csv val.csv
    jaxvision prepare nuscenes SRC DST --version v1.0-trainval --sweeps 10
    jaxvision prepare sunrgbd SRC DST --list 19scenes_train.txt 19scenes_test.txt
    jaxvision prepare flyingthings3d SRC DST
    jaxvision prepare ava SRC DST --list ava_train_v2.2.csv ava_val_v2.2.csv --format frames

videos: SRC is a folder of videos; DST keeps its folders and names. mp4: H.264 files with a key
frame every 30 frames, without sound. frames: ArrayRecord shards of JPEG frames, for fast random
access. Frame n of DST is frame n of SRC. Videos smaller than the short side keep their size. With
--list only the videos that the lists name are prepared, and the lists are written anew into DST
(give it as data.root). Run again to resume; videos that cannot be read are named, listed in
unreadable.txt, and end the command with status 2 after all others.

nuscenes: SRC holds the official tables, samples and sweeps. DST gets an index of key frames with
their sweeps and boxes, and the points of every object, to paste into other scans (give it as
data.index).

sunrgbd, nyud: SRC holds SUN RGB-D's frames, a folder each, or is nyu_depth_v2_labeled.mat. DST
gets a canvas of RGB and HHA for every frame that the two lists name: of train, of validation, lines
"<frame><TAB><class>" (give DST as data.root of comae's recipes).

flyingthings3d: SRC is the subset of FlyingThings3D with train and val. DST gets pictures, flow and
clouds of every frame as CamLiFlow reads them; with --without-occluded the second cloud is the first
one moved, of pixels that both frames see. Run again to resume.

ava: SRC is a folder of AVA's films, --list names its annotations. mp4: a file a second at 25 frames
a second, short side at most 360, and a JSON of people for every list (AlphAction, CycleACR).
frames: JPEG frames at 30 a second from second 900, and their list (PySlowFast, STMixer). Films with
fewer frames than their annotations need are named: scores depend on how films are cut.

Several machines share the work with --shard 1/8 ... 8/8 and one DST that all see; once all have
ended, the same command with --merge writes what is about all of it: lists, indices.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvision.data.shards import Shard

SUMMARY = "videos, frame shards, indices, canvases, clips, clouds with flow: made once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_shard, mounted_folder
    from jaxvision.stores.stored_path import path_to

    parser.add_argument("what", choices=tuple(KINDS), help="kind of data")
    parser.add_argument(
        "source", type=path_to, metavar="SRC", help="a folder of it, also in object storage (gs://)"
    )
    parser.add_argument(
        "target", type=mounted_folder, metavar="DST", help="a new folder, or one to resume"
    )
    parser.add_argument("--short-side", type=int, metavar="N", help="videos: in pixels")
    parser.add_argument("--format", choices=("mp4", "frames"), default="mp4", help="default: mp4")
    parser.add_argument(
        "--list",
        type=path_to,
        nargs="+",
        default=[],
        metavar="FILE",
        help="videos: lists with paths below SRC, to be rewritten; RGB-D: of train, of validation; "
        "ava: annotations",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument("--version", default="v1.0-trainval", help="nuscenes: of the tables")
    parser.add_argument("--sweeps", type=int, default=10, metavar="N", help="nuscenes: scans each")

    parser.add_argument(
        "--without-occluded",
        action="store_true",
        help="flyingthings3d: only points that both frames see",
    )
    add_shard(parser)


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.data.shards import (
        WHOLE,
        asked_shard,
        remove_shards,
        shard_folder,
        shards_to_merge,
    )
    from jaxvision.errors import check_writable, writing

    target, shard = arguments.target, asked_shard(arguments.shard)
    job = job_of(arguments)
    prepare = KINDS[arguments.what]
    check_writable(target)
    with writing(target):
        if shard is not None:
            with shard_folder(target, shard, job):
                return prepare(arguments, shard)
        folders = shards_to_merge(target, job, arguments.merge)
        if folders and arguments.what in MERGES:
            status = MERGES[arguments.what](arguments, folders)
        else:
            # What shards made is passed over as made before; what is about all is written.
            status = prepare(arguments, WHOLE)
        remove_shards(folders)
        return status


def job_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the outcome depends on: of several shards it must be the same."""
    settings = ("what", "short_side", "format", "version", "sweeps", "without_occluded")
    return {name: getattr(arguments, name) for name in settings} | {
        "source": str(arguments.source.resolve()),
        "list": [str(path.resolve()) for path in arguments.list],
    }


def run_rgbd(arguments: argparse.Namespace, shard: "Shard") -> int:
    from rich.progress import track

    from jaxvision.data import prepare_rgbd
    from jaxvision.errors import InputError

    listed = shard.of(prepare_rgbd.read_lists(arguments.list))
    canvas_of, published = prepare_rgbd.source_of(arguments.what, arguments.source)
    work = prepare_rgbd.prepare(listed, canvas_of, arguments.target, arguments.workers)
    failed, holes = 0, []
    for one, outcome in track(work, "pairs", total=len(listed), transient=True):
        if outcome.reason:
            print(f"left out: {one.frame}: {outcome.reason}")
            failed += 1
        elif outcome.unmeasured:
            holes.append(outcome.unmeasured)
    if failed == len(listed) and shard.count == 1:
        raise InputError(f"{arguments.source}: none of the {failed} listed pairs is there")
    sizes = f"; lists: {prepare_rgbd.size_report(listed, published)}" if shard.count == 1 else ""
    print(f"{len(listed) - failed} canvases in {arguments.target}, {failed} left out{sizes}")
    if holes:
        print(f"{len(holes)} of them lack depth somewhere, at most {max(holes):.1%} of a picture")
    return 2 if failed else 0


def run_ava(arguments: argparse.Namespace, shard: "Shard") -> int:
    from rich.progress import track

    from jaxvision.data.actions.prepare_ava import AvaPreparation
    from jaxvision.errors import InputError, one_line

    layout = "seconds" if arguments.format == "mp4" else "frames"
    lists = tuple(arguments.list)
    work = AvaPreparation(arguments.source, arguments.target, lists, layout)
    films = frames = expected = whole = 0
    for film in track(
        work.run(arguments.workers, shard),
        "films",
        total=len(shard.of(work.movies())),
        transient=True,
    ):
        films, whole = films + 1, whole + (not film.problem)
        frames, expected = frames + film.frames, expected + film.expected
        if film.problem:
            count = f"{film.frames:,} of {film.expected:,} frames"
            print(one_line(f"{film.movie}: {count}: {film.problem}"))
    if not frames and shard.count == 1:
        raise InputError(f"{arguments.source}: none of the {films} listed films could be cut")
    print(
        f"{whole} of {films} films whole in {arguments.target}, {frames:,} of {expected:,} frames"
    )
    return 0 if whole == films else 2


def run_things(arguments: argparse.Namespace, shard: "Shard") -> int:
    from rich.progress import track

    from jaxvision.data.scene_flow.prepare_things import ThingsPreparation
    from jaxvision.errors import InputError

    work = ThingsPreparation(arguments.source, arguments.target, arguments.without_occluded)
    total, failed = len(shard.of(work.frames())), 0
    outcomes = work.run(arguments.workers, shard)
    for outcome in track(outcomes, "frames", total=total, transient=True):
        if outcome.reason:
            print(f"left out: {outcome.name}: {outcome.reason}")
            failed += 1
    if failed == total and shard.count == 1:
        raise InputError(f"{arguments.source}: none of the {total} frames could be prepared")
    print(f"{total - failed} frames in {arguments.target}, {failed} left out")
    return 2 if failed else 0


def run_nuscenes(arguments: argparse.Namespace, shard: "Shard") -> int:
    from rich.progress import track

    from jaxvision.data.lidar.nuscenes_index import FRAMES, write_index
    from jaxvision.data.lidar.nuscenes_tables import Tables
    from jaxvision.errors import InputError

    if arguments.sweeps < 1:
        raise InputError(f"--sweeps {arguments.sweeps}: expected 1 or more")
    target = arguments.target
    index = target if shard.count == 1 else shard.folder(target)
    if index != target and (index / FRAMES).is_file():
        print(f"shard {shard} was there")
        return 0
    tables = Tables(arguments.source, arguments.version)
    samples = shard.of(tables.samples())
    target.mkdir(parents=True, exist_ok=True)
    work = write_index(tables, samples, target, arguments.sweeps, index)
    frames = sum(1 for _ in track(work, "frames", total=len(samples), transient=True))
    print(f"{frames} frames in {target}")
    return 0


def merge_nuscenes(arguments: argparse.Namespace, folders: list[Path]) -> int:
    from jaxvision.data.lidar.nuscenes_index import join_index

    print(f"{join_index(folders, arguments.target)} frames in {arguments.target}")
    return 0


def run_videos(arguments: argparse.Namespace, shard: "Shard") -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from jaxvision.data.conversions import Conversions
    from jaxvision.data.folders import skipped_text
    from jaxvision.data.prepare_videos import UNREADABLE, Preparation
    from jaxvision.errors import InputError, one_line

    if arguments.short_side is None:
        raise InputError("say --short-side: pixels, 1 or more (256)")
    if arguments.short_side < 1:
        raise InputError(f"--short-side {arguments.short_side}: expected pixels, 1 or more")
    if arguments.workers < 0:
        raise InputError(f"--workers {arguments.workers}: expected 0 or more")
    work = Preparation(
        arguments.source,
        arguments.target,
        arguments.short_side,
        arguments.format,
        tuple(arguments.list),
    )
    console, skipped, unreadable = Console(soft_wrap=True), 0, 0
    conversions = Conversions()
    if work.skipped:
        console.print(f"skipped: {skipped_text(work.skipped)}", highlight=False, markup=False)
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("videos", total=len(work.names) // shard.count)
        videos = 0
        for done in work.run(arguments.workers, shard):
            bar.advance(task, done.videos)
            videos += done.videos
            unreadable += len(done.unreadable)
            conversions.add(done.converted)
            skipped += done.videos - len(done.unreadable) if done.skipped else 0
            for name, reason in done.unreadable.items():
                line = one_line(f"unreadable: {name}: {reason}")
                bar.console.print(line, highlight=False, markup=False)
    for line in conversions.lines("videos"):
        console.print(line, highlight=False, markup=False)
    whole = videos - unreadable
    console.print(
        f"{whole} videos in {work.target} ({skipped} were there), {unreadable} unreadable",
        highlight=False,
        markup=False,
    )
    if not whole and shard.count == 1:
        raise InputError(f"{work.source}: no video there can be read; see {UNREADABLE}")
    return 2 if unreadable else 0


KINDS = {
    "videos": run_videos,
    "nuscenes": run_nuscenes,
    "flyingthings3d": run_things,
    "sunrgbd": run_rgbd,
    "nyud": run_rgbd,
    "ava": run_ava,
}
# Of kinds whose parts are joined otherwise than by going over them again.
MERGES = {"nuscenes": merge_nuscenes}
