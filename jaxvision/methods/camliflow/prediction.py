"""Files in, files out: pairs of one's own frames (`data.scene_flow.sequences` says how they are
told), or KITTI's server's files: {"kitti": FOLDER, "split": "testing200"} in a JSON file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.conversions import note
from jaxvision.data.flow_files import write_flo
from jaxvision.data.scene_flow.frames import FramePair, draw_points, drop_unusable
from jaxvision.data.scene_flow.kitti import KittiFrames
from jaxvision.data.scene_flow.sequences import Sequence as FrameSequence
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.camliflow import kitti_evaluation
from jaxvision.methods.camliflow.inputs import check_points
from jaxvision.methods.camliflow.model import FlowInputs, Prediction
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig
from jaxvision.metrics.scene_flow import flow_2d_sums, means
from jaxvision.tasks.each_input import each_input
from jaxvision.text_files import read_json
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png
from jaxvision.viz.optical_flow import flow_picture
from jaxvision.viz.scene_flow import error_picture, motion_page

SUFFIXES = (".json",)
TRAINED_TO = 35.0  # metres, as far as FlyingThings3D's clouds reach
SEED = 0  # of the points that are drawn
Answer = Callable[[FlowInputs], Prediction]


def predict_files(
    config: ConfigDict,
    network: RaftConfig | PwcConfig,
    answer: Answer,
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """For every pair of a sequence: NAME_0000_flow.png and .flo, NAME_0000_error.png where the
    truth is known, NAME_0000_motion.html and NAME_0000_flow_3d.npy (points and their motion); and
    NAME.json, a row a pair. Returns what was written."""
    options = config.task.predict
    check_points("task.predict.points", options.points, network)

    def answer_sequence(path: Path, name: str) -> list[Path]:
        table = read_json(path, {str: object})
        if "kitti" in table:
            return answer_kitti(path, table, outdir / name)
        sequence = FrameSequence(path, options.baseline, options.farthest)
        written: list[Path] = []
        rows = []
        try:
            for number in range(len(sequence)):
                pair = sequence.pair(number, network.images, network.points)
                files, row = answer_pair(pair, f"{name}_{number:04d}")
                written += files
                rows.append({"pair": number, **row})
        except InputError:  # half a sequence is no answer
            for file in written:
                file.unlink()
            raise
        write_json(outdir / f"{name}.json", {"sequence": str(path), "pairs": rows})
        return [*written, outdir / f"{name}.json"]

    def answer_pair(pair: FramePair, name: str) -> tuple[list[Path], dict[str, Any]]:
        given, drawn = as_inputs(pair, network, options.points)
        found, row = answer(given), {}
        for values in (found.final_2d, found.final_3d):
            if values is not None and not np.isfinite(values).all():
                raise InputError(
                    f"{pair.name}: the answer has values that are no numbers: with a camera "
                    f"{[float(x) for x in pair.camera]} and these pictures and points the network "
                    "cannot compute"
                )
        files: list[Path] = []
        if found.final_2d is not None:
            flow = np.asarray(found.final_2d[0])
            pictures = {"flow": flow_picture(flow)}
            row["mean_flow_pixels"] = float(np.linalg.norm(flow, axis=-1).mean())
            if pair.flow_2d is not None:
                true, valid = pair.flow_2d[..., :2], pair.flow_2d[..., 2] > 0
                pictures["error"] = error_picture(flow, true, valid)
                row |= means(flow_2d_sums(flow, true, valid))
            for suffix, picture in pictures.items():
                files.append(outdir / f"{name}_{suffix}.png")
                write_png(files[-1], picture)
            files.append(outdir / f"{name}_flow.flo")
            write_flo(files[-1], flow)
        if found.final_3d is not None:
            flow_3d = np.asarray(found.final_3d[0])
            row["mean_motion_metres"] = float(np.linalg.norm(flow_3d, axis=-1).mean())
            files += save_motion(outdir, name, drawn, flow_3d)
        return files, row

    def answer_kitti(path: Path, table: dict[str, Any], folder: Path) -> list[Path]:
        if not (network.images and network.points):
            raise InputError(f"{path}: KITTI is for networks of pixels and points")
        for key in table:
            check_choice(f"{path}: unknown key", key, ("kitti", "split"))
        root, split = table["kitti"], table.get("split", "testing200")
        if type(root) is not str or type(split) is not str:
            raise InputError(f"{path}: expected names of a folder and of a split")
        frames = KittiFrames(path.parent / root, split)

        def flows(batch: dict[str, Any]) -> dict[str, Any]:
            return kitti_evaluation.outputs_of(lambda _, given: answer(given), {}, batch)

        return kitti_evaluation.submit(frames, flows, folder)

    return each_input(paths, outdir, answer_sequence)


def as_inputs(
    pair: FramePair, network: RaftConfig | PwcConfig, points: int
) -> tuple[FlowInputs, FramePair]:
    """(a batch of one, the pair with the points that are in it)."""
    images = clouds = camera = None
    if network.images:
        images = jnp.asarray(pair.images[None])
    if network.points:
        pair = draw_points(drop_unusable(pair), points, np.random.RandomState(SEED))
        far = sum(int((cloud[:, 2] > TRAINED_TO).sum()) for cloud in pair.clouds)
        if far:
            note(pair.name, f"points beyond {TRAINED_TO:.0f} m, where networks were not trained")
        clouds = jnp.asarray(np.stack(pair.clouds)[None], jnp.float32)
        camera = jnp.asarray([pair.camera], jnp.float32)
    return FlowInputs(images, clouds, camera), pair


def save_motion(
    outdir: Path, name: str, pair: FramePair, flow: Float[np.ndarray, "n 3"]
) -> list[Path]:
    """The page, and an array [n, 6] of points and their motion."""
    table, page = outdir / f"{name}_flow_3d.npy", outdir / f"{name}_motion.html"
    with atomic_write(table) as temporary, open(temporary, "wb") as file:
        np.save(file, np.concatenate([pair.clouds[0], flow], axis=1).astype(np.float32))
    with atomic_write(page) as temporary:
        Path(temporary).write_text(motion_page(name, *pair.clouds, flow), encoding="utf-8")
    return [table, page]


def comparison(
    frame: UInt8[np.ndarray, "h w 3"],
    flow: Float[np.ndarray, "h w 2"],
    truth: Float[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """First frame and error above, flow and true flow below, the latter two in one scale."""
    valid = truth[..., 2] > 0
    largest = float(np.linalg.norm(truth[valid, :2], axis=-1).max(initial=1e-3))
    true = np.where(valid[..., None], flow_picture(truth[..., :2], largest), np.uint8(0))
    above = np.concatenate([frame, error_picture(flow, truth[..., :2], valid)], axis=1)
    below = np.concatenate([flow_picture(flow, largest), true], axis=1)
    return np.concatenate([above, below])
