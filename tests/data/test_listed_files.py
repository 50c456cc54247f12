"""Files that an evaluation will read are known before it, and opened where that is asked for."""

import numpy as np
from PIL import Image

import media
from jaxvision.cli.main import main
from jaxvision.data.labelled_pictures import picture_folder
from jaxvision.data.lidar.boxed_scan import OwnBoxedScans
from jaxvision.data.lidar.own_scans import OwnScans
from jaxvision.data.listed_files import listed_files, opened
from jaxvision.data.source import Source
from jaxvision.data.video_clips import NumberedVideos
from jaxvision.data.video_list import read_class_folders


def write_pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / name)
    return root


def test_records_of_files_name_them_each_once(tmp_path):
    write_pictures(tmp_path, "pictures/a/1.png", "pictures/b/1.png")
    records = picture_folder(tmp_path / "pictures", ("a", "b"))
    sources = {"one": Source(records, 1), "other": Source(records, 2)}
    assert listed_files(sources) == list(records.paths)

    (tmp_path / "scans").mkdir()
    np.zeros((3, 4), "<f4").tofile(tmp_path / "scans" / "1.bin")
    for scans in (OwnScans.open(tmp_path / "scans"), OwnBoxedScans.open(tmp_path / "scans", ())):
        assert listed_files(Source(scans, 1)) == [tmp_path / "scans" / "1.bin"]

    (tmp_path / "videos" / "a").mkdir(parents=True)
    good = media.video(tmp_path / "videos" / "a" / "1.mp4", [media.corners()] * 3)
    (tmp_path / "videos" / "a" / "2.mp4").write_bytes(b"no video")
    videos = NumberedVideos(read_class_folders(tmp_path / "videos"), segments=3)
    files = listed_files(Source(videos, 1))
    assert files == [good, good.with_name("2.mp4")]
    whole, broken = opened(files)
    assert (whole.path, whole.reason, broken.path) == (good, "", files[1])
    assert broken.reason.startswith("not a video that can be read (")
    assert list(opened([tmp_path / "gone.bin"])) == [(tmp_path / "gone.bin", "no such file", ())]


def test_inspect_opens_the_files_of_the_evaluations(tmp_path, capsys):
    names = [f"{split}/{label}/{n}.png" for split in "tv" for label in "ab" for n in range(4)]
    write_pictures(tmp_path, *names)
    words = ["inspect", "--config=sparseformer/demo", "--config.data.name=folder"]
    words += [f"--config.data.train={tmp_path / 't'}", f"--config.data.validation={tmp_path / 'v'}"]
    words += ["--config.train.batch_size=8"]
    assert main(words) == 0
    assert "validation: 8 files, 0 unreadable\n" in capsys.readouterr().out
    (tmp_path / "v" / "a" / "2.png").write_bytes(b"no picture")
    assert main(words) == 2
    told = capsys.readouterr().out
    assert f"validation: unreadable: {tmp_path / 'v' / 'a' / '2.png'}: not a picture" in told
    assert "validation: 8 files, 1 unreadable\n" in told
    assert main([*words, "--config.evaluate.max_unreadable=1"]) == 0
