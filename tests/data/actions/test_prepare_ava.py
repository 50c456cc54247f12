"""AVA's films cut for both code bases, read back by what reads them; frames carry their numbers."""

import csv

import numpy as np
import pytest

from jaxvision.cli.main import main
from jaxvision.data.actions import prepare_ava
from jaxvision.data.actions.ava_people import read_frame_list
from jaxvision.data.actions.json_files import read_annotations
from jaxvision.data.actions.prepare_ava import AvaPreparation, Cut, people_as_json, shown_at
from jaxvision.data.actions.second_files import clip_around
from jaxvision.data.frame_sequence import FrameFolder
from jaxvision.errors import InputError
from media import video

RATE, STEP = 10, 6  # frames a second of the film, and grey levels between two frames


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Two films of 4.0 and 2.5 seconds; a third is missing. Both layouts want seconds 1 to 3."""
    monkeypatch.setitem(prepare_ava.CUTS, "seconds", Cut(5, (1, 3), 32))
    monkeypatch.setitem(prepare_ava.CUTS, "frames", Cut(20, (1, 3), None))
    source = tmp_path / "films"
    source.mkdir()
    for name, count in (("long", 40), ("short", 25)):
        frames = [np.full((48, 64, 3), STEP * i, np.uint8) for i in range(count)]
        video(source / f"{name}.mkv", frames, rate=RATE, options={"crf": "0", "g": "7"})
    rows = [
        ("long", "0902", 0.25, 0.5, 0.5, 1, 12, 3),
        ("long", "0902", 0.2501, 0.5, 0.5, 1, 80, 3),  # the same person: one box
        ("long", "0902", 0, 0, 0.5, 0.5, 1, 4),
        ("short", "0903", 0, 0, 1, 1, 7, 1),
        ("gone", "0904", 0, 0, 1, 1, 7, 1),
    ]
    with (tmp_path / "val.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def numbers(frames) -> list[int]:
    return np.rint(np.asarray(frames, np.float64).mean(axis=(1, 2, 3)) / STEP).astype(int).tolist()


def test_seconds_are_files_and_people_are_json(films, capsys):
    arguments = ["prepare", "ava", str(films / "films"), str(films / "out")]
    arguments += ["--list", str(films / "val.csv"), "--workers", "1"]
    assert main(arguments) == 2  # not whole
    said = capsys.readouterr().out
    assert "gone: 0 of 15 frames: no such film" in said
    assert "short: 8 of 15 frames: ends at second 2.5" in said
    assert "1 of 3 films whole" in said
    clips = films / "out" / "clips" / "long"
    # 5 of 10 frames a second: film frames 10, 12, ...; the key frame of second 2 is frame 20.
    found = clip_around(clips, 2, 3, 2)
    assert found.shape == (3, 32, 42, 3)
    assert numbers(found) == [14, 18, 22]
    assert numbers(clip_around(clips, 2, 3, 2, start=1)) == [16, 20, 24]
    images, people, dropped = read_annotations(films / "out" / "val_min.json", 80)
    assert dropped == 0
    assert len(images) == 2 * 897
    # "gone" has number 0 of the sorted films; it was not cut.
    assert list(people) == [10_902, 20_903]
    assert images[10_902] == ("long", 902, 42, 32)
    np.testing.assert_allclose(people[10_902].boxes[0], [10.5, 16, 20, 31], atol=1e-4)
    assert [np.flatnonzero(row).tolist() for row in people[10_902].actions] == [[11, 79], [0]]


def test_frames_are_pictures_with_a_list(films):
    work = AvaPreparation(films / "films", films / "out", (films / "val.csv",), "frames")
    reports = {report.movie: report for report in work.run(1)}
    assert [reports[m].frames for m in ("gone", "long", "short")] == [0, 60, 30]
    listed = read_frame_list(films / "out" / "val_frames.csv")
    assert listed["long"][:2] == ["long/long_000001.jpg", "long/long_000002.jpg"]
    assert {movie: len(files) for movie, files in listed.items()} == {"long": 60, "short": 30}
    # 20 frames a second of a film of 10: every frame twice, a half frame early at most.
    folder = FrameFolder(films / "out" / "frames" / "long", 60, "long_{:06}.jpg")
    assert numbers(folder.frames(range(4))) == [10, 10, 11, 11]


def test_which_frame_is_shown():
    times = np.arange(8) / 24
    starts = np.arange(5) / 25
    # Frame k of 25 a second is the last of 24 that begins before k + 1/2.
    np.testing.assert_array_equal(shown_at(times, starts, 25), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(shown_at(times + 1, starts, 25), 0)


def test_a_films_number_is_its_line_in_avas_list(films):
    names = films / "films" / prepare_ava.FILM_NAMES
    names.write_text("a.mp4\nshort.mkv\nlong.mkv\n")
    assert prepare_ava.film_numbers(films / "films", ["long"]) == {"long": 2}
    with pytest.raises(InputError, match="does not name gone"):
        prepare_ava.film_numbers(films / "films", ["gone"])


def test_what_is_refused(films, tmp_path):
    lists = (films / "val.csv",)
    with pytest.raises(InputError, match="layout 'clips'"):
        AvaPreparation(films / "films", films / "out", lists, "clips")
    with pytest.raises(InputError, match="no such folder"):
        AvaPreparation(films / "none", films / "out", lists, "seconds")
    with pytest.raises(InputError, match="AVA's annotations"):
        AvaPreparation(films / "films", films / "out", (), "seconds")
    path = tmp_path / "bad.csv"
    path.write_text("long,902,0,0,1,1,81,3\n")
    with pytest.raises(InputError, match="action id 81; expected 1 to 80"):
        people_as_json(path, {"long": 0}, {"long": (32, 32)})
    (tmp_path / "5.mp4").write_bytes((films / "films" / "long.mkv").read_bytes())
    with pytest.raises(InputError, match=r"4\.mp4: no such file; nothing precedes"):
        clip_around(tmp_path, 5, 3, 2)
    with pytest.raises(InputError, match=r"6\.mp4: no such file, where a key frame"):
        clip_around(tmp_path, 6, 3, 2)
