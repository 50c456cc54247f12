"""What a video says of its pixels beside their values: their shape, their colours, their depth."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from jaxvision.data.orientation import Orientation

# FFmpeg's numbers of colour tags.
RGB, UNSPECIFIED = 0, 2
PQ, HLG = 16, 18
# Tags of matrices that the scaler knows; the others are read as BT.601.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
BT601 = 6

STORED = Orientation()


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How a video is to be shown.

    orientation: of the stored pixels.  aspect: width / height of an upright pixel.
    matrix, primaries, transfer: FFmpeg's numbers of colour tags; 2 where there is none.
    bits: of a colour.  full_range: whether 0 and 255 are black and white.
    interlaced: whether a frame holds two moments, line by line.  transparent: whether pixels of
    the first frame are.  tracks: of pictures in the file, of which the first is read.
    """

    orientation: Orientation = STORED
    aspect: Fraction = Fraction(1)
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    bits: int = 8
    full_range: bool = False
    interlaced: bool = False
    transparent: bool = False
    tracks: int = 1

    @classmethod
    def of(
        cls, frame: av.VideoFrame, stored_aspect: Fraction | None, tracks: int = 1
    ) -> "Presentation":
        """Of a decoded frame, the shape of its pixels as stored, and the file's tracks."""
        orientation = Orientation.of(frame)
        aspect = Fraction(stored_aspect or 1)
        if aspect <= 0:
            aspect = Fraction(1)
        return cls(
            orientation=orientation,
            aspect=1 / aspect if orientation.transposed else aspect,
            matrix=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            bits=max(component.bits for component in frame.format.components),
            full_range=int(frame.color_range) == ColorRange.JPEG,
            interlaced=bool(frame.interlaced_frame),
            transparent=_is_transparent(frame),
            tracks=tracks,
        )

    @property
    def notes(self) -> list[str]:
        """What a video of 8-bit upright frames in limited range, its pixels of the same shape, has
        no longer or has otherwise than the file: a few words each."""
        notes = self.lost_in_pixels
        if self.aspect != 1:
            notes.append(f"pixels are {self.aspect} as wide as high")
        if self.full_range:
            notes.append("full range converted to limited")
        return notes

    @property
    def lost_in_arrays(self) -> list[str]:
        """The same of frames as arrays, which have no shape of pixels: they are not stretched."""
        notes = self.lost_in_pixels
        if self.aspect != 1:
            notes.append(f"pixels {self.aspect} as wide as high taken as they are, not stretched")
        return notes

    @property
    def lost_in_pixels(self) -> list[str]:
        """The same of 8-bit upright frames, whatever is kept beside them."""
        notes = []
        if self.orientation != STORED:
            notes.append("turned upright, as its display matrix says")
        if self.bits > 8:
            notes.append(f"{self.bits}-bit colour reduced to 8-bit")
        if self.transfer in (PQ, HLG):
            curve = "PQ" if self.transfer == PQ else "HLG"
            notes.append(f"HDR ({curve}): no tone mapping, its mastering metadata is dropped")
        if self.matrix not in (*MATRICES, RGB, UNSPECIFIED):
            notes.append(f"colour matrix {self.matrix} is not known; read as BT.601")
        if self.interlaced:
            notes.append("interlaced: both fields of a frame kept in it, not separated")
        if self.transparent:
            notes.append("alpha channel dropped")
        if self.tracks > 1:
            notes.append(f"the first of {self.tracks} tracks of pictures")
        return notes

    def tag(self, codec: av.VideoCodecContext) -> None:
        """Say this of an encoder's output, whose frames come from `encode`."""
        codec.sample_aspect_ratio = self.aspect
        codec.colorspace = written_matrix(self.matrix)
        codec.color_range = ColorRange.MPEG
        codec.color_primaries, codec.color_trc = self.primaries, self.transfer

    def encode(self, frame: av.VideoFrame, scaler: VideoReformatter) -> av.VideoFrame:
        """An RGB frame as limited-range 4:2:0 colour of this matrix."""
        converted = scaler.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=MATRICES.get(written_matrix(self.matrix), Colorspace.ITU601),
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        converted.colorspace, converted.color_range = written_matrix(self.matrix), ColorRange.MPEG
        converted.color_primaries, converted.color_trc = self.primaries, self.transfer
        return converted


def written_matrix(matrix: int) -> int:
    """The matrix of 4:2:0 colour made of frames of `matrix`: the same where the scaler knows it; of
    RGB, which has none, BT.601, which the scaler takes."""
    return matrix if matrix in (*MATRICES, UNSPECIFIED) else BT601


def _is_transparent(frame: av.VideoFrame) -> bool:
    """Whether a frame has alpha; one of 8-bit packed colour (every GIF's): less than opaque."""
    if not any(component.is_alpha for component in frame.format.components):
        return False
    if frame.format.name not in ("rgba", "bgra"):
        return True
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return bool((rows[:, 3 : 4 * plane.width : 4] < 255).any())
