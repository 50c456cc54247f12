"""Retiming a video: bounded memory, and a job that was stopped goes on where it was."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.frame_stream import VideoStream
from jaxvision.errors import InputError
from jaxvision.methods.emavfi.sequence import Interval, Retimer, intervals
from jaxvision.viz.video_stream import join_segments, write_segment


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


def fingerprint(variables: Any) -> str:
    """A short digest of the weights: sums of every leaf."""
    sums = [float(np.asarray(x, np.float64).sum()) for x in jax.tree.leaves(variables)]
    return hashlib.blake2b(np.array(sums).tobytes(), digest_size=8).hexdigest()


def retime_video(
    retimer: Retimer, stream: VideoStream, key: Mapping[str, Any], segment: int, outdir: Path
) -> list[Path]:
    """NAME_retimed.mp4 and NAME_retimed.json. Sound is copied as it is and stays in step, since
    frames keep the file's times.

    key: what the outcome depends on beside the file.  segment: given frames per segment. Segments
    are files of their own until the end; a new run of the same job takes those that are there.
    """
    if segment < 1:
        raise InputError(f"task.predict.segment={segment}: expected 1 or more")
    source, target = stream.path, outdir / f"{stream.path.stem}_retimed.mp4"
    parts = outdir / f"{source.stem}_retimed.parts"
    _keep_parts_of(parts, {**key, **_identity(source)})
    rate, taken, segments = stream.rate, 0, []
    with Progress(source.name, stream.count) as progress:
        numbered = groupby(intervals(stream, str(source)), lambda i: i.number // segment)
        for number, group in numbered:
            path = parts / f"{number:06d}.mp4"
            if path.exists():
                taken += 1
                for interval in group:
                    retimer.skip(interval)
                    progress.advance()
            else:
                write_segment(path, _frames(retimer, group, progress), rate)
            segments.append(path)
    sound = join_segments(target, segments, source if stream.has_audio else None)
    report = {
        "source": str(source),
        "frames": retimer.counts.frames,
        "made": retimer.counts.made,
        "segments_taken_from_an_earlier_run": taken,
        "skipped": stream.skipped,
        "cuts": retimer.counts.cuts,
        "sound": sound,
    }
    table = target.with_suffix(".json")
    with atomic_write(table) as temporary:
        Path(temporary).write_text(json.dumps(report, indent=1) + "\n")
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
