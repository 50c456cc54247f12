"""Videos written piece by piece: segments of frames first, one file with its sound at the end."""

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.presentation import Presentation
from jaxvision.data.reencoding import EXACT_TIMES, SAME_BYTES, TIME_BASE
from jaxvision.data.video import open_media


def write_segment(
    path: Path,
    frames: Iterable[tuple[Fraction, UInt8[np.ndarray, "h w 3"]]],
    rate: Fraction,
    quality: int = 16,
    presentation: Presentation | None = None,
) -> int:
    """Encode (seconds, RGB) frames as H.264 at their own times; returns how many there were.

    Odd sides are padded by a repeated edge, as 4:2:0 colour needs. rate: a hint for players.
    quality: x264's constant rate factor.  presentation: of the video that the (upright) frames come
    from; its tags of colour and shape of pixels are kept. The file appears under its name only when
    it is complete; without frames it is empty.
    """
    frames, count = iter(frames), 0
    presentation, scaler = presentation or Presentation(), VideoReformatter()
    first = next(frames, None)
    if first is None:
        path.write_bytes(b"")
        return 0
    with (
        atomic_write(path) as temporary,
        av.open(temporary, "w", format="mp4", options=EXACT_TIMES) as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        # Without B-frames packets are in order of time, also from one segment to the next.
        stream.options = {"crf": str(quality), "bf": "0", **SAME_BYTES}
        stream.codec_context.time_base = TIME_BASE
        presentation.tag(stream.codec_context)
        for time, image in itertools.chain([first], frames):
            image = np.pad(
                image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge"
            )
            if count == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = presentation.encode(frame, scaler)
            frame.pts, frame.time_base = round(time / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode())
    return count


def join_segments(path: Path, segments: Sequence[Path], sound_of: Path | None = None) -> str:
    """One MP4 of all segments in order, not encoded again, with the sound of another file.

    Empty segments are passed over. Returns what became of the sound: "kept" (and how many tracks
    where there are several), "none", or why it was left out.
    """
    segments = [segment for segment in segments if segment.stat().st_size]
    sound = None if sound_of is None else open_media(sound_of)
    try:
        tracks = list(sound.streams.audio) if sound is not None else []
        try:
            _join(path, segments, sound, tracks)
        except (av.FFmpegError, ValueError) as error:
            if not tracks:
                raise
            _join(path, segments, None, [])
            names = ", ".join(track.codec_context.name for track in tracks)
            return f"left out ({names} does not go into MP4: {error})"
        if len(tracks) > 1:
            return f"kept ({len(tracks)} tracks)"
        return "kept" if tracks else "none"
    finally:
        if sound is not None:
            sound.close()


def _join(path: Path, segments: Sequence[Path], sound, tracks: Sequence[Any]) -> None:
    with (
        atomic_write(path) as temporary,
        av.open(temporary, "w", format="mp4", options=EXACT_TIMES) as output,
    ):
        with open_media(segments[0]) as first:
            video = output.add_stream_from_template(first.streams.video[0])
        copies = {track.index: output.add_stream_from_template(track) for track in tracks}
        packets = sound.demux(*tracks) if tracks else ()
        sounds = (packet for packet in packets if packet.dts is not None)
        waiting = next(sounds, None)
        for segment in segments:
            with open_media(segment) as container:
                for packet in container.demux(container.streams.video[0]):
                    if packet.dts is None:
                        continue
                    seconds = packet.dts * packet.time_base
                    # Sound and pictures interleaved, so that players need not read far ahead.
                    while waiting is not None and waiting.dts * waiting.time_base <= seconds:
                        waiting = _copy(output, waiting, copies, sounds)
                    packet.stream = video
                    output.mux(packet)
        while waiting is not None:
            waiting = _copy(output, waiting, copies, sounds)


def _copy(output, packet, copies, following):
    packet.stream = copies[packet.stream_index]
    output.mux(packet)
    return next(following, None)
