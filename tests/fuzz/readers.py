"""Every reader of files: how a small right input is made, and how it is read.

`MODULES` says which of them goes through a module; one of `data`, `weights` or `training` that
opens files, and is neither named there nor in `NOT_FUZZED` fails tests/fuzz/test_readers.py.
"""

import contextlib
import json
import pickle
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxvision.data import (
    caption_records,
    flow_files,
    frame_interpolation,
    frame_shards,
    picture_files,
    prepare_rgbd,
    procedure_files,
    rgbd,
)
from jaxvision.data.actions import act_files, ava_files, ava_people, json_files, own_lists
from jaxvision.data.arrays import read_arrays, read_pickle
from jaxvision.data.feature_files import FeatureFiles
from jaxvision.data.labelled_pictures import picture_list
from jaxvision.data.labels import read_labels
from jaxvision.data.lidar.boxed_scan import OwnBoxedScans
from jaxvision.data.lidar.nuscenes import Lidarseg
from jaxvision.data.lidar.nuscenes_frames import read_frame
from jaxvision.data.lidar.nuscenes_index import NuscenesFrames, frame_record
from jaxvision.data.lidar.nuscenes_results import ego_places, read_results, truth_of
from jaxvision.data.lidar.nuscenes_tables import Tables
from jaxvision.data.lidar.object_sampling import ObjectBank
from jaxvision.data.lidar.own_scans import read_scan
from jaxvision.data.lidar.ply import write_ply
from jaxvision.data.lidar.semantic_kitti import lidar_poses
from jaxvision.data.prepare_videos import Preparation
from jaxvision.data.scene_flow.flying_things import FlyingThings
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.kitti import KittiFrames
from jaxvision.data.scene_flow.point_sets import Corresponding, Hidden
from jaxvision.data.scene_flow.sequences import Sequence
from jaxvision.data.scene_flow.sintel import Sintel
from jaxvision.data.video import Video
from jaxvision.data.video_list import read_list, read_unlabelled_list
from jaxvision.data.word_pieces import SPECIAL, WordPieces
from jaxvision.data.yuv_video import YuvFile
from jaxvision.text_files import read_rows
from jaxvision.training import manifest, run_record
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.config import config_of_run
from jaxvision.viz.files import write_mp4
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint
from jaxvision.weights.safetensors_file import read_safetensors, write_safetensors
from jaxvision.weights.torch_writer import write_torch_file

TINY = Path(__file__).parents[1] / "goldens/datasets/nuscenes_tiny"
VERSION = "v1.0-mini"
Make = Callable[[Path], Any]  # writes a right input into a folder
Read = Callable[[Path], Any]  # reads the folder, damaged or not
READERS: dict[str, tuple[Make, Read]] = {}
POINTS = np.linspace(-2, 2, 40, dtype="<f4")


def text(name: str, content: str) -> Make:
    return lambda folder: (folder / name).write_text(content)


def as_json(name: str, value: Any) -> Make:
    return text(name, json.dumps(value))


READERS["class names"] = (
    text("names.txt", "car\nbus\nbicycle rider\n"),
    lambda folder: read_labels(folder / "names.txt"),
)
READERS["video list"] = (
    text("list.txt", "a/b.mp4 0\nfolder 12 1\nc d.mkv 2\n"),
    lambda folder: read_list(folder / "list.txt", 3),
)
READERS["unlabelled video list"] = (
    text("list.txt", "a/b.mp4 0 -1\nfolder 1 12\n"),
    lambda folder: read_unlabelled_list(folder / "list.txt", folder, str),
)
READERS["picture list"] = (
    text("list.txt", "a/b.jpg\t0\nc d.png\t2\n"),
    lambda folder: picture_list(folder / "list.txt", 3),
)
READERS["config of a run"] = (
    as_json("config.json", {"method": "toy", "train": {"steps": 3, "rates": [0.1, None]}}),
    lambda folder: config_of_run(folder / "config.json"),
)
READERS["rows of a run"] = (
    text("metrics.jsonl", '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'),
    lambda folder: read_rows(folder / "metrics.jsonl"),
)


def copy_tables(folder: Path) -> None:
    shutil.copytree(TINY / VERSION, folder / VERSION)


def read_tables(folder: Path) -> None:
    tables = Tables(folder, VERSION)
    samples = tables.samples()
    for sample in samples:
        read_frame(tables, sample, 3)
    truth_of(tables, samples)
    ego_places(tables, samples)
    Lidarseg.open(folder, VERSION, ("scene-0061",))


def write_frame_index(folder: Path) -> None:
    tables = Tables(TINY, VERSION)
    rows = [frame_record(read_frame(tables, sample, 3)) for sample in tables.samples()[:2]]
    (folder / "frames.json").write_text(json.dumps(rows))
    entry = {"name": "car", "scene": "scene-0061", "file": "a.bin", "box": [1.0] * 9, "points": 9}
    (folder / "objects.json").write_text(json.dumps([entry, entry]))


def read_frame_index(folder: Path) -> None:
    NuscenesFrames.open(folder, VERSION, ("scene-0061",), 3, str(folder))
    ObjectBank.open(folder, ("scene-0061",))


RESULT = {
    **{"translation": [0, 0, 0], "size": [1, 1, 1], "rotation": [1, 0, 0, 0], "velocity": [0, 0]},
    **{"detection_name": "car", "detection_score": 0.5, "attribute_name": "", "sample_token": "a"},
}
READERS["nuScenes tables"] = copy_tables, read_tables
READERS["nuScenes index"] = write_frame_index, read_frame_index
READERS["nuScenes results"] = (
    as_json("results.json", {"meta": {}, "results": {"a": [RESULT], "b": []}}),
    lambda folder: read_results(folder / "results.json", ["a", "b"], ["car"]),
)


def write_boxed_scan(folder: Path) -> None:
    POINTS.tofile(folder / "a.bin")
    box = {"name": "car", "translation": [0, 0, 0], "size": [1, 2, 3], "heading": 0.5}
    (folder / "a.json").write_text(json.dumps({"boxes": [box, {**box, "velocity": [1, 0]}]}))


def write_labelled_scan(folder: Path) -> None:
    POINTS.tofile(folder / "a.bin")
    np.arange(10, dtype="<u4").tofile(folder / "a.label")


def write_ply_scan(folder: Path) -> None:
    table = np.zeros(6, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("label", "u1")])
    write_ply(folder / "a.ply", table)


def write_ascii_scan(folder: Path) -> None:
    names = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex 2\n{names}property uchar label\nend_header\n"
    (folder / "a.ply").write_text(f"{head}1 2 3 4\n5 6 7 8\n")


def write_calibration(folder: Path) -> None:
    line = " ".join(map(str, np.eye(4)[:3].reshape(-1)))
    (folder / "calib.txt").write_text(f"P0: {line}\nTr: {line}\n")
    (folder / "poses.txt").write_text(f"{line}\n{line}\n")


READERS["boxed scan"] = (
    write_boxed_scan,
    lambda folder: OwnBoxedScans.open(folder, ("car",))[0],
)
READERS["labelled scan"] = (
    write_labelled_scan,
    lambda folder: read_scan(folder / "a.bin", labelled=True),
)
READERS["binary PLY"] = (
    write_ply_scan,
    lambda folder: read_scan(folder / "a.ply", labelled=True),
)
READERS["ascii PLY"] = (
    write_ascii_scan,
    lambda folder: read_scan(folder / "a.ply", labelled=True),
)
READERS["calibration and poses"] = write_calibration, lidar_poses


def write_procedures(folder: Path) -> None:
    np.save(folder / "a.npy", np.zeros((9, 4), np.float32))
    (folder / "labels.json").write_text(json.dumps({"tasks": ["tea"], "actions": ["boil", "pour"]}))
    entry = {"feature": "a.npy", "task": "tea", "steps": [["boil", 0, 2.5], ["pour", 3, 9]]}
    (folder / "train.json").write_text(json.dumps([entry]))


def write_crosstask(folder: Path) -> None:
    release = folder / "crosstask_release"
    for path in (release / "annotations", folder / "processed_data"):
        path.mkdir(parents=True)
    np.save(folder / "processed_data/23521_v.npy", np.zeros((9, 4), np.float32))
    (release / "annotations/23521_v.csv").write_text("1,0.5,2\n2,3,4\n")
    (release / "train_list.json").write_text(json.dumps([{"vid": "v", "task": "23521"}]))
    (release / "tasks_primary.txt").write_text("23521\nMake tea\nurl\n2\nboil,pour\n\n")
    np.savez(folder / "ids.npz", **{"23521_1": 0, "23521_2": 1})
    (folder / "ids.npz").rename(folder / "actions_one_hot.npy")


def write_coin(folder: Path) -> None:
    (folder / "full_npy").mkdir()
    np.save(folder / "full_npy/Tea_3_v.npy", np.zeros((9, 4), np.float32))
    steps = [{"id": "4", "segment": [0.0, 2.5], "label": "boil"}]
    about = {"recipe_type": 3, "class": "Tea", "annotation": steps}
    (folder / "coin_train_70.json").write_text(json.dumps([{"v": about}]))


READERS["own procedures"] = (
    write_procedures,
    lambda folder: procedure_files.plain(folder, "train", 4),
)
READERS["CrossTask"] = (
    write_crosstask,
    lambda folder: procedure_files.crosstask(folder, "train", 4),
)


def write_niv(folder: Path) -> None:
    steps = {"steps_ids": [1, 2], "steps_starts": [0.0, 3.0], "steps_ends": [2.0, 5.0]}
    np.savez(folder / "v.npz", num_steps=2, frames_features=np.zeros((9, 4)), **steps)
    (folder / "train70.json").write_text(json.dumps([{"feature": "/x/v.npz", "task_id": 1}]))


READERS["NIV"] = write_niv, lambda folder: procedure_files.niv(folder, "train", 4)
READERS["COIN"] = write_coin, lambda folder: procedure_files.coin(folder, "train", 4)


def write_arrays(folder: Path) -> None:
    np.save(folder / "plain.npy", np.arange(12.0).reshape(3, 4))
    np.save(folder / "table.npy", {"a": np.arange(3), "b": 1.5}, allow_pickle=True)
    np.savez_compressed(folder / "many.npz", a=np.zeros(500), b=np.arange(3))
    (folder / "values.pkl").write_bytes(pickle.dumps({"a": np.arange(3), "b": [1, "x"]}))


def read_all_arrays(folder: Path) -> None:
    for name in ("plain.npy", "table.npy", "many.npz"):
        read_arrays(folder / name)
    read_pickle(folder / "values.pkl")


READERS["arrays"] = write_arrays, read_all_arrays


def feature_files(folder: Path) -> FeatureFiles:
    return FeatureFiles(folder, {}, (5, 4))


READERS["features"] = (
    lambda folder: feature_files(folder).write(folder / "a.npz", np.ones((5, 4), np.float32)),
    lambda folder: feature_files(folder).read(folder / "a.npz"),
)
READERS["PyTorch checkpoint"] = (
    lambda folder: write_torch_file(
        folder / "a.pth", {"w": POINTS.reshape(4, 10), "b": POINTS[:3]}
    ),
    lambda folder: read_checkpoint(folder / "a.pth"),
)
READERS[".safetensors"] = (
    lambda folder: write_safetensors(folder / "a.safetensors", {"w": POINTS, "b": POINTS[:3]}),
    lambda folder: read_safetensors(folder / "a.safetensors"),
)


def write_converted(folder: Path) -> None:
    write_safetensors(folder / convert.VARIABLES, {"params/w": POINTS})
    record = {"network": "n", "layout": "official", "key": None, "prefix": "", "names": ["w"]}
    (folder / convert.RECORD).write_text(json.dumps(record))


READERS["converted weights"] = write_converted, convert.load
SHARD = {"shard": "00000.array_record", "start": 0, "count": 4, "size": [8, 8]}


def read_shard_index(folder: Path) -> None:
    frame_shards.read_index.cache_clear()
    frame_shards.read_index(folder)


READERS["index of frame shards"] = (
    as_json(frame_shards.INDEX, {"videos": {"a/b.mp4": SHARD, "c.mp4": {**SHARD, "start": 4}}}),
    read_shard_index,
)


def write_interpolation_list(folder: Path) -> None:
    for name in ("00001/0001", "00002/0001"):
        (folder / "sequences" / name).mkdir(parents=True)
    (folder / "tri_trainlist.txt").write_text("00001/0001\n00002/0001\n")
    for number in range(3):
        Image.new("RGB", (4, 4)).save(folder / f"{number}.png")
    (folder / "test-easy.txt").write_text("0.png 1.png 2.png\n")


def read_interpolation_lists(folder: Path) -> None:
    frame_interpolation.vimeo_triplets(folder, "train")
    frame_interpolation.snu_film(folder, "easy").size(0)


READERS["interpolation lists"] = write_interpolation_list, read_interpolation_lists
READERS["raw video"] = (
    lambda folder: (folder / "a.yuv").write_bytes(bytes(2 * 8 * 8 * 3 // 2)),
    lambda folder: YuvFile(folder / "a.yuv", 8, 8).frame(1),
)


def write_actions(folder: Path) -> None:
    (folder / "labels.pbtxt").write_text('label {\n  name: "run"\n  label_id: 1\n}\n')
    (folder / "excluded.csv").write_text("v,0902\n")
    (folder / "truth.csv").write_text("v,0902,0.1,0.2,0.5,0.9,1,0\nv,0903\n")
    (folder / "found.csv").write_text("v,0902,0.1,0.2,0.5,0.9,1,0.75\n")
    (folder / "frames.csv").write_text("a b c d e\nv 0 0 v/1.jpg 0\nv 0 1 v/2.jpg 0\n")


def read_actions(folder: Path) -> None:
    frames = ava_files.KeyFrames()
    labels = ava_files.read_label_map(folder / "labels.pbtxt")
    ava_files.read_excluded(folder / "excluded.csv", frames)
    ava_files.read_truth(folder / "truth.csv", frames, labels)
    ava_files.read_detections(folder / "found.csv", frames, labels)
    ava_people.read_people(folder / "truth.csv", 60)
    ava_people.read_frame_list(folder / "frames.csv")


def write_people(folder: Path) -> None:
    image = {"id": 7, "movie": "v", "timestamp": 902, "width": 64, "height": 48}
    person = {"image_id": 7, "bbox": [1, 2, 30, 40]}
    whole = {"images": [image], "annotations": [{**person, "action_ids": [1, 3]}]}
    (folder / "people.json").write_text(json.dumps(whole))
    (folder / "found.json").write_text(json.dumps([{**person, "score": 0.5}]))


def read_people(folder: Path) -> None:
    images, _, _ = json_files.read_annotations(folder / "people.json", 3)
    json_files.read_detected(folder / "found.json", images)


def write_own_lists(folder: Path) -> None:
    header, row = ",".join(own_lists.COLUMNS), "a.mp4,1.5,ann,.1,.2,.3,.4,walk"
    (folder / "people.csv").write_text(f"{header}\n{row}\n{row.replace('ann', 'bob')}\n")
    entry = {"clip": "a.mp4", "time": 1.5, "person": "ann", "box": [0, 0, 0.5, 1]}
    (folder / "people.json").write_text(json.dumps([{**entry, "labels": ["walk"]}]))


def read_own_lists(folder: Path) -> None:
    for name in ("people.csv", "people.json"):
        own_lists.read_own_list(folder / name, ("walk", "wave"))


def write_tubes(folder: Path) -> None:
    tube = np.array([[frame, 1, 2, 3, 4] for frame in range(1, 4)], np.float32)
    content = {"labels": ["run"], "train_videos": [["a"]], "test_videos": [["b"]]}
    content |= {"nframes": {"a": 3, "b": 5}, "resolution": {"a": (8, 8), "b": (8, 8)}}
    content["gttubes"] = {"a": {0: [tube]}, "b": {}}
    (folder / "GT.pkl").write_bytes(pickle.dumps(content))


READERS["AVA's rows"] = write_actions, read_actions
READERS["own people"] = write_own_lists, read_own_lists
READERS["tubes"] = write_tubes, lambda folder: act_files.read_act_tubes(folder / "GT.pkl")
READERS["people as JSON"] = write_people, read_people


def write_words(folder: Path) -> None:
    record = {"video": "a.mp4", "caption": ["a cat", "a dog"]}
    (folder / "captions.json").write_text(json.dumps([record]))
    question = {"video": "a.mp4", "question": "what", "answer": "cat", "question_id": 3}
    (folder / "questions.json").write_text(json.dumps([question]))
    (folder / "choices.json").write_text(json.dumps([{**record, "answer": 1}]))
    (folder / "answers.json").write_text(json.dumps(["cat", "dog"]))
    with contextlib.closing(sqlite3.connect(folder / "captions.sqlite")) as table, table:
        table.execute("CREATE TABLE annos (id INTEGER, filename TEXT, caption TEXT)")
        table.executemany("INSERT INTO annos VALUES (?, ?, ?)", [(0, "a", "b"), (1, "c", "d")])


def read_words(folder: Path) -> None:
    caption_records.read_captions(folder / "captions.json")
    caption_records.read_captions(folder / "captions.sqlite")
    caption_records.read_questions(folder / "questions.json")
    caption_records.read_choices(folder / "choices.json")
    caption_records.read_answers(folder / "answers.json")


READERS["words of videos"] = write_words, read_words
READERS["vocabulary"] = (
    text("vocabulary.txt", "\n".join((*SPECIAL, "a", "cat", "##s", "\u2028", "[unused1]", ""))),
    lambda folder: WordPieces(folder / "vocabulary.txt").encode(["a cat's \u00b2"], 6),
)
READERS["intrinsics"] = (
    text("intrinsics.txt", "500 500 320 240\n"),
    lambda folder: rgbd.read_intrinsics(folder / "intrinsics.txt"),
)
PAIR_LISTS = ("train.txt", "val.txt")


def write_pair_lists(folder: Path) -> None:
    for number, name in enumerate(PAIR_LISTS):
        (folder / name).write_text(f"frame{number}\tkitchen\nother{number}\tbath room\n")


READERS["lists of pairs"] = (
    write_pair_lists,
    lambda folder: prepare_rgbd.read_lists([folder / name for name in PAIR_LISTS]),
)


def write_pictures(folder: Path) -> None:
    values = np.arange(16 * 12).reshape(12, 16)
    Image.fromarray(values.astype(np.uint16)).save(folder / "deep.png")
    colour = Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(folder / "a.jpg", exif=exif)
    colour.save(folder / "a.tif")
    colour.quantize(8).save(folder / "a.png")


def read_pictures(folder: Path) -> None:
    for name in ("a.jpg", "a.tif", "a.png", "deep.png"):
        picture_files.read_picture(folder / name)
        picture_files.picture_size(folder / name)
        picture_files.picture_mode(folder / name)
    picture_files.read_stored(folder / "deep.png")
    rgbd.read_depth(folder / "deep.png")


READERS["pictures"] = write_pictures, read_pictures


def write_video(folder: Path) -> None:
    frames = np.arange(6 * 32 * 48 * 3).reshape(6, 32, 48, 3) % 251
    write_mp4(folder / "a.mp4", frames.astype(np.uint8), 8)


def read_video(folder: Path) -> None:
    with Video(folder / "a.mp4") as video:
        video.frames([0, len(video) - 1])


READERS["video"] = write_video, read_video


def write_checkpoints(folder: Path) -> None:
    """Steps as they lie on the disk; what the array store keeps is the manifest's matter."""
    (folder / run_record.FACTS).write_text('{"run": "a", "classes": ["car"]}')
    for step in (2, 4):
        path = folder / "checkpoints" / f"{step:08d}"
        path.mkdir(parents=True)
        (path / "info.json").write_text(json.dumps({"step": step, "config": {}}))
        (path / "values").write_bytes(POINTS.tobytes())
        manifest.write(path, path, {"run": "a", "step": step, "frozen": None})
        marker = f"Checkpoint commit was successful to {path}"
        (path / manifest.COMMIT_MARKER).write_text(marker)
        (path.parent / f"{path.name}.results.json").write_text('{"accuracy": 0.5}')


def read_checkpoints(folder: Path) -> None:
    # The marker names its place.
    for path in (folder / "checkpoints").glob("*/" + manifest.COMMIT_MARKER):
        path.write_text(f"Checkpoint commit was successful to {path.parent}")
    run_record.run_id(folder)
    with Checkpoints(folder, best="accuracy") as checkpoints:
        checkpoints.usable_step(report=lambda line: None)
        checkpoints.best_step()


READERS["checkpoints"] = write_checkpoints, read_checkpoints


def write_preparation(folder: Path) -> None:
    (folder / "source").mkdir()
    for name in ("a.mp4", "b c.mkv"):
        with zipfile.ZipFile(folder / "source" / name, "w"):
            pass
    (folder / "list.csv").write_text("a.mp4 0\nb c.mkv 3 -1\n")


READERS["list to prepare"] = (
    write_preparation,
    lambda folder: (
        Preparation(
            folder / "source", folder / "target", 32, lists=(folder / "list.csv",)
        ).new_names
    ),
)

# Modules of data and weights that open files, and a reader above that goes through each.


def write_flow_files(folder: Path) -> None:
    flow = np.linspace(-9, 9, 24, dtype=np.float32).reshape(3, 4, 2)
    flow_files.write_flo(folder / "a.flo", flow)
    flow_files.write_pfm(folder / "a.pfm", flow[..., 0])
    flow_files.write_flow_png(folder / "flow.png", flow)
    flow_files.write_disparity_png(folder / "disparity.png", flow[..., 0])
    (folder / "calibration.txt").write_text("a: b\nP_rect_02: " + "1.5 " * 12)


def read_flow_files(folder: Path) -> None:
    flow_files.read_flo(folder / "a.flo")
    flow_files.read_pfm(folder / "a.pfm")
    flow_files.read_flow_png(folder / "flow.png")
    flow_files.read_disparity_png(folder / "disparity.png")
    flow_files.read_calibration(folder / "calibration.txt")


READERS["flow files"] = (write_flow_files, read_flow_files)


def write_kitti(folder: Path) -> None:
    root, map_ = folder / "training", np.full((6, 8), 30, np.float32)
    for name in ("image_2", "calib_cam_to_cam", "flow_occ", "disp_occ_0", "disp_occ_1"):
        (root / name).mkdir(parents=True)
    for frame in (10, 11):
        Image.new("RGB", (8, 6), "blue").save(root / f"image_2/000000_{frame}.png")
    for number in range(2):
        flow_files.write_disparity_png(root / f"disp_occ_{number}/000000_10.png", map_)
    flow_files.write_flow_png(root / "flow_occ/000000_10.png", np.stack([map_, map_], -1) / 99)
    line = "P_rect_02: 700 0 4 0 0 700 3 0 0 0 1 0"
    (root / "calib_cam_to_cam/000000.txt").write_text(line)


READERS["KITTI's frames"] = (
    write_kitti,
    lambda folder: KittiFrames(folder, "training40").with_truth(0),
)


def write_things(folder: Path) -> None:
    root = folder / "train"
    for name in ("image_clean", "flow_2d", "pc", "flow_3d", "occ_mask_3d"):
        (root / name).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (8, 6), "blue").save(root / f"image_clean/{number:07d}.png")
    flow_files.write_flow_png(root / "flow_2d/0000000.png", np.ones((6, 8, 2), np.float32))
    cloud = POINTS[:39].reshape(13, 3)
    np.savez(root / "pc/0000000.npz", pc1=cloud, pc2=cloud)
    np.save(root / "flow_3d/0000000.npy", cloud)
    np.save(root / "occ_mask_3d/0000000.npy", np.uint8([255, 0]))


READERS["FlyingThings3D"] = (write_things, lambda folder: FlyingThings(folder, "train")[0])


def write_sintel(folder: Path) -> None:
    pictures, flow, depth = (
        folder / name / "alley_1"
        for name in ("flow/training/clean", "flow/training/flow", "depth/training/depth")
    )
    for each in (pictures, flow, depth):
        each.mkdir(parents=True)
    flow_files.write_flo(flow / "frame_0001.flo", np.ones((6, 8, 2), np.float32))
    for number in (1, 2):
        Image.new("RGB", (8, 6), "blue").save(pictures / f"frame_{number:04d}.png")
        header = np.float32(flow_files.MAGIC).tobytes() + np.int32([8, 6]).tobytes()
        values = np.linspace(2, 9, 48, dtype="<f4").tobytes()
        (depth / f"frame_{number:04d}.dpt").write_bytes(header + values)


READERS["Sintel"] = (write_sintel, lambda folder: Sintel(folder, "clean", 20)[0])


def write_point_sets(folder: Path) -> None:
    cloud = POINTS[:39].reshape(13, 3)
    (folder / "000000").mkdir()
    for name in ("pc1", "pc2"):
        np.save(folder / f"000000/{name}.npy", cloud)
    (folder / "KITTI_mapping.txt").write_text("2011_09_26 1 2\n")
    np.savez(folder / "a.npz", pos1=cloud, pos2=cloud, gt=cloud)


def read_point_sets(folder: Path) -> None:
    camera = (Camera(16.0, 7.0, 5.0),)
    Corresponding(folder, camera, of_kitti=True)[0]
    Hidden(folder, camera, of_kitti=True)[0]


READERS["clouds alone"] = (write_point_sets, read_point_sets)


def write_sequence(folder: Path) -> None:
    for number in range(2):
        Image.new("RGB", (64, 64), "blue").save(folder / f"{number}.png")
    POINTS.tofile(folder / "0.bin")
    np.save(folder / "1.npy", np.full((64, 64), 7, np.float32))
    frames = [{"image": "0.png", "cloud": "0.bin"}, {"image": "1.png", "depth": "1.npy"}]
    table = {"camera": [64.0, 32.0, 32.0], "frames": frames}
    (folder / "pair.json").write_text(json.dumps(table))


READERS["own frames"] = (
    write_sequence,
    lambda folder: Sequence(folder / "pair.json", 0.5, 90.0).pair(0, images=True, points=True),
)


MODULES = {
    "text_files": "class names",
    "data.labels": "class names",
    "data.video_list": "video list",
    "data.labelled_pictures": "picture list",
    "data.frame_interpolation": "interpolation lists",
    "data.frame_shards": "index of frame shards",
    "data.prepare_videos": "list to prepare",
    "data.procedure_files": "CrossTask",
    "data.yuv_video": "raw video",
    "data.arrays": "arrays",
    "data.feature_files": "features",
    "data.flow_files": "flow files",
    "data.scene_flow.flying_things": "FlyingThings3D",
    "data.scene_flow.point_sets": "clouds alone",
    "data.scene_flow.sequences": "own frames",
    "data.actions.act_files": "tubes",
    "data.actions.ava_files": "AVA's rows",
    "data.actions.ava_people": "AVA's rows",
    "data.actions.json_files": "people as JSON",
    "data.actions.own_lists": "own people",
    "data.caption_records": "words of videos",
    "data.video": "video",
    "data.word_pieces": "vocabulary",
    "data.rgbd": "intrinsics",
    "data.prepare_rgbd": "lists of pairs",
    "data.picture_files": "pictures",
    "data.lidar.own_scans": "ascii PLY",
    "data.lidar.scan": "labelled scan",
    "data.lidar.ply": "binary PLY",
    "data.lidar.semantic_kitti": "calibration and poses",
    "data.lidar.boxed_scan": "boxed scan",
    "data.lidar.nuscenes_tables": "nuScenes tables",
    "data.lidar.nuscenes_index": "nuScenes index",
    "data.lidar.nuscenes_results": "nuScenes results",
    "training.config": "config of a run",
    "training.manifest": "checkpoints",
    "training.checkpoint": "checkpoints",
    "training.run_record": "checkpoints",
    "weights.torch_file": "PyTorch checkpoint",
    "weights.plain_names": "PyTorch checkpoint",
    "weights.safetensors_file": ".safetensors",
    "weights.convert": "converted weights",
}
# Modules that open files too, and why they are not here.
NOT_FUZZED = {
    "data.actions.prepare_ava": "films become videos and pictures; its rows are AVA's",
    "data.job_folder": "the note that it wrote itself",
    "data.shards": "the notes that it wrote itself, against a shape",
    "data.orientation": "numbers of a decoded frame",
    "data.pixel_format": "numbers of a decoded frame",
    "data.presentation": "numbers of a decoded frame",
    "data.atomic_write": "writes",
    "data.tables": "writes",
    "data.class_lists.__init__": "lists of the package's own",
    "data.reencoding": "writes",
    "data.scene_flow.stereo_pair": "files inside scikit-image",
    "data.lidar.object_sampling": "its rows come from the nuScenes index",
    "weights.torch_writer": "writes",
    "training.environments": "what this machine says of itself",
    "training.initialisation": "its rows go through the reader of JSON, against a shape",
    "training.stored_steps": "the run's id; a changed copy is in tests/stores/test_stored_steps.py",
    "training.stored_outputs": "what shards wrote; a damaged file is in tests/cli/test_shards.py",
    "training.rendezvous": "a socket, whose strangers are in tests/training/test_rendezvous.py",
}
