"""Videos written piece by piece: segments of frames first, one file with its sound at the end."""

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.reencoding import EXACT_TIMES, TIME_BASE


def write_segment(
    path: Path,
    frames: Iterable[tuple[Fraction, UInt8[np.ndarray, "h w 3"]]],
    rate: Fraction,
    quality: int = 16,
) -> int:
    """Encode (seconds, RGB) frames as H.264 at their own times; returns how many there were.

    Odd sides are padded by a repeated edge, as 4:2:0 colour needs. rate: a hint for players.
    quality: x264's constant rate factor. The file appears under its name only when it is complete;
    without frames it is empty.
    """
    frames, count = iter(frames), 0
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
        stream.options = {"crf": str(quality), "bf": "0"}
        stream.codec_context.time_base = TIME_BASE
        for time, image in itertools.chain([first], frames):
            image = np.pad(
                image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge"
            )
            if count == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round(time / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode())
    return count


def join_segments(path: Path, segments: Sequence[Path], sound_of: Path | None = None) -> str:
    """One MP4 of all segments in order, not encoded again, with the sound of another file.

    Empty segments are passed over. Returns what became of the sound: "kept", "none", or why it was
    left out.
    """
    segments = [segment for segment in segments if segment.stat().st_size]
    sound = None if sound_of is None else av.open(str(sound_of))
    try:
        audio = sound.streams.audio[0] if sound is not None and sound.streams.audio else None
        try:
            _join(path, segments, sound, audio)
            return "kept" if audio is not None else "none"
        except (av.FFmpegError, ValueError) as error:
            if audio is None:
                raise
            _join(path, segments, None, None)
            return f"left out ({audio.codec_context.name} does not go into MP4: {error})"
    finally:
        if sound is not None:
            sound.close()


def _join(path: Path, segments: Sequence[Path], sound, audio) -> None:
    with (
        atomic_write(path) as temporary,
        av.open(temporary, "w", format="mp4", options=EXACT_TIMES) as output,
    ):
        with av.open(str(segments[0])) as first:
            video = output.add_stream_from_template(first.streams.video[0])
        audio_out = output.add_stream_from_template(audio) if audio is not None else None
        sounds = (p for p in sound.demux(audio) if p.dts is not None) if audio is not None else None
        waiting = next(sounds, None) if sounds is not None else None
        for segment in segments:
            with av.open(str(segment)) as container:
                for packet in container.demux(container.streams.video[0]):
                    if packet.dts is None:
                        continue
                    seconds = packet.dts * packet.time_base
                    # Sound and pictures interleaved, so that players need not read far ahead.
                    while waiting is not None and waiting.dts * waiting.time_base <= seconds:
                        waiting = _copy(output, waiting, audio_out, sounds)
                    packet.stream = video
                    output.mux(packet)
        while waiting is not None:
            waiting = _copy(output, waiting, audio_out, sounds)


def _copy(output, packet, stream, following):
    packet.stream = stream
    output.mux(packet)
    return next(following, None)
