"""What readers change is told: once a kind, with a count, by whoever reads many files."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import media
from jaxvision.cli.main import main
from jaxvision.data.conversions import Conversions, Note, collecting, note
from jaxvision.data.labelled_pictures import picture_folder
from jaxvision.data.loader import EvaluationBatches, Schedule, TrainingBatches, of_record
from jaxvision.data.picture_files import read_picture
from jaxvision.data.source import Source
from jaxvision.data.video import Video

HDR = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}


def frames(count: int = 4) -> list[np.ndarray]:
    return [media.corners(48, 80)] * count


def wide_pixels(path):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    return media.video(path, frames(), stream_setup=setup)


def hdr(path):
    quiet = {"x265-params": "log-level=none"}
    return media.video(
        path, frames(), codec="libx265", pixels="yuv420p10le", tags=HDR, options=quiet
    )


def test_notes_are_kept_where_somebody_listens():
    assert not note("a.png", "grey")
    with collecting() as outer:
        assert note("a.png", "grey")
        with collecting() as inner:
            note("b.png", "deep", "12 bits")
        note("c.png", "grey")
    assert outer == [Note("grey", "a.png"), Note("grey", "c.png")]
    assert inner == [Note("deep", "b.png", "12 bits")]
    told = Conversions()
    assert told.add(outer) == ["converted: grey: first a.png"]
    assert told.add([*inner, *outer]) == ["converted: deep: first b.png (12 bits)"]
    assert told.lines("records") == [
        "converted: grey: 2 records, first a.png",
        "converted: deep: 1 records, first b.png (12 bits)",
    ]


def test_of_a_record_each_kind_counts_once():
    notes = [Note("grey", "a", "1"), Note("grey", "b", "2"), Note("deep", "b")]
    assert sorted(of_record("clip", notes)) == [Note("deep", "clip"), Note("grey", "clip", "1")]


def kinds(notes) -> list[str]:
    return [one.kind for one in notes]


def test_pictures_and_videos_note_what_they_lose(tmp_path):
    Image.fromarray(np.full((32, 32), 4000, np.uint16)).save(tmp_path / "deep.png")
    with collecting() as notes:
        read_picture(tmp_path / "deep.png")
        read_picture(media.exif_picture(tmp_path / "turned.jpg", 6))
    assert kinds(notes) == [
        "16-bit grey converted to 8-bit",
        "turned upright, as its EXIF says",
    ]
    with collecting() as notes:
        with Video(wide_pixels(tmp_path / "wide.mp4")) as video:
            video.frames([3, 1])
        with Video(hdr(tmp_path / "hdr.mp4")) as video:
            video.frames([0])
    assert kinds(notes) == [
        "pixels 4/3 as wide as high taken as they are, not stretched",
        "10-bit colour reduced to 8-bit",
        "HDR (PQ): no tone mapping, its mastering metadata is dropped",
    ]


def test_batches_say_which_records_were_converted(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / name / "deep.png")
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name / "plain.png")

    def transform(record, rng, bucket):
        return {"picture": np.asarray(record["picture"]), "label": record["label"]}

    records = picture_folder(tmp_path, ("a", "b"))
    source = Source(records, 4, transform)
    for data in (
        TrainingBatches({"all": source}, Schedule.single("all", 1), 0),
        EvaluationBatches(source, "all"),
    ):
        found = data[0].converted
        assert {one.where for one in found} == {str(tmp_path / n / "deep.png") for n in "ab"}
        assert set(kinds(found)) == {"16-bit grey converted to 8-bit"}


@pytest.mark.parametrize("form", ["mp4", "frames"])
def test_prepare_says_what_its_copies_have_no_longer(tmp_path, capsys, form):
    source = tmp_path / "videos"
    source.mkdir()
    wide_pixels(source / "wide.mp4")
    hdr(source / "hdr.mp4")
    media.video(source / "sound.mp4", frames(10), sound_tracks=1)
    (source / "._wide.mp4").write_bytes(b"of a system")
    (source / "notes.txt").write_text("of a person")
    words = ["prepare", "videos", str(source), str(tmp_path / "out"), "--short-side=32"]
    assert main([*words, f"--format={form}", "--workers=1"]) == 0
    told = capsys.readouterr().out
    assert "skipped: 1 .txt, 1 hidden\n" in told
    assert f"converted: sound dropped: 1 videos, first {source / 'sound.mp4'}\n" in told
    assert "converted: 10-bit colour reduced to 8-bit: 1 videos" in told
    assert "converted: HDR (PQ): no tone mapping" in told
    # Files keep the shape of pixels, shards do not.
    assert ("pixels 4/3 as wide as high taken as they are" in told) == (form == "frames")
    assert "3 videos in" in told
    assert "0 unreadable" in told
