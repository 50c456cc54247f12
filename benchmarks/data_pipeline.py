"""The loader beside bare PyAV decoding of the same frames of the same files.

    python benchmarks/data_pipeline.py [--videos 12] [--clips 48] [--rounds 3] [--files FOLDER]

One core, one process, one run: the two take turns, and the median ratio counts. A clip is 16
frames, every fourth. "bare decode": open the file, go to the key frame, decode, convert the wanted
frames to RGB by `to_ndarray`. "one scaler": the same, converting as `Video` does, which is faster.
"one scaler + resize": that, and the random resized crop to 224 x 224. "exact frames": what `Video`
gives, which finds frames by number. "loader": that, the crop and batching.
Before that, every frame that the loader gives of generated files is checked by the number in it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table
from skimage import data as photographs

from jaxvision.data import crops
from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.resize import resized_crop_uint8
from jaxvision.data.source import Source
from jaxvision.data.video import Video
from jaxvision.data.video_clips import FrameSampling, TrainingClips, read_frames
from jaxvision.data.video_list import SUFFIXES, LabelledVideo, VideoRecords

FRAMES, STRIDE, SIZE, BATCH, RECORDS = 16, 4, (224, 224), 8, 4096
HEIGHT, WIDTH, LENGTH, GROUP = 256, 340, 300, 30
BITS, BLOCK = 10, 16
SAMPLING = FrameSampling("dense", FRAMES, STRIDE)


def write_numbered(path: Path, seed: int) -> None:
    """A photograph that moves; every frame carries its number as black and white blocks."""
    photograph = photographs.astronaut()
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, 512 - HEIGHT, (2, 2)) * [1, (512 - WIDTH) / (512 - HEIGHT)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.options = {"crf": "20", "g": str(GROUP)}
        for number in range(LENGTH):
            top, left = (start + (end - start) * number / LENGTH).astype(int)
            picture = photograph[top : top + HEIGHT, left : left + WIDTH].copy()
            bits = (number >> np.arange(BITS)) & 1
            picture[:BLOCK, : BITS * BLOCK] = np.repeat(bits * 255, BLOCK)[None, :, None]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def number_of(frame: np.ndarray) -> int:
    """The number that `write_numbered` wrote."""
    middle = frame[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK].mean(-1) > 127
    return int(np.sum(middle << np.arange(BITS)))


def wrong_frames(items: tuple[LabelledVideo, ...], clips: int) -> tuple[int, int]:
    """(frames that were not the ones asked for, frames checked) through the loader."""

    def numbered(item: LabelledVideo, rng: np.random.Generator, bucket: str) -> dict:
        with item.open() as video:
            wanted = SAMPLING.training(len(video), rng)
            return {"wanted": wanted, "video": video.frames(wanted)}

    wrong = 0
    for batch in batches_of(items, clips, numbered):
        for wanted, frames in zip(batch["wanted"], batch["video"], strict=True):
            wrong += sum(number_of(f) != n for f, n in zip(frames, wanted, strict=True))
    return wrong, clips * FRAMES


def batches_of(items: tuple[LabelledVideo, ...], clips: int, transform: Callable):
    """The arrays of `clips` clips in batches, as training reads them."""
    # As long a list as a small dataset's: drawing from a dozen records costs Grain milliseconds.
    source = Source(VideoRecords(items * -(-RECORDS // len(items))), BATCH, transform)
    steps = clips // BATCH
    loader = TrainingBatches({"clips": source}, Schedule.single("clips", steps), seed=0)
    for step in range(steps):
        yield loader[step].arrays


def bare_clip(path: Path, numbers: np.ndarray, stamps: dict, one_scaler: bool) -> np.ndarray:
    """The frames `numbers` with nothing but PyAV. Their time stamps are known beforehand, which
    bare decoding could not find out without reading the file's packets."""
    wanted = dict.fromkeys(stamps[path][n] for n in numbers)
    scaler = VideoReformatter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        container.seek(min(wanted), stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts in wanted:
                if one_scaler:
                    frame = scaler.reformat(frame, format="rgb24", threads=1)
                wanted[frame.pts] = frame.to_ndarray(format="rgb24")
            if frame.pts >= max(wanted):
                break
    return np.stack([wanted[stamps[path][n]] for n in numbers])


def stamps_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        packets = container.demux(video=0)
        return sorted(packet.pts for packet in packets if packet.pts is not None)


def clips_a_second(clips: int, work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return clips / (time.process_time() - started)


def measure(items: tuple[LabelledVideo, ...], clips: int, rounds: int) -> dict[str, list[float]]:
    """Clips per second of processor time of each way, round by round."""
    stamps = {item.path: stamps_of(item.path) for item in items}
    transform = TrainingClips(SAMPLING, SIZE, None)

    def bare(one_scaler: bool, resize: bool = False) -> None:
        rng = np.random.default_rng(0)
        for clip in range(clips):
            path = items[clip % len(items)].path
            numbers = SAMPLING.training(len(stamps[path]), rng)
            frames = bare_clip(path, numbers, stamps, one_scaler)
            if resize:
                box = crops.resized_crop_box(rng, *frames.shape[1:3])
                resized_crop_uint8(frames, box, SIZE, mirrored=False)

    def loader() -> None:
        for _ in batches_of(items, clips, transform):
            pass

    def decode_only() -> None:
        rng = np.random.default_rng(0)
        for clip in range(clips):
            read_frames(items[clip % len(items)], lambda total: SAMPLING.training(total, rng))

    ways = {
        "bare decode": lambda: bare(False),
        "one scaler": lambda: bare(True),
        "one scaler + resize": lambda: bare(True, resize=True),
        "exact frames": decode_only,
        "loader": loader,
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            speeds[name].append(clips_a_second(clips, way))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=12, help="files to generate")
    parser.add_argument("--clips", type=int, default=48, help="clips a round; a multiple of 8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=Path, help="a folder of videos instead (nothing to check)")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.files:
            found = sorted(p for p in arguments.files.rglob("*") if p.suffix.lower() in SUFFIXES)
        else:
            found = [Path(folder) / f"{number}.mp4" for number in range(arguments.videos)]
            for seed, path in enumerate(found):
                write_numbered(path, seed)
        items = tuple(LabelledVideo(path, 0) for path in found)
        if not arguments.files:
            wrong, checked = wrong_frames(items, arguments.clips)
            console.print(f"frames wrong: {wrong} of {checked}")
        with Video(found[0]) as video:
            console.print(f"{len(found)} files like {video.size}, {len(video)} frames")
        speeds = measure(items, arguments.clips, arguments.rounds)
    beside = ("bare decode", "one scaler", "one scaler + resize")
    table = Table("way", "clips/s per core", *(f"of {name}" for name in beside))
    for name, found_speeds in speeds.items():
        ratios = (
            statistics.median(a / b for a, b in zip(found_speeds, speeds[other], strict=True))
            for other in beside
        )
        speed = statistics.median(found_speeds)
        table.add_row(name, f"{speed:.2f}", *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)


if __name__ == "__main__":
    main()
