"""Videos made cheap to read: smaller pictures, short groups, the same frames by number."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av

from jaxvision.data.atomic_write import atomic_write
from jaxvision.data.conversions import note
from jaxvision.data.crops import short_side_size
from jaxvision.data.pixel_format import PixelFormat
from jaxvision.data.presentation import RGB, written_matrix
from jaxvision.data.video import Video

# Fine enough for every usual frame rate, and what MPEG uses.
TIME_BASE = Fraction(1, 90000)
# MP4 otherwise rounds the time of a file's first frame to milliseconds.
EXACT_TIMES = {"movie_timescale": "90000", "video_track_timescale": "90000"}
# With its macroblock tree x264 (core 165) does not give the same bytes for the same frames each
# time: of 224 x 160 pixels one file in six was another one.
SAME_BYTES = {"mbtree": "0"}
# x264's for files that clips are read from: a clip is decoded from the key frame before it.
SHORT_GROUPS: dict[str, object] = {"crf": "18", "g": "30", "bf": "0", **SAME_BYTES}


def even_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) whose shorter is at most `short_side`, aspect kept, both even (4:2:0 colour
    halves them). Nothing is enlarged."""
    if min(height, width) > short_side:
        height, width = short_side_size(height, width, short_side)
    return max(height // 2 * 2, 2), max(width // 2 * 2, 2)


def scaled_frames(video: Video, short_side: int) -> Iterator[av.VideoFrame]:
    """Every frame of a video as 4:2:0 colour at `even_size`."""
    size, colour = even_size(*video.size, short_side), PixelFormat("yuv420p")
    for frame in video.stream():
        yield colour.frame(frame, size)


def note_lost(source: Path, video: Video, kinds: Sequence[str]) -> None:
    """Note what the copy of a video has no longer: of its pixels `kinds`, and its sound."""
    for kind in kinds:
        note(source, kind)
    if video.sound_tracks:
        note(source, "sound dropped")


def reencode(source: Path, target: Path, short_side: int) -> int:
    """H.264 in MP4 without sound: frame n of `target` is frame n of `source`, at its time, upright,
    its pixels of the same shape and its colours of the same tags.

    Returns the number of frames; what is lost is noted (`conversions`). `target` is written only
    when all of it could be made; InputError names a source that cannot be read to its end.
    """
    with Video(source) as video, atomic_write(target) as temporary:
        size, times = even_size(*video.size, short_side), video.times
        note_lost(source, video, video.presentation.lost_in_pixels)
        with av.open(temporary, "w", format="mp4", options=EXACT_TIMES) as container:
            stream = container.add_stream("libx264", rate=30)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.sample_aspect_ratio = video.presentation.aspect
            stream.thread_count = 1  # files are encoded side by side
            stream.options = SHORT_GROUPS
            stream.codec_context.time_base = TIME_BASE
            last = -1
            for number, frame in enumerate(scaled_frames(video, short_side)):
                if number == 0:
                    _copy_colour(frame, stream.codec_context)
                # Two frames of one time would be one frame.
                last = max(round(times[number] / float(TIME_BASE)), last + 1)
                frame.pts, frame.time_base = last, TIME_BASE
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return len(video)


def _copy_colour(frame: av.VideoFrame, codec) -> None:
    """Say of the copy what the source says of its colours: only RGB is converted, to a matrix."""
    rgb = int(frame.colorspace) == RGB
    codec.colorspace = written_matrix(RGB) if rgb else frame.colorspace
    codec.color_range = frame.color_range
    codec.color_primaries = frame.color_primaries
    codec.color_trc = frame.color_trc
