"""A picture file stands as a viewer shows it, and says what was lost."""

import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import media
from jaxvision.data.actions.key_frames import ListedFrames
from jaxvision.data.frame_interpolation import FrameFiles
from jaxvision.data.frame_sequence import EncodedFrames, FrameFolder
from jaxvision.data.labelled_pictures import PictureFiles
from jaxvision.data.picture_files import picture_size, read_picture, read_stored, read_with_notes
from jaxvision.errors import InputError
from jaxvision.methods.umt.language.inputs import read_clip

CORNERS = list(media.CORNERS.values())
RAMP = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(tmp_path, orientation, suffix):
    path = media.exif_picture(tmp_path / f"phone.{suffix}", orientation)
    image, notes = read_with_notes(path)
    assert media.corners_of(np.asarray(image)) == CORNERS
    assert picture_size(path) == (48, 80)
    assert notes == (() if orientation == 1 else ("turned upright, as its EXIF says",))


def test_every_reader_turns(tmp_path):
    path = media.exif_picture(tmp_path / "img_00001.jpg", 6)
    frames = FrameFiles([(path, path)])
    assert frames.size(0) == (48, 80)
    read = [
        np.asarray(PictureFiles((path,), (0,))[0]["picture"]),
        FrameFolder(tmp_path, 1, "img_{:05}.jpg").frames([0])[0],
        EncodedFrames([path.read_bytes()], "one").frames([0])[0],
        ListedFrames("film", [path]).frames([0])[0],
        read_clip(path, 1, None)[0],
        read_clip((path, path), 1, None)[0],
        frames[0]["frames"][0][..., ::-1],
    ]
    assert all(media.corners_of(image) == CORNERS for image in read)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_by_its_depth(tmp_path, suffix):
    path = save(tmp_path / f"deep.{suffix}", RAMP)
    image, notes = read_with_notes(path)
    np.testing.assert_array_equal(np.asarray(image)[..., 1], np.round(RAMP / 257))
    assert notes == ("16-bit grey converted to 8-bit",)
    np.testing.assert_array_equal(read_stored(path), RAMP)
    assert read_stored(path).dtype == np.uint16


def test_16_bit_grey_takes_little_memory(tmp_path):
    """A file of 400 KB may hold 170 million equal values."""
    path = save(tmp_path / "even.png", np.zeros((1200, 1000), np.uint16))
    tracemalloc.start()
    read_picture(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * 1200 * 1000


def test_12_bit_grey_is_scaled_by_its_depth(tmp_path):
    values = (np.arange(64).reshape(8, 8) * 65).astype(np.uint16)
    image, notes = read_with_notes(tiff_12_bit(tmp_path / "twelve.tif", values))
    np.testing.assert_array_equal(np.asarray(image)[..., 0], np.round(values / 4095 * 255))
    assert notes == ("12-bit grey converted to 8-bit",)


def tiff_12_bit(path: Path, values: np.ndarray) -> Path:
    """Two values in three bytes, as the format packs them; rows of an even length."""
    first, second = values.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
    return tiff(path, packed.astype(np.uint8).tobytes(), values.shape, bits=12)


def tiff(
    path: Path, data: bytes, size: tuple[int, int], *, bits: int, planes: int = 1, sign: int = 1
) -> Path:
    """Grey, or colour plane by plane. sign: 1, none; 2, with one."""
    height, width = size
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, 1 if planes == 1 else 2)]
    entries += [(273, 8), (277, planes), (278, height), (279, len(data) // planes)]
    entries += [(284, 1 if planes == 1 else 2), (339, sign)]
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    directory, more = struct.pack("<H", len(entries)), b""
    for tag, value in entries:
        count = planes if tag in (258, 273, 279, 339) else 1
        if count > 1:
            step = len(data) // planes if tag == 273 else 0
            place = after + len(more)
            more += struct.pack(f"<{count}I", *(value + step * plane for plane in range(count)))
            value = place
        directory += struct.pack("<HHII", tag, 4, count, value)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(head + data + directory + struct.pack("<I", 0) + more)
    return path


@pytest.mark.parametrize(
    ("kind", "layout", "why"),
    [
        (np.uint16, {"bits": 16, "planes": 3}, "16-bit colour plane by plane"),
        (np.int8, {"bits": 8, "sign": 2}, "8-bit values with a sign"),
    ],
)
def test_numbers_that_would_be_read_as_others_are_refused(tmp_path, kind, layout, why):
    values = np.arange(8 * layout.get("planes", 1)).astype(kind)
    path = tiff(tmp_path / "odd.tif", values.tobytes(), (2, 4), **layout)
    for read in (read_picture, read_stored):
        with pytest.raises(InputError, match=why):
            read(path)


def test_colour_plane_by_plane_is_read(tmp_path):
    values = np.arange(24, dtype=np.uint8)
    path = tiff(tmp_path / "planes.tif", values.tobytes(), (2, 4), bits=8, planes=3)
    picture = np.asarray(read_picture(path))
    np.testing.assert_array_equal(np.moveaxis(picture, -1, 0).ravel(), values)


@pytest.mark.parametrize("full", [1.0, 255.0])
def test_float_pictures_are_scaled_by_their_range(tmp_path, full):
    path = save(tmp_path / "float.tif", (RAMP / 65535 * full).astype(np.float32))
    image, notes = read_with_notes(path)
    np.testing.assert_array_equal(np.asarray(image)[..., 2], np.round(RAMP / 257))
    assert notes == ("float grey converted to 8-bit",)
    assert read_stored(path).dtype == np.float32


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.float32([[0, 1000]]), "float values from 0 to 1000; expected 0 to 1 or 0 to 255"),
        (np.float32([[-1, 1]]), "float values from -1 to 1"),
        (np.float32([[0, np.nan]]), "float values from nan to nan"),
        (np.int32([[0, 70000]]), "32-bit values from 0 to 70000"),
    ],
)
def test_values_of_no_known_range_are_refused(tmp_path, values, why):
    path = save(tmp_path / "unknown.tif", values)
    with pytest.raises(InputError, match=why) as raised:
        read_picture(path)
    assert "unknown.tif" in str(raised.value)


def test_16_bit_colour_keeps_its_depth_where_asked(tmp_path):
    colour = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
    path = tmp_path / "flow.png"
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 8, 8, "rgb48be"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb48le")
        container.mux(stream.encode(frame.reformat(format="rgb48be")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(read_stored(path), colour)
    image, notes = read_with_notes(path)
    assert notes == ("16-bit colour converted to 8-bit",)
    np.testing.assert_allclose(np.asarray(image), colour / 257, atol=1)


def test_other_kinds_of_colour(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    image, notes = read_with_notes(tmp_path / "print.jpg")
    assert (image.getpixel((1, 1)), notes) == ((255, 0, 0), ("CMYK converted to RGB",))
    Image.fromarray(media.corners()).convert("P").save(tmp_path / "palette.png")
    image, notes = read_with_notes(tmp_path / "palette.png")
    assert (media.corners_of(np.asarray(image)), notes) == (CORNERS, ())
    Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(tmp_path / "alpha.png")
    image, notes = read_with_notes(tmp_path / "alpha.png")
    assert (image.getpixel((1, 1)), notes) == ((9, 8, 7), ("alpha channel dropped",))


def test_of_several_pictures_the_first_is_taken_and_said(tmp_path):
    pages = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (10, 20)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    image, notes = read_with_notes(tmp_path / "pages.tif")
    assert (image.getpixel((0, 0)), notes) == ((10, 0, 0), ("the first of 2 pictures",))


def test_a_cut_off_picture_is_refused_by_name(tmp_path):
    path = save(tmp_path / "cut.png", media.corners())
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"cut\.png: not a picture that can be read"):
        read_picture(path)
    with pytest.raises(InputError, match=r"cut\.png: not a picture"):
        read_stored(path)
