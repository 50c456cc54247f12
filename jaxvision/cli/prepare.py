"""Make data cheap to read, once, before many epochs.

    jaxvision prepare videos SRC DST --short-side 320
    jaxvision prepare videos SRC DST --short-side 320 --format frames --list train.csv val.csv
    jaxvision prepare nuscenes SRC DST --version v1.0-trainval --sweeps 10

videos: SRC is a folder of videos; DST keeps its folders and names. mp4: H.264 files with a key
frame every 30 frames, without sound. frames: ArrayRecord shards of JPEG frames, for fast random
access. Frame n of DST is frame n of SRC. Videos smaller than the short side keep their size. With
--list only the videos that the lists name are prepared, and the lists are written anew into DST
(give it as data.root). Run again to resume; videos that cannot be read are named, and listed in
unreadable.txt.

nuscenes: SRC holds the official tables, samples and sweeps. DST gets an index of key frames with
their sweeps and boxes, and the points of every object, to paste into other scans (give it as
data.index).
"""

import argparse
from pathlib import Path

SUMMARY = "re-encode videos, cut them into frame shards, or index nuScenes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("videos", "nuscenes"), help="kind of data")
    parser.add_argument("source", type=Path, metavar="SRC", help="a folder of it")
    parser.add_argument("target", type=Path, metavar="DST", help="a new folder, or one to resume")
    parser.add_argument("--short-side", type=int, default=0, metavar="N", help="videos: in pixels")
    parser.add_argument("--format", choices=("mp4", "frames"), default="mp4", help="default: mp4")
    parser.add_argument(
        "--list",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="lists of videos with paths below SRC, to be rewritten",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument("--version", default="v1.0-trainval", help="nuscenes: of the tables")
    parser.add_argument("--sweeps", type=int, default=10, metavar="N", help="nuscenes: scans each")


def run(arguments: argparse.Namespace) -> int:
    return run_nuscenes(arguments) if arguments.what == "nuscenes" else run_videos(arguments)


def run_nuscenes(arguments: argparse.Namespace) -> int:
    from rich.progress import track

    from jaxvision.data.lidar.nuscenes_index import write_index
    from jaxvision.data.lidar.nuscenes_tables import Tables
    from jaxvision.errors import InputError

    if arguments.sweeps < 1:
        raise InputError(f"--sweeps {arguments.sweeps}: expected 1 or more")
    tables = Tables(arguments.source, arguments.version)
    total = len(tables.samples())
    arguments.target.mkdir(parents=True, exist_ok=True)
    work = write_index(tables, arguments.target, arguments.sweeps)
    frames = sum(1 for _ in track(work, "frames", total=total, transient=True))
    print(f"{frames} frames in {arguments.target}")
    return 0


def run_videos(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from jaxvision.data.prepare_videos import UNREADABLE, Preparation
    from jaxvision.errors import InputError

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
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("videos", total=len(work.names))
        for done in work.run(arguments.workers):
            bar.advance(task, done.videos)
            unreadable += len(done.unreadable)
            skipped += done.videos - len(done.unreadable) if done.skipped else 0
            for name, reason in done.unreadable.items():
                bar.console.print(f"unreadable: {name}: {reason}", highlight=False, markup=False)
    whole = len(work.names) - unreadable
    console.print(
        f"{whole} videos in {work.target} ({skipped} were there), {unreadable} unreadable",
        highlight=False,
        markup=False,
    )
    if not whole:
        raise InputError(f"{work.source}: no video there can be read; see {UNREADABLE}")
    return 0
