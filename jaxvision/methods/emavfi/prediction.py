"""Files in, files out: two pictures, a folder of frames, or videos."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.frame_stream import (
    VIDEO_SUFFIXES,
    PictureStream,
    VideoStream,
    check_size,
    read_picture,
)
from jaxvision.data.pictures import SUFFIXES
from jaxvision.errors import InputError
from jaxvision.methods.emavfi import pictures
from jaxvision.methods.emavfi.inference import InferenceSettings
from jaxvision.methods.emavfi.interpolator import Interpolator
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.retiming import Retiming, check_time
from jaxvision.methods.emavfi.sequence import Retimer, intervals
from jaxvision.methods.emavfi.video_job import Progress, fingerprint, retime_video
from jaxvision.viz.files import write_png


def predict_files(
    config: ConfigDict,
    model: InterpolationNetwork,
    variables,
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """Two pictures: the frames between them. More pictures of one folder: a sequence. Videos: each
    retimed. Returns what was written; InputError for what cannot be interpolated.
    """
    options = config.task.predict
    times = [check_time(float(t)) for t in options.times]
    interpolator = Interpolator(
        model,
        variables,
        InferenceSettings(config.task.down_scale, config.task.augment),
        config.model.any_time,
        options.tile,
    )
    rate = Fraction(options.rate).limit_denominator(1001) if options.rate else None
    retiming = Retiming(options.multiple, rate)
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not videos and not images:
        raise InputError(f"{paths[0]}: neither a picture nor a video")
    written: list[Path] = []
    if len(images) == 1:
        raise InputError(f"{images[0]}: one picture; interpolation needs two or more")
    if len(images) == 2:
        written += between_two(interpolator, images[0], images[1], times, outdir)
    else:
        for folder in sorted({path.parent for path in images}):
            frames = [path for path in images if path.parent == folder]
            # Positions count given frames, so `multiple` new positions lie in each step.
            even = Retiming(rate=Fraction(options.multiple))
            retimer = Retimer(interpolator, even, options.cut)
            written += retime_folder(retimer, options.multiple, frames, outdir / folder.name)
    for video in videos:
        retimer = Retimer(interpolator, retiming, options.cut)
        key = {
            "options": options.to_dict(),
            "down_scale": config.task.down_scale,
            "augment": config.task.augment,
            "weights": fingerprint(variables),
        }
        written += retime_video(retimer, VideoStream(video), key, options.segment, outdir)
    return written


def between_two(
    interpolator: Interpolator, first: Path, last: Path, times: Sequence[float], outdir: Path
) -> list[Path]:
    """For every time: the frame, both flows and the mask as pictures; one strip of all; a table."""
    (one, note_one), (two, note_two) = read_picture(first), read_picture(last)
    check_size(two, one, last)
    name = f"{first.stem}_{last.stem}"
    moments = [Fraction(t).limit_denominator(10000) for t in times]
    outputs: list[Path] = []
    rows, frames = [], [one]

    def save(suffix: str, picture: np.ndarray) -> str:
        path = outdir / f"{name}_{suffix}.png"
        write_png(path, np.ascontiguousarray(picture))
        outputs.append(path)
        return path.name

    for t, answer in zip(times, interpolator.answers(one, two, moments), strict=True):
        to_first, to_last = pictures.flow_pictures(answer.flow)
        frames.append(answer.image)
        lengths = np.linalg.norm(answer.flow.reshape(*answer.flow.shape[:2], 2, 2), axis=-1)
        rows.append(
            {
                "t": t,
                "frame": save(f"t{t:.3f}", answer.image[..., ::-1]),
                "flow_to_first": save(f"t{t:.3f}_flow0", to_first),
                "flow_to_last": save(f"t{t:.3f}_flow1", to_last),
                "mask": save(f"t{t:.3f}_mask", pictures.mask_picture(answer.mask)),
                "mean_flow_pixels": [float(x) for x in lengths.mean(axis=(0, 1))],
                "mean_share_of_first": float(answer.mask.mean()),
            }
        )
    save("strip", pictures.row([frame[..., ::-1] for frame in [*frames, two]]))
    notes = [f"{path}: {note}" for path, note in ((first, note_one), (last, note_two)) if note]
    table = {"first": str(first), "last": str(last), "size": one.shape[1::-1], "notes": notes}
    return [*outputs, write_json(outdir / f"{name}.json", {**table, "answers": rows})]


def retime_folder(
    retimer: Retimer, multiple: int, paths: Sequence[Path], outdir: Path
) -> list[Path]:
    """PNG files numbered by output position, `multiple` of them for each given one.

    A picture that does not decode is skipped, and its place filled from its neighbours. Files that
    are there from an earlier run are kept.
    """
    outdir.mkdir(parents=True, exist_ok=True)
    stream, written = PictureStream(paths), []
    with Progress(outdir.name, stream.count) as progress:
        for interval in intervals(stream, str(paths[0].parent)):
            first, last = interval.first.time, interval.last
            stop = int(last.time * multiple) if last is not None else int(first * multiple) + 1
            targets = [outdir / f"{n:08d}.png" for n in range(int(first * multiple), stop)]
            if all(target.exists() for target in targets):
                retimer.skip(interval)
            else:
                made = retimer.frames(interval)
                for target, (_, image) in zip(targets, made, strict=True):
                    write_png(target, np.ascontiguousarray(image[..., ::-1]))
            written += targets
            progress.advance()
    report = {
        "frames": retimer.counts.frames,
        "written": len(written),
        "skipped": stream.skipped,
        "cuts": retimer.counts.cuts,
        "notes": sorted(stream.notes),
    }
    return [*written, write_json(outdir / "report.json", report)]


def write_json(path: Path, table: dict) -> Path:
    with atomic_write(path) as temporary:
        Path(temporary).write_text(json.dumps(table, indent=1) + "\n")
    return path
