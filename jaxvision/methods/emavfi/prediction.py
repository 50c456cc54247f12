"""Files in, files out: two pictures, a folder of frames, or videos; and the pictures of both.

A sequence is retimed with bounded memory, and a job that was stopped goes on where it was.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from jaxvision.data.conversions import note
from jaxvision.data.file_state import state_of
from jaxvision.data.frame_stream import (
    PictureStream,
    VideoStream,
    check_size,
    read_bgr_with_notes,
)
from jaxvision.data.job_folder import job_folder
from jaxvision.data.picture_files import SUFFIXES
from jaxvision.data.sequence_names import first_and_last
from jaxvision.data.video import SUFFIXES as VIDEO_SUFFIXES
from jaxvision.errors import InputError
from jaxvision.methods.emavfi.inference import InferenceSettings, Interpolator
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.retiming import Interval, Retimer, Retiming, check_time, intervals
from jaxvision.tasks.each_input import each_input
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_png
from jaxvision.viz.optical_flow import flow_picture
from jaxvision.viz.video_stream import join_segments, write_segment
from jaxvision.weights.fingerprint import fingerprint

GAP = 2


def predict_files(
    config: ConfigDict,
    model: InterpolationNetwork,
    variables,
    paths: Sequence[Path],
    outdir: Path,
) -> list[Path]:
    """Two pictures: the frames between them. More pictures of one folder: a sequence. Videos: each
    retimed. Returns what was written; InputError for what cannot be interpolated, where several
    folders and videos are given at the end (`each_input`).
    """
    options = config.task.predict
    # Without times of their own, two pictures are filled as a folder's would be.
    parts = range(1, options.multiple)
    times = [check_time(float(t)) for t in options.times or [p / options.multiple for p in parts]]
    interpolator = Interpolator(
        model,
        variables,
        InferenceSettings(config.task.down_scale, config.task.augment, tile=options.tile),
        config.model.any_time,
    )
    rate = Fraction(options.rate).limit_denominator(1001) if options.rate else None
    retiming = Retiming(options.multiple, rate)
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in paths if path.suffix.lower() in SUFFIXES]
    others = [path for path in paths if path.suffix.lower() not in (*VIDEO_SUFFIXES, *SUFFIXES)]
    key = {
        "options": options.to_dict(),
        "down_scale": config.task.down_scale,
        "augment": config.task.augment,
        "weights": fingerprint(variables),
    }

    def answer_folder(folder: Path, name: str) -> list[Path]:
        frames = [path for path in images if path.parent.resolve() == folder]
        check_sequence(frames, rate)
        # Positions count given frames, so `multiple` new positions lie in each step.
        even = Retiming(rate=Fraction(options.multiple))
        retimer = Retimer(interpolator, even, options.cut)
        states = {frame.name: state_of(frame) for frame in frames}
        job = {**key, "folder": str(folder), "frames": states}
        with job_folder(outdir / name, job):
            return retime_folder(retimer, options.multiple, frames, outdir / name)

    def answer_video(video: Path, name: str) -> list[Path]:
        retimer = Retimer(interpolator, retiming, options.cut, options.get("longest_gap", 0.0))
        work = VideoJob(VideoStream(video), name, key, options.segment)
        return retime_video(retimer, work, outdir)

    def answer(path: Path, name: str) -> list[Path]:
        if path in videos:
            return answer_video(path, name)
        if path in others:
            raise InputError(f"{path}: neither a picture nor a video")
        if path in images:
            check_sequence(images, rate)
            return between_two(interpolator, images[0], images[1], times, outdir)
        return answer_folder(path, name)

    pair = images[:1] if len(images) == 2 else []
    folders = [] if pair else sorted({path.parent.resolve() for path in images})
    return each_input([*pair, *folders, *videos, *others], outdir, answer)


def check_sequence(frames: Sequence[Path], rate: Fraction | None) -> None:
    """InputError for pictures between which nothing can lie, or nothing at a rate."""
    if len(frames) == 1:
        raise InputError(f"{frames[0]}: one picture; interpolation needs two or more")
    if rate is not None:
        raise InputError(
            f"{frames[0].parent}: pictures have no times to meet task.predict.rate by; expected "
            "task.predict.multiple"
        )


def to_rgb(image: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """BGR in [0, 1] -> 8-bit RGB, rounded."""
    return np.round(np.clip(np.asarray(image, np.float32), 0, 1) * 255).astype(np.uint8)[..., ::-1]


def mask_picture(mask: Float[np.ndarray, "h w 1"]) -> UInt8[np.ndarray, "h w 3"]:
    """Frame 0's share: white where the answer comes from frame 0, black where from frame 1."""
    grey = np.round(np.clip(np.asarray(mask, np.float32), 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=-1)


def flow_pictures(
    flow: Float[np.ndarray, "h w 4"],
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
    """Both flows on one scale: from the answer to frame 0, and to frame 1."""
    flow = np.asarray(flow, np.float32)
    lengths = np.linalg.norm(flow.reshape(*flow.shape[:2], 2, 2), axis=-1)
    largest = float(np.percentile(lengths, 99))
    return flow_picture(flow[..., :2], largest), flow_picture(flow[..., 2:], largest)


def row(images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "h w2 3"]:
    """Pictures side by side, black between them."""
    padded = [np.pad(image, ((0, 0), (0, GAP), (0, 0))) for image in images]
    return np.concatenate(padded, axis=1)[:, :-GAP]


def batch_picture(
    frames: UInt8[np.ndarray, "b 3 h w 3"], outputs: Mapping[str, np.ndarray], most_rows: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """A row per sample: first frame, answer, truth, last frame, flow to the first, mask."""
    rows = []
    for sample in range(min(most_rows, len(frames))):
        first, target, last = (np.asarray(frame)[..., ::-1] for frame in frames[sample])
        flow, _ = flow_pictures(outputs["flow"][sample])
        answer, mask = to_rgb(outputs["frame"][sample]), mask_picture(outputs["mask"][sample])
        rows.append(
            np.pad(row([first, answer, target, last, flow, mask]), ((0, GAP), (0, 0), (0, 0)))
        )
    return np.concatenate(rows)


def between_two(
    interpolator: Interpolator, first: Path, last: Path, times: Sequence[float], outdir: Path
) -> list[Path]:
    """For every time: the frame, both flows and the mask as pictures; one strip of all; a table."""
    (one, notes_one), (two, notes_two) = read_bgr_with_notes(first), read_bgr_with_notes(last)
    check_size(two, one, str(last))
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
        to_first, to_last = flow_pictures(answer.flow)
        frames.append(answer.image)
        lengths = np.linalg.norm(answer.flow.reshape(*answer.flow.shape[:2], 2, 2), axis=-1)
        rows.append(
            {
                "t": t,
                "frame": save(f"t{t:.3f}", answer.image[..., ::-1]),
                "flow_to_first": save(f"t{t:.3f}_flow0", to_first),
                "flow_to_last": save(f"t{t:.3f}_flow1", to_last),
                "mask": save(f"t{t:.3f}_mask", mask_picture(answer.mask)),
                "mean_flow_pixels": [float(x) for x in lengths.mean(axis=(0, 1))],
                "mean_share_of_first": float(answer.mask.mean()),
            }
        )
    save("strip", row([frame[..., ::-1] for frame in [*frames, two]]))
    notes = [
        f"{path}: {note}" for path, of in ((first, notes_one), (last, notes_two)) for note in of
    ]
    table = {"first": str(first), "last": str(last), "size": one.shape[1::-1], "notes": notes}
    write_json(outdir / f"{name}.json", {**table, "answers": rows})
    return [*outputs, outdir / f"{name}.json"]


class Progress:
    """A bar over the given frames on the terminal's error stream, where there is one."""

    def __init__(self, name: str, total: int):
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn(name),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._row = self._bar.add_task("", total=total or None)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def advance(self) -> None:
        self._bar.advance(self._row)


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
        "sequence": first_and_last(stream.paths),
        "frames": retimer.counts.frames,
        "written": len(written),
        "skipped": stream.skipped,
        "cuts": retimer.counts.cuts,
        "notes": sorted(stream.notes),
    }
    write_json(outdir / "report.json", report)
    return [*written, outdir / "report.json"]


@dataclass(frozen=True)
class VideoJob:
    """A video to be retimed.

    name: of what is written, before "_retimed".  key: what the outcome depends on beside the file.
    segment: given frames per segment.
    """

    stream: VideoStream
    name: str
    key: Mapping[str, Any]
    segment: int

    def __post_init__(self):
        if self.segment < 1:
            raise InputError(f"task.predict.segment={self.segment}: expected 1 or more")


def retime_video(retimer: Retimer, job: VideoJob, outdir: Path) -> list[Path]:
    """NAME_retimed.mp4 and NAME_retimed.json. Sound is copied as it is and stays in step, since
    frames keep the file's times; so do the shape of pixels and the tags of colour.

    Segments are files of their own until the end; a new run of the same job takes those that are
    there.
    """
    # 1. The folder of segments, emptied where it is another job's.
    stream, source = job.stream, job.stream.path
    target, parts = outdir / f"{job.name}_retimed.mp4", outdir / f"{job.name}_retimed.parts"
    for kind in stream.presentation.notes:
        note(source, kind)
    _keep_parts_of(parts, {**job.key, **_identity(source)})
    retimer.usual_step = stream.usual_step
    # 2. One file per segment; those of an earlier run are only counted past.
    rate, taken, segments = stream.rate, 0, []
    with Progress(source.name, stream.count) as progress:
        numbered = groupby(intervals(stream, str(source)), lambda i: i.number // job.segment)
        for number, group in numbered:
            path = parts / f"{number:06d}.mp4"
            if path.exists():
                taken += 1
                for interval in group:
                    retimer.skip(interval)
                    progress.advance()
            else:
                frames = _frames(retimer, group, progress)
                write_segment(path, frames, rate, presentation=stream.presentation)
            segments.append(path)
    # 3. One video with the source's sound, and the report; then the segments may go.
    sound = join_segments(target, segments, source if stream.sound_tracks else None)
    report = {
        "source": str(source),
        "frames": retimer.counts.frames,
        "made": retimer.counts.made,
        "segments_taken_from_an_earlier_run": taken,
        "skipped": stream.skipped,
        "cuts": retimer.counts.cuts,
        "gaps": retimer.counts.gaps,
        "notes": stream.presentation.notes,
        "sound": sound,
    }
    table = target.with_suffix(".json")
    write_json(table, report)
    shutil.rmtree(parts)
    return [target, table]


def _frames(retimer: Retimer, group: Iterator[Interval], progress: Progress) -> Iterator:
    for interval in group:
        for time, image in retimer.frames(interval):
            yield time, image[..., ::-1]
        progress.advance()


def _identity(source: Path) -> dict[str, Any]:
    state = source.stat()
    return {"file": source.name, "bytes": state.st_size, "modified": state.st_mtime}


def _keep_parts_of(parts: Path, key: Mapping[str, Any]) -> None:
    """An empty folder, or the one that an earlier run of exactly this job left."""
    note, text = parts / "job.json", json.dumps(key, sort_keys=True, default=str)
    if note.exists() and note.read_text() == text:
        return
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    note.write_text(text)
