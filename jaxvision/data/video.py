"""Exact frames of video files by number, through PyAV.

A frame's number is its place in presentation order among all frames of the file. Files lie about
how many frames they hold and seeking ends at the nearest key frame, so the packets are listed first
(without decoding) and every decoded frame is told by its time stamp. A frame that does not decode
is an error: never another frame in its place.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.pixel_format import PixelFormat
from jaxvision.errors import InputError

# Demuxers that skip over damage to the next thing they understand, without a word.
_SKIPPING = ("matroska", "avi")
# More bytes than this between two packets, belonging to neither, are no container's overhead.
_HOLE = 256
_BROKEN = (OSError, ValueError, EOFError, av.FFmpegError)


class _Packet(NamedTuple):
    stamp: int
    duration: int | None
    key: bool


class Video:
    """A video file's first video stream. Use as a context manager.

    Raises InputError, one line naming the file, for one that cannot be opened, holds no video or no
    frames. threads: that decode one file; data workers run side by side, so few is best there.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self._path = Path(path)
        self._rgb = PixelFormat("rgb24")
        try:
            self._container = av.open(str(path))
        except _BROKEN as error:
            raise InputError(f"{path}: not a video that can be read ({_reason(error)})") from error
        try:
            if not self._container.streams.video:
                raise InputError(f"{path}: holds no video")
            self._stream = self._container.streams.video[0]
            self._stream.thread_count = threads
            self._list_packets()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "Video":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._container.close()

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._stream.height, self._stream.width

    @property
    def times(self) -> Float[np.ndarray, " frames"]:
        """When each frame is shown, in seconds from the first."""
        stamps = np.asarray(self._stamps, np.float64)
        if self._by_count:
            return stamps / float(self._stream.average_rate or 25)
        return (stamps - stamps[0]) * float(self._stream.time_base or 1)

    def frames(
        self, numbers: Sequence[int] | Int[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """RGB frames by number (0-based; in any order, repeats allowed).

        InputError for a number outside the file and for a frame that does not decode.
        """
        wanted = [int(number) for number in numbers]
        outside = [number for number in wanted if not 0 <= number < len(self)]
        if outside:
            raise InputError(f"{self._path}: no frame {outside[0]} among {len(self)}")
        if max(wanted) >= self._reliable:
            raise InputError(
                f"{self._path}: damaged after frame {self._reliable - 1}: what follows cannot be "
                f"numbered (frame {max(wanted)} was asked for)"
            )
        left = {self._stamps[number]: number for number in wanted}
        found: dict[int, np.ndarray] = {}
        for start in self._starts(min(left)):
            try:
                for stamp, frame in self._decode(start, max(left)):
                    if stamp in left:
                        found[left.pop(stamp)] = self._rgb.array(frame)
                    if not left:
                        break
            except _BROKEN as error:
                if start is None:
                    raise InputError(
                        f"{self._path}: frame {min(left.values())} does not decode "
                        f"({_reason(error)})"
                    ) from error
            if not left:
                return np.stack([found[number] for number in wanted])
        raise InputError(f"{self._path}: frame {min(left.values())} does not decode")

    def stream(self) -> Iterator[av.VideoFrame]:
        """Every frame in order, decoded once. InputError at the first that does not decode."""
        number = 0
        try:
            for stamp, frame in self._decode(None, None):
                if number == min(self._reliable, len(self)) or stamp != self._stamps[number]:
                    break
                yield frame
                number += 1
        except _BROKEN as error:
            raise InputError(
                f"{self._path}: frame {number} does not decode ({_reason(error)})"
            ) from error
        if number < len(self):
            raise InputError(f"{self._path}: frame {number} does not decode")

    def _list_packets(self) -> None:
        """Time stamps of all frames in order, and of the key frames."""
        listed: list[tuple[int | None, int | None, bool]] = []
        hole, end = None, None
        skipping = self._container.format.name.startswith(_SKIPPING)
        try:
            for packet in self._container.demux():
                if packet.size == 0 or packet.is_discard:
                    continue
                if skipping and packet.pos is not None:
                    if hole is None and end is not None and packet.pos > end + _HOLE:
                        hole = len(listed)
                    end = packet.pos + packet.size
                if packet.stream_index == self._stream.index:
                    listed.append((packet.pts, packet.duration, packet.is_keyframe))
        except _BROKEN as error:
            # What lies before a break can still be read.
            if not listed:
                raise InputError(f"{self._path}: holds no frames ({_reason(error)})") from error
        if not listed:
            raise InputError(f"{self._path}: holds no frames")
        packets = [
            _Packet(stamp, duration, key) for stamp, duration, key in listed if stamp is not None
        ]
        stamps = [packet.stamp for packet in packets]
        if len(set(stamps)) < len(listed):
            return self._list_by_decoding()
        self._by_count = False
        self._stamps = sorted(stamps)
        self._keys = sorted(packet.stamp for packet in packets if packet.key)
        self._reliable = len(stamps)
        if hole and (_gap(packets, hole) or len(packets) < self._stream.frames):
            self._reliable = 1 + self._stamps.index(max(stamps[:hole]))
        return None

    def _list_by_decoding(self) -> None:
        """For files whose packets do not say when they are shown: frames are told by counting."""
        self._by_count = True
        self._keys = []
        try:
            self._stamps = [number for number, _ in self._decode(None, None)]
        except _BROKEN as error:
            raise InputError(f"{self._path}: does not decode ({_reason(error)})") from error
        if not self._stamps:
            raise InputError(f"{self._path}: holds no frames")
        self._reliable = len(self._stamps)

    def _starts(self, stamp: int) -> Iterator[int | None]:
        """Where to begin decoding for a frame: its key frame, the one before (the first frames
        after an open group's key frame need it), then the very beginning."""
        before = [key for key in self._keys if key <= stamp]
        yield from reversed(before[-2:])
        yield None

    def _decode(self, start: int | None, last: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """(time stamp or count, frame) from a key frame on, up to a time stamp."""
        if start is None:
            # The demuxer's own beginning; some formats cannot seek to it by time.
            self._reopen()
        else:
            self._container.seek(start, stream=self._stream, backward=True)
        for count, frame in enumerate(self._container.decode(self._stream)):
            stamp = count if self._by_count else frame.pts
            if stamp is None:
                continue
            if frame.is_corrupt:
                if self._by_count:
                    raise ValueError(f"frame {count} is damaged")
                continue
            yield stamp, frame
            # Frames come in order of time, so nothing later can still be wanted.
            if last is not None and stamp >= last:
                return

    def _reopen(self) -> None:
        threads = self._stream.thread_count
        self._container.close()
        self._container = av.open(str(self._path))
        self._stream = self._container.streams.video[0]
        self._stream.thread_count = threads


def _gap(packets: list[_Packet], place: int) -> bool:
    """Whether time is missing, too, between the packets before `place` and those from there on."""
    last = max(packets[:place])
    step = last.duration or int(np.median(np.diff(sorted(p.stamp for p in packets))))
    return min(packet.stamp for packet in packets[place:]) > last.stamp + 1.5 * step


def _reason(error: BaseException) -> str:
    """The first line of an error, without the number and the path that FFmpeg puts around it."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).split(": '")[0]
