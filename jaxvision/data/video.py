"""Exact frames of video files by number, through PyAV.

A frame's number is its place in presentation order among all frames of the file. Files lie about
how many frames they hold and seeking ends at the nearest key frame, so the packets are listed first
(without decoding) and every decoded frame is told by its time stamp. A frame that does not decode
is an error: never another frame in its place.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from jaxtyping import Float, Int, UInt8

from jaxvision.data.conversions import note
from jaxvision.data.h264 import has_whole_frames
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.presentation import Presentation
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

# Names of files that are looked at as videos; FFmpeg decides by their content.
SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".gif"),
)

# Demuxers that skip over damage to the next thing they understand, without a word.
_SKIPPING = ("matroska", "avi", "flv")
# More bytes than this between two packets, belonging to neither, are no container's overhead.
_HOLE = 256
_BROKEN = (OSError, ValueError, EOFError, av.FFmpegError)


class _Packet(NamedTuple):
    stamp: int
    duration: int | None
    key: bool


class Video:
    """A video file's first video stream, its frames upright. Use as a context manager.

    Raises InputError, one line naming the file, for one that cannot be opened, holds no video or no
    frames. threads: that decode one file; data workers run side by side, so few is best there.
    damaged: whether a file may be opened of which only `survivors` can be read.
    """

    def __init__(self, path: str | Path, threads: int = 1, damaged: bool = False):
        self._path = path_to(path)
        self._damaged = damaged
        self._rgb = PixelFormat("rgb24")
        try:
            self._container = open_media(path)
        except _BROKEN as error:
            raise InputError(f"{path}: not a video that can be read ({_reason(error)})") from error
        try:
            tracks = _picture_tracks(self._container)
            if not tracks:
                covers = len(self._container.streams.video)
                raise InputError(f"{path}: holds no video{', only a cover' if covers else ''}")
            self._stream, self._tracks = tracks[0], len(tracks)
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
        """(height, width) of the upright frames in pixels."""
        return self.presentation.orientation.size(self._stream.height, self._stream.width)

    @cached_property
    def presentation(self) -> Presentation:
        """How the video is to be shown, as the first frame that decodes says."""
        for _, frame in self.survivors([]):
            return self._presentation_of(frame)
        raise InputError(f"{self._path}: no frame of it decodes")

    @property
    def rate(self) -> Fraction:
        """Frames a second on average, or 25 where nobody says."""
        return Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)

    @property
    def sound_tracks(self) -> int:
        return len(self._container.streams.audio)

    @property
    def expected(self) -> int:
        """How many frames the file should hold: by its packets, its index, and where a piece of it
        is missing, the time from the first frame to the last at the usual step."""
        count = max(self._packets, len(self._stream.index_entries) - self._discarded)
        if self._hole and len(self._stamps) > 1:
            usual = float(np.median(np.diff(self._stamps)))
            count = max(count, round((self._stamps[-1] - self._stamps[0]) / usual) + 1)
        return count

    @property
    def times(self) -> Float[np.ndarray, " frames"]:
        """When each frame is shown, in seconds from the first."""
        stamps = np.asarray(self._stamps, np.float64)
        if self._by_count:
            return stamps / float(self.rate)
        return (stamps - stamps[0]) * float(self._stream.time_base or 1)

    def frames(
        self, numbers: Sequence[int] | Int[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """RGB frames by number (0-based; in any order, repeats allowed). What their pixels lost is
        noted (`conversions`).

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
        left: dict[int, list[int]] = {}  # time stamp: places in the answer
        for place, number in enumerate(wanted):
            left.setdefault(self._stamps[number], []).append(place)
        found: UInt8[np.ndarray, "n h w 3"] | None = None
        for start in self._starts(min(left)):
            try:
                for stamp, frame in self._decode(start, max(left), tuple(left)):
                    if stamp in left:
                        places = left.pop(stamp)
                        pixels = self._rgb.array(frame)
                        if found is None:
                            self._note_conversions(frame)
                            found = np.empty((len(wanted), *pixels.shape), np.uint8)
                        self._check_size(wanted[places[0]], pixels, found)
                        found[places] = pixels
                    if not left:
                        break
            except _BROKEN as error:
                if start is None:
                    raise InputError(
                        f"{self._path}: frame {self._earliest(left)} does not decode "
                        f"({_reason(error)})"
                    ) from error
            if found is not None and not left:
                return found
        raise InputError(f"{self._path}: frame {self._earliest(left)} does not decode")

    def _earliest(self, stamps: Collection[int]) -> int:
        return self._stamps.index(min(stamps))

    def survivors(self, skipped: list[str]) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """(seconds in the file's own time, frame) of all that decodes, in order of time. What does
        not is named in `skipped`, with the count of all that is missing at the end."""
        self._reopen()
        if self._stream.thread_count != 1:
            self._stream.thread_type = "AUTO"
        count = yielded = 0
        last: Fraction | None = None
        for packet in self._readable_packets(skipped):
            try:
                frames = packet.decode()
            except _BROKEN as error:
                skipped.append(f"{self._path}: {_reason(error)}")
                count += 1
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                number, count = count, count + 1
                time = self._time(frame, number)
                if frame.is_corrupt or time is None:
                    skipped.append(f"{self._path}: damaged frame {_after(last)}")
                    continue
                if last is not None and time <= last:
                    skipped.append(f"{self._path}: frame out of order at {float(time)} s")
                    continue
                last = time
                yielded += 1
                yield time, frame
        if yielded < self.expected:
            missing = self.expected - yielded
            skipped.append(f"{self._path}: {missing} of {self.expected} frames cannot be read")

    def _time(self, frame: av.VideoFrame, number: int) -> Fraction | None:
        """When a frame is shown (seconds in the file's own time); None where it does not say."""
        if self._by_count:
            return number / self.rate
        base = frame.time_base or self._stream.time_base
        return None if frame.pts is None or base is None else frame.pts * Fraction(base)

    def _readable_packets(self, skipped: list[str]) -> Iterator[av.Packet]:
        """Packets until the end, or until the file can be read no further (which is named)."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except _BROKEN as error:
                skipped.append(f"{self._path}: unreadable from here on ({_reason(error)})")
                return
            if packet is None:
                return
            yield packet

    def stream(self) -> Iterator[av.VideoFrame]:
        """Every frame in order, decoded once. InputError at the first that does not decode, or that
        has another size than those before it."""
        number, first = 0, None
        try:
            for stamp, frame in self._decode(None, None):
                if number == min(self._reliable, len(self)) or stamp != self._stamps[number]:
                    break
                size = frame.height, frame.width
                if size != (first := first or size):
                    raise InputError(_other_size(self._path, number, size, first))
                yield frame
                number += 1
        except _BROKEN as error:
            raise InputError(
                f"{self._path}: frame {number} does not decode ({_reason(error)})"
            ) from error
        if number < len(self):
            raise InputError(f"{self._path}: frame {number} does not decode")

    def _note_conversions(self, frame: av.VideoFrame) -> None:
        for kind in self._presentation_of(frame).lost_in_arrays:
            note(self._path, kind)

    def _presentation_of(self, frame: av.VideoFrame) -> Presentation:
        return Presentation.of(frame, self._stream.sample_aspect_ratio, self._tracks)

    def _check_size(self, number: int, pixels: np.ndarray, found: np.ndarray) -> None:
        """InputError where frame `number` is not as large as the first that was found."""
        size, first = pixels.shape[:2], found.shape[1:3]
        if size != first:
            raise InputError(_other_size(self._path, number, size, first))

    def _list_packets(self) -> None:
        """Time stamps of all frames in order, and of the key frames."""
        listed: list[tuple[int | None, int | None, bool]] = []
        hole, end, torn, discarded = None, None, None, 0
        self._hole = False
        skipping = self._container.format.name.startswith(_SKIPPING)
        try:
            for packet in self._container.demux():
                if packet.size == 0:
                    continue
                if packet.is_discard:
                    discarded += packet.stream_index == self._stream.index
                    continue
                if skipping and packet.pos is not None:
                    if hole is None and end is not None and packet.pos > end + _HOLE:
                        hole = len(listed)
                    end = packet.pos + packet.size
                if packet.stream_index == self._stream.index:
                    if packet.is_corrupt and torn is None:
                        torn = packet.pts
                    listed.append((packet.pts, packet.duration, packet.is_keyframe))
        except _BROKEN as error:
            # What lies before a break can still be read.
            self._hole = True
            if not listed:
                raise InputError(f"{self._path}: holds no frames ({_reason(error)})") from error
        if not listed:
            raise InputError(f"{self._path}: holds no frames")
        packets = [
            _Packet(stamp, duration, key) for stamp, duration, key in listed if stamp is not None
        ]
        stamps = [packet.stamp for packet in packets]
        self._packets, self._discarded = len(listed), discarded
        self._hole = self._hole or torn is not None
        # AVI gives packets the times of their places, which with B-frames are not their frames'.
        reordered = self._container.format.name == "avi" and self._reordering
        if reordered or len(set(stamps)) < len(listed):
            return self._list_by_decoding(hole)
        self._by_count = False
        self._stamps = sorted(stamps)
        self._keys = sorted(packet.stamp for packet in packets if packet.key)
        self._reliable = len(stamps)
        if hole and (_gap(packets, hole) or len(packets) < self._stream.frames):
            self._reliable, self._hole = 1 + self._stamps.index(max(stamps[:hole])), True
        if torn is not None:
            self._reliable = min(self._reliable, _before_gap(self._stamps, torn))

    @property
    def _reordering(self) -> int:
        """How many frames a decoder holds back to bring them into order."""
        return int(self._stream.codec_context.has_b_frames)

    def _list_by_decoding(self, hole: int | None) -> None:
        """For files whose packets do not say when they are shown: frames are told by counting, up
        to where packets are missing (before packet `hole`)."""
        self._by_count = True
        self._keys = []
        if self._damaged:
            self._stamps, self._reliable = list(range(self._packets)), self._packets
            return
        try:
            self._stamps = [number for number, _ in self._decode(None, None)]
        except _BROKEN as error:
            raise InputError(f"{self._path}: does not decode ({_reason(error)})") from error
        if not self._stamps:
            raise InputError(f"{self._path}: holds no frames")
        self._reliable = len(self._stamps)
        if hole:
            self._reliable = max(min(hole - self._reordering, self._reliable), 0)

    def _starts(self, stamp: int) -> Iterator[int | None]:
        """Where to begin decoding for a frame: its key frame, the one before (the first frames
        after an open group's key frame need it), then the very beginning."""
        before = [key for key in self._keys if key <= stamp]
        yield from reversed(before[-2:])
        yield None

    def _decode(
        self, start: int | None, last: int | None, wanted: Collection[int] = ()
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """(time stamp or count, frame) from a key frame on, up to a time stamp. wanted: time stamps
        of the frames that are asked for, where some may be left out; all must come otherwise."""
        if start is None:
            # The demuxer's own beginning; some formats cannot seek to it by time.
            self._reopen()
        else:
            self._container.seek(start, stream=self._stream, backward=True)
        for count, frame in enumerate(self._decoded(wanted)):
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

    def _decoded(self, wanted: Collection[int]) -> Iterator[av.VideoFrame]:
        """Frames in order of time from where the file stands. Where a packet is a frame and the
        wanted ones are known, those that are neither wanted nor needed by others are not decoded,
        and nothing after the last wanted packet."""
        if not wanted or not self._packets_are_frames:
            yield from self._container.decode(self._stream)
            return
        decoder, unseen = self._stream.codec_context, set(wanted)
        try:
            for packet in self._container.demux(self._stream):
                decoder.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                yield from packet.decode()
                unseen.discard(packet.pts)
                if not unseen:
                    yield from decoder.decode(None)
                    return
        finally:
            decoder.skip_frame = "DEFAULT"

    @cached_property
    def _packets_are_frames(self) -> bool:
        """Of H.264, whose frames that no other needs are certain to be known as such."""
        decoder = self._stream.codec_context
        return not self._by_count and decoder.name == "h264" and has_whole_frames(decoder.extradata)

    def _reopen(self) -> None:
        threads = self._stream.thread_count
        self._container.close()
        self._container = open_media(self._path)
        self._stream = _picture_tracks(self._container)[0]
        self._stream.thread_count = threads


def open_media(path: str | Path) -> InputContainer:
    """A file for FFmpeg, to which the beginning of a name like `12:30.mp4` is a protocol."""
    return av.open(os.fspath(path_to(path).absolute()))


def _picture_tracks(container: InputContainer) -> list[av.VideoStream]:
    """Tracks of pictures, without the covers of music and films."""
    cover = Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _before_gap(stamps: list[int], torn: int) -> int:
    """How many frames come before time is missing, of a stream (of MPEG's) that lost packets near
    the time `torn`: all where no time is."""
    if len(stamps) < 2:
        return len(stamps)
    steps = np.diff(stamps)
    wide = (steps > 1.5 * np.median(steps)) & (np.array(stamps[1:]) > torn)
    return int(np.argmax(wide)) + 1 if wide.any() else len(stamps)


def _after(time: Fraction | None) -> str:
    return "at the beginning" if time is None else f"after {float(time)} s"


def _other_size(path: Path, number: int, size: tuple[int, ...], first: tuple[int, ...]) -> str:
    return (
        f"{path}: frame {number} is {size[1]}x{size[0]}, those before it {first[1]}x{first[0]}: "
        "cut the file there"
    )


def _gap(packets: list[_Packet], place: int) -> bool:
    """Whether time is missing, too, between the packets before `place` and those from there on."""
    last = max(packets[:place])
    step = last.duration or int(np.median(np.diff(sorted(p.stamp for p in packets))))
    return min(packet.stamp for packet in packets[place:]) > last.stamp + 1.5 * step


def _reason(error: BaseException) -> str:
    """The first line of an error, without the number and the path that FFmpeg puts around it."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).split(": '")[0]
