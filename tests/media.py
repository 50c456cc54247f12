"""Media as they really are, made with PyAV and Pillow: rotations, shapes of pixels, depths, tags,
B-frames in AVI, changes of size, sound tracks."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from jaxvision.viz.files import write_mp4

# A picture whose four corners say how it lies: red, green / blue, white, at the corners of a grey.
CORNERS = {
    "top left": (255, 0, 0),
    "top right": (0, 255, 0),
    "bottom left": (0, 0, 255),
    "bottom right": (255, 255, 255),
}


def corners(height: int = 48, width: int = 80) -> np.ndarray:
    """RGB [height, width, 3], a quarter of each colour."""
    image = np.zeros((height, width, 3), np.uint8)
    for name, colour in CORNERS.items():
        rows = slice(None, height // 2) if "top" in name else slice(height // 2, None)
        columns = slice(None, width // 2) if "left" in name else slice(width // 2, None)
        image[rows, columns] = colour
    return image


def corners_of(image: np.ndarray) -> list[tuple[int, ...]]:
    """The four colours near the corners, each channel rounded to 0 or 255, in CORNERS' order."""
    places = [(4, 4), (4, -5), (-5, 4), (-5, -5)]
    return [tuple(int(v > 127) * 255 for v in image[y, x]) for y, x in places]


def exif_picture(path: Path, orientation: int) -> Path:
    """`corners` as a viewer shows it, stored so that EXIF `orientation` (1 to 8) is needed."""
    stored_as = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(corners())
    if orientation in stored_as:
        image = image.transpose(stored_as[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)
    return path


def video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: int = 10,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    stream_setup: Callable | None = None,
    matrix: int = 5,
    tags: dict[str, int] | None = None,
    sound_tracks: int = 0,
    times: Sequence[Fraction] | None = None,
) -> Path:
    """RGB frames as a video. matrix: that colours are converted by (PyAV's `Colorspace`).
    tags: colorspace, color_range, color_primaries, color_trc of the stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.options = options or {}
        full = (tags or {}).get("color_range") == 2
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if stream_setup is not None:
            stream_setup(stream)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sounds = [container.add_stream("aac", rate=16000) for _ in range(sound_tracks)]
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=matrix, dst_color_range=2 if full else 1
            )
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            frame.pts = number
            frame.time_base = Fraction(1, rate)
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for track, sound in enumerate(sounds):
            wave = np.sin(np.arange(16000) * 0.05 * (track + 1)).astype(np.float32)[None]
            audio = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            audio.sample_rate, audio.pts = 16000, 0
            container.mux(sound.encode(audio))
            container.mux(sound.encode())
    return path


def bars(root: Path, around: bool = False, **counts: int) -> Path:
    """Videos of two classes, a bright bar that falls or rises before noise: root/SPLIT/CLASS/N.mp4.

    around: it begins anywhere and comes in again where it left, so that no place tells the class,
    at whichever frame a clip begins; else it crosses the picture once.
    counts: of the videos of each class, by split. Of 24 a class networks learn the motion; a few
    they may learn by heart.
    """
    rng = np.random.default_rng(0)
    bar, height = np.arange(12), 48
    for split, count in counts.items():
        for name, first, speed in (("falling", 0, 3), ("rising", 33, -3)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                clip = rng.integers(0, 60, (12, height, 64, 3), np.uint8)
                start = rng.integers(height) if around else first
                for frame, picture in enumerate(clip):
                    picture[(start + speed * frame + bar) % height] = 230
                write_mp4(root / split / name / f"{number}.mp4", clip, 8)
    return root


def size_change(path: Path, sizes: Sequence[tuple[int, int]], each: int = 4) -> Path:
    """A transport stream whose pictures change their size: recordings put one after the other."""
    pieces = []
    for number, size in enumerate(sizes):
        piece = path.with_name(f"{path.stem}_{number}.ts")
        offset = Fraction(number * each, 10)
        frames = [np.full((*size, 3), 40 + 30 * number, np.uint8)] * each
        times = [offset + Fraction(i, 10) for i in range(each)]
        pieces.append(video(piece, frames, times=times, options={"bf": "0"}))
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    for piece in pieces:
        piece.unlink()
    return path
