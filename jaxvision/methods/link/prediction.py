"""Scans in, labels in the same format, pictures and a summary out."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Int

from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.own_scans import only_scans, read_scan, write_prediction
from jaxvision.data.lidar.scan import Scan, points_within
from jaxvision.data.lidar.voxels import voxelise
from jaxvision.errors import InputError
from jaxvision.viz.files import output_names, write_png
from jaxvision.viz.points import birds_eye, class_colours, perspective

if TYPE_CHECKING:
    from jaxvision.methods.link.task import SegmentationTask

# A scan outside the range is labelled with the ignored class.
OUTSIDE = 0


def capacity_for(count: int) -> int:
    """The next of 1024 * 2^(k/2): few sizes compile, and at most 1.5 times the rows are padded."""
    size = 1024
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size


def predict_files(
    task: "SegmentationTask", variables: Any, paths: list[Path], outdir: Path
) -> list[Path]:
    """For each `.bin` or `.ply`: its labels, NAME_above.png, NAME_ahead.png, NAME.json.

    A scan inside `sequences/SS/velodyne` is written where the SemanticKITTI benchmark looks for
    it, a nuScenes key frame as `lidarseg/test/TOKEN_lidarseg.bin`. InputError where no path is a
    scan, or one cannot be read.
    """
    scans = only_scans(paths)
    if not scans:
        raise InputError(f"{paths[0]}: expected .bin or .ply scans")
    columns = task.config.data.columns
    tokens = nuscenes_tokens(task)
    run = lru_cache(maxsize=8)(lambda *sizes: jax.jit(task.predict))
    written: list[Path] = []
    for path, name in zip(scans, output_names(scans), strict=True):
        scan = read_scan(path, columns=columns)
        found = predict_scan(task, variables, scan, path, run)
        written += write_answers(task, scan, found, path, outdir / name, tokens)
    return written


def predict_scan(
    task: "SegmentationTask", variables: Any, scan: Scan, path: Path, run: Any
) -> Int[np.ndarray, " n"]:
    """The class of every point."""
    extent = tuple(task.config.data.range)
    inside = points_within(scan.points, extent)
    if not inside.any():
        raise InputError(f"{path}: no point inside the range {extent}")
    kept = Scan(scan.points[inside])
    # Views are turned and scaled, so that they may have a few voxels more.
    voxels = len(voxelise(kept.points, task.config.data.voxel_size, str(path)).coords)
    slack = 1.1 if task.config.task.augmented_views else 1.0
    sizes = capacity_for(int(voxels * slack)), capacity_for(len(kept.points))
    packing = replace(task.packing("test"), voxels=sizes[0], points=sizes[1], extent=())
    packed = packing(kept, np.random.default_rng(task.config.seed), "scans")
    batch = {name: np.asarray(value)[None] for name, value in packed.items()}
    answer = run(*sizes)(variables, batch, jax.random.key(0))
    classes = np.full(len(scan.points), OUTSIDE, np.int32)
    classes[inside] = np.asarray(answer["classes"])[0, : len(kept.points)]
    return classes


def nuscenes_tokens(task: "SegmentationTask") -> Mapping[str, str]:
    """Record of each key frame's file name, where the recipe's dataset is nuScenes."""
    data = task.config.data
    if data.name != "nuscenes" or not data.root:
        return {}
    rows = Tables(Path(data.root), data.version).table("sample_data")
    return {Path(row["filename"]).name: token for token, row in rows.items()}


def write_answers(
    task: "SegmentationTask",
    scan: Scan,
    classes: Int[np.ndarray, " n"],
    path: Path,
    start: Path,
    tokens: Mapping[str, str],
) -> list[Path]:
    """Everything about one scan; returns the files. start: of the files' names; where a benchmark
    has a place for the labels, they bear the scan's own name there."""
    names, outdir, place = task.classes.names, start.parent, start
    parents = path.resolve().parents
    if len(parents) > 2 and parents[0].name == "velodyne" and parents[2].name == "sequences":
        place = outdir / "sequences" / parents[1].name / "predictions" / path.stem
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.name in tokens:
        labels = outdir / "lidarseg" / "test" / f"{tokens[path.name]}_lidarseg.bin"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_bytes(classes.astype("u1").tobytes())
    else:
        labels = write_prediction(path, task.classes.written_ids(classes), place)
    colours = class_colours(len(names))[classes]
    above, ahead = (outdir / f"{start.name}_{view}.png" for view in ("above", "ahead"))
    write_png(above, birds_eye(scan.points[:, :3], colours))
    write_png(ahead, perspective(scan.points[:, :3], colours))
    counts = np.bincount(classes, minlength=len(names))
    summary = outdir / f"{start.name}.json"
    shares = {name: int(count) for name, count in zip(names, counts, strict=True) if count}
    summary.write_text(json.dumps({"scan": str(path), "points": shares}, indent=1))
    return [labels, above, ahead, summary]
