"""The loader beside bare PyAV decoding of the same frames of the same files.

    python benchmarks/data_pipeline.py [--videos 12] [--clips 48] [--rounds 5] [--files FOLDER]

One core, one process, one run: the ways take turns on the same clips, and the median ratio
counts. A clip is 16 frames, every fourth. "bare decode": open the file, go to the key frame,
decode, convert the wanted frames to RGB by `to_ndarray`. "one scaler": the same, converting as
`Video` does, which is faster. "one scaler + resize": that, and the random resized crop to
224 x 224. "exact frames": what `Video` gives, which finds frames by number. "loader": that, the
crop and batching. The second table says where the time of "one scaler" and of the loader goes.
Before that, every frame that the loader gives of generated files is checked by the number in it.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table
from skimage import data as photographs

from jaxvision.data import crops
from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.resize import resized_crop_uint8
from jaxvision.data.source import Source
from jaxvision.data.video import Video
from jaxvision.data.video_clips import FrameSampling, TrainingClips
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


class Drawn(NamedTuple):
    """What the loader reads as one clip."""

    path: Path
    numbers: np.ndarray  # of frames
    box: crops.Box
    mirrored: bool


def drawn_clips(items: tuple[LabelledVideo, ...], clips: int) -> list[Drawn]:
    """The clips of `batches_of` with `TrainingClips`, in its order of draws."""
    facts = {}
    for item in items:
        with item.open() as video:
            facts[item.path] = (len(video), video.size)
    drawn: list[Drawn] = []

    def draw(item: LabelledVideo, rng: np.random.Generator, bucket: str) -> dict:
        total, size = facts[item.path]
        numbers, box = SAMPLING.training(total, rng), crops.resized_crop_box(rng, *size)
        drawn.append(Drawn(item.path, numbers, box, bool(rng.random() < 0.5)))
        return {}

    for _ in batches_of(items, clips, draw):
        pass
    return drawn


def bare_frames(container: av.container.InputContainer, wanted: list[int]):
    """Decoded frames from the key frame before the wanted time stamps to the last of them."""
    stream = container.streams.video[0]
    stream.thread_count = 1
    container.seek(min(wanted), stream=stream, backward=True)
    for frame in container.decode(stream):
        yield frame
        if frame.pts >= max(wanted):
            return


def bare_clip(clip: Drawn, stamps: dict, one_scaler: bool) -> np.ndarray:
    """The clip's frames with nothing but PyAV. Their time stamps are known beforehand, which bare
    decoding could not find out without reading the file's packets."""
    wanted = [stamps[clip.path][n] for n in clip.numbers]
    found = dict.fromkeys(wanted)
    scaler = VideoReformatter()
    with av.open(str(clip.path)) as container:
        for frame in bare_frames(container, wanted):
            if frame.pts in found:
                stamp = frame.pts
                if one_scaler:
                    frame = scaler.reformat(frame, format="rgb24", threads=1)
                found[stamp] = frame.to_ndarray(format="rgb24")
    return np.stack([found[stamp] for stamp in wanted])


def stamps_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        packets = container.demux(video=0)
        return sorted(packet.pts for packet in packets if packet.pts is not None)


def measure(items: tuple[LabelledVideo, ...], clips: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of processor time a clip of each way, round by round."""
    stamps = {item.path: stamps_of(item.path) for item in items}
    transform = TrainingClips(SAMPLING, SIZE, None)
    drawn = drawn_clips(items, clips)
    with av.open(str(items[0].path)) as container:
        decoded = next(container.decode(video=0))
    frames = np.stack([PixelFormat("rgb24").array(decoded)] * FRAMES)

    def opened(clip: Drawn) -> None:
        av.open(str(clip.path)).close()

    def listed(clip: Drawn) -> None:
        Video(clip.path).__exit__(None, None, None)

    def decoded_only(clip: Drawn) -> None:
        wanted = [stamps[clip.path][n] for n in clip.numbers]
        with av.open(str(clip.path)) as container:
            for _ in bare_frames(container, wanted):
                pass

    def converted(clip: Drawn) -> None:
        pixels, found = PixelFormat("rgb24"), np.empty_like(frames)
        for place in range(FRAMES):
            found[place] = pixels.array(decoded)

    def exact(clip: Drawn) -> np.ndarray:
        with Video(clip.path) as video:
            return video.frames(clip.numbers)

    def cropped(clip: Drawn, given: np.ndarray = frames) -> None:
        resized_crop_uint8(given, clip.box, SIZE, clip.mirrored)

    each = {
        "bare decode": lambda clip: bare_clip(clip, stamps, False),
        "one scaler": lambda clip: bare_clip(clip, stamps, True),
        "one scaler + resize": lambda clip: cropped(clip, bare_clip(clip, stamps, True)),
        "exact frames": exact,
        "loader": None,
        "open": opened,
        "open, list": listed,
        "open, decode": decoded_only,
        "convert": converted,
        "crop": cropped,
    }
    times: dict[str, list[float]] = {name: [] for name in each}
    for _ in range(rounds):
        for name, way in each.items():
            started = time.process_time()
            if way is None:
                for _ in batches_of(items, clips, transform):
                    pass
            else:
                for clip in drawn:
                    way(clip)
            times[name].append((time.process_time() - started) / clips * 1e3)
    return times


def profile(times: dict[str, list[float]]) -> Table:
    """Where the time of bare decoding and of the loader goes, from medians of single parts."""
    ms = {name: statistics.median(found) for name, found in times.items()}
    rows = {
        "open the file": (ms["open"], ms["open"]),
        "list its packets": (0.0, ms["open, list"] - ms["open"]),
        "seek and decode": (
            ms["open, decode"] - ms["open"],
            ms["exact frames"] - ms["open, list"] - ms["convert"],
        ),
        "convert 16 frames": (ms["one scaler"] - ms["open, decode"], ms["convert"]),
        "crop and resize": (0.0, ms["crop"]),
        "order, batch": (0.0, ms["loader"] - ms["exact frames"] - ms["crop"]),
        "all": (ms["one scaler"], ms["loader"]),
    }
    table = Table("microseconds a clip", "one scaler", "loader")
    for name, pair in rows.items():
        table.add_row(name, *(f"{1e3 * value:,.0f}" for value in pair))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=12, help="files to generate")
    parser.add_argument("--clips", type=int, default=48, help="clips a round; a multiple of 8")
    parser.add_argument("--rounds", type=int, default=5)
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
        times = measure(items, arguments.clips, arguments.rounds)
    beside = ("bare decode", "one scaler", "one scaler + resize")
    table = Table("way", "clips/s per core", *(f"of {name}" for name in beside))
    for name in (*beside, "exact frames", "loader"):
        ratios = (
            statistics.median(a / b for a, b in zip(times[other], times[name], strict=True))
            for other in beside
        )
        speed = 1e3 / statistics.median(times[name])
        table.add_row(name, f"{speed:.2f}", *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    console.print(profile(times))


if __name__ == "__main__":
    main()
