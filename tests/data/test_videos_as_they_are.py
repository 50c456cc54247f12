"""A video stands as a player shows it; what is lost is said, and outputs keep what was said."""

import contextlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import media
from jaxvision.data.conversions import collecting
from jaxvision.data.frame_shards import read_index, write_index, write_shard
from jaxvision.data.frame_stream import VideoStream
from jaxvision.data.prepare_videos import Preparation
from jaxvision.data.reencoding import reencode
from jaxvision.data.video import SUFFIXES, Video
from jaxvision.errors import InputError
from jaxvision.viz.video_stream import join_segments, write_segment

CORNERS = list(media.CORNERS.values())
GOLDENS = Path(__file__).parents[1] / "goldens" / "videos"
GREEN = (29, 199, 28)
BT709 = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
BT601 = {"colorspace": 6, "color_range": 1, "color_primaries": 6, "color_trc": 6}
FULL = {"colorspace": 5, "color_range": 2}
PQ = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 16}


def phone_video(path: Path, turn: int, mirrored: bool = False) -> Path:
    """`corners` as a player shows it, stored turned: `turn` degrees lead back, then the mirror."""
    stored = media.corners()[:, ::-1] if mirrored else media.corners()
    stored = np.rot90(stored, -turn // 90)
    return media.video(
        path, [stored] * 5, stream_setup=lambda s: s.set_display_rotation(turn, hflip=mirrored)
    )


def retimed(source: Path, out: Path) -> Path:
    """What interpolation writes of a video, without new frames."""
    stream = VideoStream(source)
    frames = ((frame.time, frame.image[..., ::-1]) for frame in stream)
    segment = out.with_name("segment.mp4")
    write_segment(segment, frames, stream.rate, presentation=stream.presentation)
    join_segments(out, [segment], source if stream.sound_tracks else None)
    return out


def tags(path: Path) -> dict[str, int]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return {name: int(getattr(frame, name)) for name in BT709}


def shown(path: Path) -> np.ndarray:
    """A pixel in the middle of a flat video."""
    with Video(path) as video:
        return video.frames([1])[0, 20, 20].astype(int)


def ramp(count: int) -> list[np.ndarray]:
    return [np.full((48, 80, 3), 20 + 8 * i, np.uint8) for i in range(count)]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_every_display_matrix_is_obeyed_by_every_reader(tmp_path, turn, mirrored):
    path = phone_video(tmp_path / "phone.mp4", turn, mirrored)
    with Video(path) as video:
        assert video.size == (48, 80)
        assert media.corners_of(video.frames([2])[0]) == CORNERS
    assert media.corners_of(next(iter(VideoStream(path))).image[..., ::-1]) == CORNERS


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_what_is_written_of_a_turned_video_is_upright(tmp_path, turn):
    path = phone_video(tmp_path / "phone.mp4", turn)
    reencode(path, tmp_path / "prepared.mp4", 48)
    retimed(path, tmp_path / "retimed.mp4")
    for name in ("prepared.mp4", "retimed.mp4"):
        with Video(tmp_path / name) as video:
            assert video.size == (48, 80)
            assert video.presentation.orientation == (False, False, False)
            assert media.corners_of(video.frames([2])[0]) == CORNERS
    (tmp_path / "shards").mkdir()
    rows, _ = write_shard(tmp_path / "shards" / "0.array_record", [("phone", path)], 48)
    write_index(tmp_path, rows)
    shard = read_index(tmp_path)["phone"]
    assert shard.size == (48, 80)
    assert media.corners_of(shard.frames([2])[0]) == CORNERS


@pytest.mark.parametrize(("turn", "expected"), [(0, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_the_shape_of_pixels_is_kept(tmp_path, turn, expected):
    def anamorphic(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(turn)

    path = media.video(tmp_path / "wide.mp4", [media.corners()] * 5, stream_setup=anamorphic)
    reencode(path, tmp_path / "prepared.mp4", 48)
    for written in (tmp_path / "prepared.mp4", retimed(path, tmp_path / "retimed.mp4")):
        with av.open(str(written)) as container:
            assert container.streams.video[0].sample_aspect_ratio == expected
    assert f"pixels are {expected} as wide as high" in VideoStream(path).presentation.notes


@pytest.mark.parametrize(
    ("matrix", "said"),
    [(1, BT709), (5, BT601), (5, {}), (5, FULL)],
    ids=["bt709", "bt601", "untagged", "full range"],
)
def test_colours_are_read_by_their_tags_and_written_with_them(tmp_path, matrix, said):
    green = np.full((48, 80, 3), GREEN, np.uint8)
    path = media.video(tmp_path / "green.mp4", [green] * 5, matrix=matrix, tags=said)
    np.testing.assert_allclose(shown(path), GREEN, atol=2)
    out = retimed(path, tmp_path / "retimed.mp4")
    np.testing.assert_allclose(shown(out), GREEN, atol=3)
    written = tags(out)
    assert written.pop("color_range") in ((1,) if said else (0, 1))
    assert written.items() <= tags(path).items()
    reencode(path, tmp_path / "prepared.mp4", 48)
    np.testing.assert_allclose(shown(tmp_path / "prepared.mp4"), GREEN, atol=3)


def test_hdr_keeps_its_tags_and_says_what_is_lost(tmp_path):
    green = np.full((48, 80, 3), GREEN, np.uint8)
    path = media.video(
        tmp_path / "hdr.mp4",
        [green] * 5,
        codec="libx265",
        pixels="yuv420p10le",
        options={"x265-params": "log-level=none"},
        matrix=9,
        tags=PQ,
    )
    notes = VideoStream(path).presentation.notes
    assert notes == [
        "10-bit colour reduced to 8-bit",
        "HDR (PQ): no tone mapping, its mastering metadata is dropped",
    ]
    out = retimed(path, tmp_path / "retimed.mp4")
    assert tags(out) == PQ
    np.testing.assert_allclose(shown(out), GREEN, atol=4)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("b_frames.avi", {"options": {"bf": "3", "b-adapt": "0"}}),
        ("b_frames.ts", {"options": {"bf": "2"}}),
        ("b_frames.flv", {"options": {"bf": "2"}}),
        ("camera.mts", {}),
        ("old.wmv", {"codec": "wmv2"}),
        ("phone.3gp", {}),
        ("loop.gif", {"codec": "gif", "pixels": "rgb8"}),
    ],
)
def test_every_container_gives_every_frame_to_every_reader(tmp_path, name, how):
    path = media.video(tmp_path / name, ramp(24), **how)
    expected = 20 + 8 * np.arange(24)
    stream = VideoStream(path)
    frames = list(stream)
    assert stream.skipped == []
    np.testing.assert_allclose([f.image.mean() for f in frames], expected, atol=3)
    times = [float(f.time - frames[0].time) for f in frames]
    np.testing.assert_allclose(times, np.arange(24) / 10, atol=2e-3)
    with Video(path) as video:
        assert len(video) == 24
        numbers = [23, 5, 0]
        np.testing.assert_allclose(video.frames(numbers).mean((1, 2, 3)), expected[numbers], atol=3)
    assert path.suffix in SUFFIXES
    assert Preparation(tmp_path, tmp_path.with_name("prepared"), 48).names == (name,)


@pytest.mark.parametrize("name", ["truncated.mp4", "damaged_middle.mkv"])
def test_every_frame_that_is_lost_is_counted(name):
    stream = VideoStream(GOLDENS / name)
    found = len(list(stream))
    missing = stream.count - found
    assert missing > 0
    assert stream.skipped[-1].endswith(f"{name}: {missing} of {stream.count} frames cannot be read")


@pytest.mark.parametrize("suffix", ["avi", "ts", "flv"])
def test_packets_that_were_lost_shift_no_numbers_and_are_counted(tmp_path, suffix):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 60, (48, 80, 3), dtype=np.uint8) + 8 * i for i in range(24)]
    frames = [frame.astype(np.uint8) for frame in noise]
    path = media.video(tmp_path / f"whole.{suffix}", frames, options={"bf": "2", "g": "8"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    stream = VideoStream(path)
    found = [frame.image.mean() for frame in stream]
    assert len(found) < 24
    assert stream.skipped[-1].endswith(f"{24 - len(found)} of 24 frames cannot be read")
    if suffix == "avi":  # counted frames cannot be told after one is lost
        with pytest.raises(InputError, match="does not decode"):
            Video(path)
        return
    with Video(path) as video:
        given = {number: readable(video, number) for number in range(len(video))}
    seen = {number: image.mean() for number, image in given.items() if image is not None}
    assert 5 < len(seen) < 23
    for number, mean in seen.items():
        assert mean == pytest.approx(frames[number].mean(), abs=4)


def readable(video: Video, number: int) -> np.ndarray | None:
    with contextlib.suppress(InputError):
        return video.frames([number])[0]
    return None


def test_the_damaged_file_held_sixty():
    assert VideoStream(GOLDENS / "damaged_middle.mkv").count == 60


def test_a_change_of_size_is_one_line(tmp_path):
    path = media.size_change(tmp_path / "two.ts", [(48, 80), (64, 96)])
    with Video(path) as video:
        assert video.frames([0, 3]).shape == (2, 48, 80, 3)
        with pytest.raises(InputError, match="frame 4 is 96x64, those before it 80x48"):
            video.frames([3, 4])
    with pytest.raises(InputError, match=r"two\.ts: frame 4 is 96x64, those before it 80x48"):
        reencode(path, tmp_path / "prepared.mp4", 48)
    with pytest.raises(InputError, match=r"two\.ts: the frame at 0\.400 s: 96x64, but"):
        list(VideoStream(path))


def test_every_sound_track_is_kept(tmp_path):
    path = media.video(tmp_path / "two_tracks.mp4", ramp(10), sound_tracks=2)
    stream = VideoStream(path)
    segment = tmp_path / "segment.mp4"
    write_segment(segment, ((f.time, f.image) for f in stream), stream.rate)
    out = tmp_path / "joined.mp4"
    assert join_segments(out, [segment], path) == "kept (2 tracks)"

    def packets(file, track):
        with av.open(str(file)) as container:
            audio = container.streams.audio[track]
            return [bytes(packet) for packet in container.demux(audio) if packet.size]

    for track in (0, 1):
        assert packets(out, track) == packets(path, track)
    assert packets(out, 0) != packets(out, 1)


def film_of_tracks(path: Path, covers: int, tracks: int, sound: bool = False) -> Path:
    """Cover pictures, then tracks of flat pictures, each brighter than the one before."""
    with av.open(str(path), "w") as container:
        sounds = [container.add_stream("aac", rate=16000)] if sound else []
        streams = [container.add_stream("mjpeg", rate=10) for _ in range(covers + tracks)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 80, 48, "yuvj420p"
            if number < covers:
                stream.disposition = av.stream.Disposition.attached_pic
        for number, stream in enumerate(streams):
            image = np.full((48, 80, 3), 50 + 50 * number, np.uint8)
            for _ in range(1 if number < covers else 4):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        for stream in sounds:
            silence = np.zeros((1, 16000), np.float32)
            audio = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            audio.sample_rate = 16000
            container.mux(stream.encode(audio))
            container.mux(stream.encode())
    return path


def test_a_cover_is_no_video(tmp_path):
    song = film_of_tracks(tmp_path / "song.mp4", 1, 0, sound=True)
    with pytest.raises(InputError, match=r"song\.mp4: holds no video, only a cover"):
        Video(song)
    film = film_of_tracks(tmp_path / "film.mov", 1, 1)
    np.testing.assert_allclose(shown(film), 100, atol=2)
    assert not VideoStream(film).presentation.notes[1:]


def test_the_first_of_several_tracks_is_said(tmp_path):
    path = film_of_tracks(tmp_path / "angles.mkv", 0, 2)
    with collecting() as notes:
        np.testing.assert_allclose(shown(path), 50, atol=2)
    assert "the first of 2 tracks of pictures" in [note.kind for note in notes]


def test_interlaced_fields_are_said(tmp_path):
    path = media.video(
        tmp_path / "tape.mpg",
        [media.corners()] * 6,
        codec="mpeg2video",
        rate=25,
        options={"flags": "+ildct+ilme"},
    )
    assert VideoStream(path).presentation.notes[0].startswith("interlaced: both fields")


@pytest.mark.parametrize(("alpha", "said"), [(0, ["alpha channel dropped"]), (255, [])])
def test_transparent_pixels_are_said(tmp_path, alpha, said):
    path = tmp_path / "logo.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "rgba"
        image = np.full((48, 80, 4), (200, 90, 30, alpha), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgba")))
        container.mux(stream.encode())
    with collecting() as notes, Video(path) as video:
        assert tuple(video.frames([0])[0, 5, 5]) == (200, 90, 30)
    assert [note.kind for note in notes] == said


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("screen.mp4", "libx264rgb", "rgb24"), ("screen.mov", "png", "rgb24")],
)
def test_copies_of_rgb_say_the_matrix_that_they_have(tmp_path, name, codec, pixels):
    """4:2:0 colour tagged as RGB is shown in green and purple."""
    green = np.full((48, 80, 3), GREEN, np.uint8)
    path = media.video(tmp_path / name, [green] * 5, codec=codec, pixels=pixels)
    assert tags(path)["colorspace"] == 0
    reencode(path, tmp_path / "prepared.mp4", 48)
    for written in (tmp_path / "prepared.mp4", retimed(path, tmp_path / "retimed.mp4")):
        assert tags(written)["colorspace"] == 6
        np.testing.assert_allclose(shown(written), GREEN, atol=3)


@pytest.mark.parametrize("name", ["12:30.mp4", "http:clip.mp4", "100%03d.mp4"])
def test_names_are_names_and_no_addresses(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    media.video(tmp_path / name, ramp(4), sound_tracks=1)
    with Video(name) as video:
        assert len(video) == 4
    reencode(Path(name), Path(f"a:{name}"), 48)
    out = retimed(Path(name), Path(f"b:{name}"))
    assert VideoStream(Path(f"a:{name}")).count == VideoStream(out).count == 4
