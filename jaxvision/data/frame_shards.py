"""Videos kept as shards of JPEG frames: a few large ArrayRecord files, any frame in one read.

A folder of shards holds `index.json` and shards/NNNNN.array_record. A record is one frame; the
index says where each video's frames begin.
"""

import functools
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from array_record.python import array_record_module
from PIL import Image

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.frame_sequence import FrameSequence, Picture, decode_picture
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.reencoding import note_lost, scaled_frames
from jaxvision.data.video import Video
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to
from jaxvision.text_files import a_count, a_file_name, at_least_1, read_json

INDEX, SHARDS = "index.json", "shards"
ROW = {"shard": a_file_name, "start": a_count, "count": at_least_1, "size": (at_least_1,) * 2}
JPEG_QUALITY = 90


@dataclass(frozen=True)
class ShardedVideo(FrameSequence):
    """One video of a shard: its records `start` .. `start + count - 1`.

    size: (height, width) in pixels.
    """

    name: str
    shard: Path
    start: int
    count: int
    size: tuple[int, int]

    def __len__(self) -> int:
        return self.count

    def _read(self, numbers: Sequence[int]) -> list[Picture]:
        try:
            reader = _reader(os.fspath(self.shard))
            records = reader.read([self.start + number for number in numbers])
            return [decode_picture(record, self.name) for record in records]
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.shard}: {self.name} cannot be read ({reason})") from error


def is_frame_shards(folder: str | Path) -> bool:
    """Whether a folder was made by `jaxvision prepare videos --format frames`."""
    return (path_to(folder) / INDEX).is_file()


@functools.lru_cache(maxsize=8)
def read_index(folder: str | Path) -> dict[str, ShardedVideo]:
    """Every video of a folder of shards by its name. InputError where the index makes no sense."""
    videos = read_json(path_to(folder) / INDEX, {"videos": {str: ROW}})["videos"]
    return {
        name: ShardedVideo(
            name,
            path_to(folder) / SHARDS / row["shard"],
            row["start"],
            row["count"],
            (*row["size"],),
        )
        for name, row in videos.items()
    }


def write_index(folder: Path, videos: dict[str, dict[str, Any]]) -> None:
    """The rows that `write_shard` gave, of all shards together."""
    with atomic_write(folder / INDEX) as temporary:
        Path(temporary).write_text(json.dumps({"videos": videos}))
    read_index.cache_clear()
    _reader.cache_clear()


def write_shard(
    shard: Path, videos: Sequence[tuple[str, Path]], short_side: int
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Frames of (name, file) pairs in one shard; rows of the index, and why a video is not in it.

    The shard appears under its name only when it is complete.
    """
    rows: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, str] = {}
    written = 0
    with atomic_write(shard) as temporary:
        # Groups of one: a read decompresses no frame but those it wants (JPEG gains nothing).
        writer = array_record_module.ArrayRecordWriter(temporary, "group_size:1,uncompressed")
        for name, path in videos:
            start, rgb = written, PixelFormat("rgb24")
            try:
                with Video(path) as video:
                    note_lost(path, video, video.presentation.lost_in_arrays)
                    for frame in scaled_frames(video, short_side):
                        writer.write(_jpeg(rgb.array(frame)))
                        written += 1
                size = [frame.height, frame.width]
                rows[name] = dict(shard=shard.name, start=start, count=written - start, size=size)
            except InputError as error:
                # What was written of it stays, in no row.
                unreadable[name] = str(error)
        writer.close()
    return rows, unreadable


@functools.lru_cache(maxsize=64)
def _reader(shard: str) -> Any:
    """Opening reads a shard's whole table of records, so readers are kept, in each process."""
    options = "readahead_buffer_size:0,max_parallelism:0"
    return array_record_module.ArrayRecordReader(shard, options)


def _jpeg(picture: Picture) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
