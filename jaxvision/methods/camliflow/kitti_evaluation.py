"""KITTI scene flow from files to the benchmark's numbers, or to the files that its server takes:
points by the distributed disparities, and the background as estimated or made rigid.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxvision.data.flow_files import (
    read_disparity_png,
    read_flow_png,
    write_disparity_png,
    write_flow_png,
)
from jaxvision.data.picture_files import read_stored
from jaxvision.data.scene_flow.frames import FramePair, check_sizes
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.kitti import BASELINE, PADDED, SEED, SPLITS, KittiFrames
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.camliflow.background_refinement import LARGEST_FLOW, refine
from jaxvision.methods.camliflow.inputs import PairTransform
from jaxvision.methods.camliflow.model import FlowInputs
from jaxvision.methods.camliflow.submission import densify
from jaxvision.metrics.kitti_scene_flow import MEASURES, PARTS, Counts, Frame, count, rates
from jaxvision.training.task import Batch, Evaluation, Variables

POINTS, FARTHEST = 8192, 90.0
DISPARITIES, SEMANTICS = "disp_ganet", "semantic_ddr"
LAST_BACKGROUND = 22  # of Cityscapes' label ids: what lies behind moves by itself


class Estimated:
    """Records of KITTI as an evaluation sees them."""

    def __init__(self, frames: KittiFrames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> FramePair:
        return self.frames.with_estimated_depth(index, FARTHEST)

    def name(self, index: int) -> str:
        return self.frames.name(index)

    def files(self) -> list[Path]:
        return self.frames.files()


class Flows(NamedTuple):
    """An answer to one padded pair, and the points that it is about."""

    flow_2d: Float[np.ndarray, "h w 2"]
    flow_3d: Float[np.ndarray, "n 3"]
    cloud: Float[np.ndarray, "n 3"]


TRANSFORM = PairTransform(images=True, points=True, count=POINTS, size=PADDED, seed=SEED)


def outputs_of(forward: Callable[..., Any], variables: Variables, batch: Batch) -> dict[str, Any]:
    """Flows of a batch, by the names of `Flows`."""
    answer = forward(variables, FlowInputs(batch["images"], batch["clouds"], batch["camera"]))
    return Flows(answer.final_2d, answer.final_3d, batch["clouds"][:, 0])._asdict()


def estimate(frames: KittiFrames, index: int, flows: Flows, *, rigid: bool) -> Frame:
    """Maps of a record by a network's flows. rigid: the background, by its semantics, moves by one
    motion of the camera. InputError names a file that is missing or does not fit."""
    disparity = read_disparity_png(frames.file(DISPARITIES, index, "_10.png"))
    height, width = disparity.shape
    flow = np.clip(flows.flow_2d[:height, :width], -LARGEST_FLOW, LARGEST_FLOW)
    camera = frames.camera(index)
    dense = densify(disparity, flows.cloud, flows.flow_3d, flow, camera=camera, baseline=BASELINE)
    second = dense.disparity_2
    if rigid:
        flow, second = refine(
            flow,
            (disparity, second),
            background_of(frames, index, disparity.shape),
            ~dense.leaves,
            intrinsics=matrix_of(camera),
            baseline=BASELINE,
        )
    return Frame(disparity, second, flow, np.ones(disparity.shape, bool))


def matrix_of(camera: Camera) -> Float[np.ndarray, "3 3"]:
    return np.array([[camera.f, 0, camera.cx], [0, camera.f, camera.cy], [0, 0, 1.0]])


def background_of(
    frames: KittiFrames, index: int, size: tuple[int, ...]
) -> Bool[np.ndarray, "h w"]:
    return _labels(frames, SEMANTICS, index, size) <= LAST_BACKGROUND


def _labels(
    frames: KittiFrames, folder: str, index: int, size: tuple[int, ...]
) -> UInt8[np.ndarray, "h w"]:
    """One number a pixel. InputError names a file of another shape."""
    file = frames.file(folder, index, "_10.png")
    labels = read_stored(file)
    if labels.shape != size:
        raise InputError(f"{file}: labels of shape {labels.shape}, expected {size}")
    return labels


def truth_of(frames: KittiFrames, index: int) -> tuple[Frame, UInt8[np.ndarray, "h w"]]:
    """(true maps, 0 where a pixel is background)."""
    flow, valid = read_flow_png(frames.file("flow_occ", index, "_10.png"))
    first, second = (
        read_disparity_png(frames.file(f"disp_occ_{number}", index, "_10.png"))
        for number in range(2)
    )
    maps = {"flow_occ": flow, "disp_occ_0": first, "disp_occ_1": second}
    check_sizes(frames.name(index), maps)
    return Frame(first, second, flow, valid), _labels(frames, "obj_map", index, first.shape)


def counts_of(frames: KittiFrames, index: int, flows: Flows, kinds: Sequence[bool]) -> list[Counts]:
    """Outliers of a record, one of each kind: of a rigid background or not. InputError where truth
    and disparities differ in size."""
    truth, objects = truth_of(frames, index)
    counts = []
    for rigid in kinds:
        found = estimate(frames, index, flows, rigid=rigid)
        maps = {DISPARITIES: found.disparity_1, "disp_occ_0": truth.disparity_1}
        check_sizes(frames.name(index), maps)
        counts.append(count(found, truth, objects))
    return counts


def evaluation(root: Path, batch: int, forward: Callable[..., Any]) -> Evaluation:
    """`D1_all`, ..., `SF_all` (shares of outliers) of training40, by part; and the same of a rigid
    background, `*_rigid`, where the folder of semantics is there."""
    frames = KittiFrames(root, "training40")
    kinds = [False, True] if (root / "training" / SEMANTICS).is_dir() else [False]

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        return outputs_of(forward, variables, batch)

    def accumulate(total: Any, outputs: Mapping[str, Any], index: np.ndarray, bucket: str) -> Any:
        total = dict(total or {})
        for row, number in enumerate(index):
            flows = Flows(**{name: np.asarray(x[row]) for name, x in outputs.items()})
            total[int(number)] = counts_of(frames, int(number), flows, kinds)
        return total

    def finish(total: Any, variables: Any) -> dict[str, float]:
        found = {}
        for kind, rigid in enumerate(kinds):
            counts = [row[kind] for row in total.values()]
            summed = Counts(
                np.sum([c.errors for c in counts], axis=0),
                np.sum([c.pixels for c in counts], axis=0),
            )
            shares = rates(summed)[..., 0]
            for m, measure in enumerate(MEASURES):
                for p, part in enumerate(PARTS):
                    found[f"{measure}_{part}{'_rigid' if rigid else ''}"] = float(shares[m, p])
        return found

    return Evaluation(
        source=Source(Estimated(frames), batch, TRANSFORM),
        batch_specs={"pairs": TRANSFORM.specs(batch)},
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )


def submit(
    frames: KittiFrames, answer: Callable[[dict[str, Any]], Mapping[str, Any]], outdir: Path
) -> list[Path]:
    """The files that the server takes: disp_0, disp_1 and flow/%06d_10.png, of a rigid background
    where the folder of semantics is there. answer(batch of one): see `outputs_of`. InputError
    names a missing file before anything is computed; where another ends the work, nothing stays."""
    rigid = (frames.root / SPLITS[frames.split][0] / SEMANTICS).is_dir()
    check_files(frames, rigid)
    written: list[Path] = []
    folders = [outdir / name for name in ("disp_0", "disp_1", "flow")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        for index in range(len(frames)):
            written += submit_record(frames, index, answer, outdir, rigid)
    except InputError:  # the server takes whole sets
        for file in written:
            file.unlink()
        for folder in (*folders, outdir):
            with contextlib.suppress(OSError):  # somebody else's files are in it
                folder.rmdir()
        raise
    return written


def check_files(frames: KittiFrames, rigid: bool) -> None:
    """InputError names the first file that a submission needs and that is not there."""
    needed = [("calib_cam_to_cam", ".txt")]
    needed += [(folder, f"_{n}.png") for folder in ("image_2", DISPARITIES) for n in (10, 11)]
    needed += [(SEMANTICS, "_10.png")] * rigid
    for index in range(len(frames)):
        for folder, suffix in needed:
            frames.file(folder, index, suffix)


def submit_record(
    frames: KittiFrames,
    index: int,
    answer: Callable[[dict[str, Any]], Mapping[str, Any]],
    outdir: Path,
    rigid: bool,
) -> list[Path]:
    """The three files of a record."""
    sample = TRANSFORM(Estimated(frames)[index], np.random.default_rng(0), "pairs")
    found = answer({name: jnp.asarray(x)[None] for name, x in sample.items()})
    flows = Flows(**{name: np.asarray(x[0]) for name, x in found.items()})
    if not (np.isfinite(flows.flow_2d).all() and np.isfinite(flows.flow_3d).all()):
        raise InputError(f"{frames.name(index)}: the answer has values that are no numbers")
    maps = estimate(frames, index, flows, rigid=rigid)
    name = f"{frames.number(index):06d}_10.png"
    files = [outdir / folder / name for folder in ("disp_0", "disp_1", "flow")]
    write_disparity_png(files[0], maps.disparity_1)
    write_disparity_png(files[1], maps.disparity_2)
    write_flow_png(files[2], maps.flow, maps.flow_valid)
    return files
