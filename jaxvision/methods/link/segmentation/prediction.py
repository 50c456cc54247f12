"""Scans in, labels in the same format, pictures and a summary out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jaxvision.data.atomic_write import path_inside
from jaxvision.data.conversions import note
from jaxvision.data.lidar.classes import Classes
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.own_scans import read_scan, write_prediction
from jaxvision.data.lidar.scan import Scan, points_in_range
from jaxvision.data.lidar.scan_format import PLAIN, ScanFormat
from jaxvision.data.lidar.voxels import capacity_for, voxelise
from jaxvision.errors import InputError
from jaxvision.methods.link.segmentation.inputs import Packing
from jaxvision.tasks.each_input import each_input
from jaxvision.training.task import Batch
from jaxvision.viz.cloud_page import coloured_page
from jaxvision.viz.files import write_png
from jaxvision.viz.legend import with_legend
from jaxvision.viz.points import birds_eye, class_colours, perspective

# A point outside the range is labelled with the ignored class.
OUTSIDE = 0
# Turned and scaled views may have a few voxels more than the scan.
SPARE_FOR_VIEWS = 1.1
# The class of every point of a scan; the path is named in errors.
LabelScan = Callable[[Scan, Path], Int[np.ndarray, " n"]]


def scan_labeller(
    packing: Packing, predict: Callable[[Batch], Mapping[str, np.ndarray]], seed: int
) -> LabelScan:
    """How a scan of any size is labelled, in few array sizes.

    packing: of the evaluation.  predict: `classes` of a batch of one scan.  seed: of the views.
    """

    def label(scan: Scan, path: Path) -> Int[np.ndarray, " n"]:
        inside = points_in_range(scan.points, packing.extent)
        if not inside.any():
            note(path, "no point in range (data.range): the ignored class everywhere")
            return np.full(len(scan.points), OUTSIDE, np.int32)
        kept = Scan(scan.points[inside])
        voxels = len(voxelise(kept.points, packing.voxel_size, str(path)).coords)
        spare = SPARE_FOR_VIEWS if packing.augment else 1.0
        fitting = replace(
            packing,
            voxels=capacity_for(int(voxels * spare)),
            points=capacity_for(len(kept.points)),
            extent=(),
        )
        packed = fitting(kept, np.random.default_rng(seed), "scans")
        answer = predict({name: np.asarray(value)[None] for name, value in packed.items()})
        classes = np.full(len(scan.points), OUTSIDE, np.int32)
        classes[inside] = np.asarray(answer["classes"])[0, : len(kept.points)]
        return classes

    return label


def predict_files(
    paths: list[Path],
    outdir: Path,
    label: LabelScan,
    classes: Classes,
    *,
    form: ScanFormat = PLAIN,
    tokens: Mapping[str, str] | None = None,
) -> list[Path]:
    """For each `.bin` or `.ply`: its labels, NAME_above.png, NAME_ahead.png, NAME.json, and
    NAME.html to turn it in.

    A scan inside `sequences/SS/velodyne` is written where the SemanticKITTI benchmark looks for
    it, a nuScenes key frame as `lidarseg/test/TOKEN_lidarseg.bin`. InputError for a path that is
    no scan or cannot be read, and for one whose place is another's; the others are answered
    (`each_input`).
    form: of the files.  tokens: see `nuscenes_tokens`.
    """
    tokens = tokens or {}
    places = {path: benchmark_place(path, outdir, tokens.get(path.name)) for path in paths}
    owners: dict[Path | None, Path] = {}
    for path, place in places.items():
        owners.setdefault(place, path)

    def answer(path: Path, name: str) -> list[Path]:
        place = places[path]
        if place is not None and owners[place] != path:
            raise InputError(f"{path}: its answer has the same place as that of {owners[place]}")
        scan = read_scan(path, form=form)
        found = label(scan, path)
        benchmark = path.name in tokens
        labels = write_labels(
            path, scan.in_file(found), classes, place or outdir / name, as_bytes=benchmark
        )
        return [labels, *write_pictures(path, scan, found, classes, outdir / name)]

    return each_input(paths, outdir, answer)


def nuscenes_tokens(root: Path, version: str) -> dict[str, str]:
    """Record of each key frame by its file's name."""
    rows = Tables(root, version).table("sample_data")
    return {Path(row["filename"]).name: token for token, row in rows.items()}


def benchmark_place(path: Path, outdir: Path, token: str | None) -> Path | None:
    """Where a benchmark looks for the labels of the scan `path`, without suffix; None where no
    benchmark does."""
    parents = path.resolve().parents
    if token is not None:
        return path_inside(outdir, Path("lidarseg") / "test" / f"{token}_lidarseg")
    if len(parents) > 2 and parents[0].name == "velodyne" and parents[2].name == "sequences":
        return outdir / "sequences" / parents[1].name / "predictions" / path.stem
    return None


def write_labels(
    path: Path, found: Int[np.ndarray, " n"], classes: Classes, stem: Path, *, as_bytes: bool
) -> Path:
    """The labels of the scan `path` at `stem`, in its own format; as_bytes: in nuScenes'."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not as_bytes:
        return write_prediction(path, classes.written_ids(found), stem)
    file = stem.with_name(f"{stem.name}.bin")
    file.write_bytes(found.astype("u1").tobytes())
    return file


def write_pictures(
    path: Path, scan: Scan, found: Int[np.ndarray, " n"], classes: Classes, stem: Path
) -> list[Path]:
    """The scan in its classes' colours, named below, from above and ahead; the points of each as
    JSON; and a page to look around in."""
    table, present = class_colours(len(classes)), np.unique(found)
    names = [classes.names[n] for n in present]
    above, ahead = (stem.with_name(f"{stem.name}_{view}.png") for view in ("above", "ahead"))
    for file, view in ((above, birds_eye), (ahead, perspective)):
        picture = view(scan.points[:, :3], table[found])
        write_png(file, with_legend(picture, names, table[present]))
    counts = np.bincount(found, minlength=len(classes))
    summary = stem.with_name(f"{stem.name}.json")
    points = {n: int(count) for n, count in zip(classes.names, counts, strict=True) if count}
    summary.write_text(json.dumps({"scan": str(path), "points": points}, indent=1))
    page = stem.with_name(f"{stem.name}.html")
    most = sorted(points, key=lambda name: -points[name])
    shares = ", ".join(f"{name} {points[name] / len(found):.0%}" for name in most)
    page.write_text(coloured_page(path.name, scan.points, table[found], shares))
    return [above, ahead, summary, page]
