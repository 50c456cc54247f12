"""What the commands of the pages name: small files of every kind, in the current folder."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

import media
from jaxvision.data import pictures
from jaxvision.data.scene_flow.moving_planes import MovingPlanes, write_as_flying_things
from jaxvision.data.word_pieces import SPECIAL
from jaxvision.viz.files import write_mp4
from made_up_kitti import write_kitti

FILM_SIZE = (64, 80)
WORDS = (
    *("a", "b", "dog", "runs", "on", "the", "beach", "what", "is", "man", "doing", "walking"),
    *("two", "people", "talk", "?"),
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def picture(path: str, height: int = 64, width: int = 64) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, 3)).save(path)


def film(path: str, frames: int = 9, height: int = 32, width: int = 48, fps: float = 8) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(film_of(frames, height, width, fps))


@cache
def film_of(frames: int, height: int, width: int, fps: float) -> bytes:
    """Encoded once, for all pages."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        write_mp4(file, noise(frames, height, width, 3), fps)
        return file.read_bytes()


def class_folders(root: str, *splits: str) -> None:
    """Videos of two classes in train and validation; a film, a clip and a folder of clips."""
    media.bars(Path(root), **dict.fromkeys(splits, 4))


def pairs() -> None:
    """mine/{train,val}/{kitchen,bedroom}/{rgb,depth}: pictures with their distances."""
    for split in ("train", "val"):
        for name in ("kitchen", "bedroom"):
            for number in range(4):
                picture(f"mine/{split}/{name}/rgb/{number}.jpg", 24, 32)
                depth = Path(f"mine/{split}/{name}/depth/{number}.png")
                depth.parent.mkdir(parents=True, exist_ok=True)
                millimetres = np.full((24, 32), 1500, np.uint16) + noise(24, 32)
                Image.fromarray(millimetres).save(depth)
        Path(f"mine/{split}/intrinsics.txt").write_text("30 30 16.5 12.5")


def sun_rgbd(root: str) -> None:
    """SUN RGB-D's layout, and the two lists of its scenes."""
    for split, numbers in (("train", range(1, 9)), ("test", range(9, 11))):
        for number in numbers:
            folder = Path(root) / "kv1" / "NYUdata" / f"NYU{number:04}"
            for kind in ("image", "depth_bfx"):
                (folder / kind).mkdir(parents=True)
            picture(str(folder / "image/a.png"), 24, 32)
            depth = np.full((24, 32), 1500 << 3, np.uint16)
            Image.fromarray(depth).save(folder / "depth_bfx/a.png")
            (folder / "intrinsics.txt").write_text("30 0 16.5 0 30 12.5 0 0 1")
        named = [(number, ("bedroom", "kitchen")[number % 2]) for number in numbers]
        rows = [f"kv1/NYUdata/NYU{number:04}\t{room}\n" for number, room in named]
        Path(f"19scenes_{split}.txt").write_text("".join(rows))


def nyu(file: str) -> None:
    """NYU Depth v2's labelled file of two smaller pictures, and its lists."""
    import h5py

    with h5py.File(file, "w") as stored:
        stored["images"] = np.stack([noise(3, 160, 120)] * 2)
        stored["depths"] = np.full((2, 160, 120), 1.5, np.float32)
        stored["rawDepths"] = stored["depths"][:]
    Path("train.txt").write_text("1\tkitchen\n")
    Path("val.txt").write_text("2\tkitchen\n")


def captions() -> None:
    """Videos with captions, choices, questions and answers, sentences to ask about, and a
    vocabulary."""
    for name in ("videos/a.mp4", "videos/b.mp4", "a.mp4", "b.mp4", "clip.mp4"):
        film(name)
    listed = [
        {"video": "a.mp4", "caption": "a dog runs on the beach"},
        {"video": "b.mp4", "caption": ["two people talk", "a walking man"]},
    ]
    for name in ("train", "val", "test"):
        Path(f"{name}.json").write_text(json.dumps(listed * 4))
    asked = [{"video": "a.mp4", "question": "what is the man doing?", "answer": "walking"}]
    Path("questions.json").write_text(json.dumps(asked * 8))
    Path("answers.json").write_text(json.dumps(["walking", "talk", "a dog"]))
    with contextlib.closing(sqlite3.connect("webvid.sqlite")) as table:
        table.execute("CREATE TABLE annos (id INTEGER, filename TEXT, caption TEXT)")
        rows = [(number, "a.mp4", "a dog runs") for number in range(8)]
        table.executemany("INSERT INTO annos VALUES (?, ?, ?)", rows)
        table.commit()
    Path("queries.txt").write_text("a dog runs\ntwo people talk\n")
    Path("vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n")


def picture_folders(root: str, *splits: str) -> None:
    """Pictures of two classes."""
    for split in splits:
        for name in ("cat", "dog"):
            for number in range(4):
                picture(f"{root}/{split}/{name}/{number}.png", 40, 48)


def video_lists(*lists: str) -> None:
    """A film, and lists of it as `PATH LABEL`; those called hybrid_... are for pretraining."""
    film("clips/a.mp4", 6)
    for path in lists:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        rows = ["clips/a.mp4 0 -1"] if "hybrid" in path else [f"clips/a.mp4 {n}" for n in (0, 1)]
        Path(path).write_text("".join(f"{row}\n" for row in rows * 8))
    Path("k400_names.txt").write_text("a\nb\n")


def crosstask(root: str) -> None:
    """CrossTask in its owner's layout: three videos of three actions, features of four numbers; and
    the features of a video to plan."""
    release, features = Path(root) / "crosstask_release", Path(root) / "processed_data"
    for folder in (release / "annotations", features):
        folder.mkdir(parents=True)
    np.savez("video.npz", frames_features=noise(12, 4).astype(np.float32) / 255)
    names = {f"23521_{step}": step for step in range(1, 4)}
    np.savez(Path(root) / "ids.npz", **names)
    (Path(root) / "ids.npz").rename(Path(root) / "actions_one_hot.npy")
    for number in range(3):
        values = noise(12, 4).astype(np.float32) / 255
        np.save(features / f"23521_v{number}.npy", values)
        (release / f"annotations/23521_v{number}.csv").write_text("1,0,2\n2,3,6\n3,7,10\n")
    for split in ("train", "test"):
        rows = [{"vid": f"v{number}", "task": "23521"} for number in range(3)]
        (release / f"{split}_list.json").write_text(json.dumps(rows))


def people_lists(*films: str) -> None:
    """Films, two lists of people in them, and the names of what they do."""
    for name in films:
        film(f"videos/{name}", 80, 64, 80)
    header = "clip,time,person,x1,y1,x2,y2,label"
    rows = [
        f"{name},{time},{who},{0.1 + 0.4 * n},0.2,{0.4 + 0.4 * n},0.9,{label}"
        for name in films
        for time in range(1, 9)
        for n, (who, label) in enumerate((("a", "walk"), ("b", "")))
    ]
    for split in ("train", "val"):
        Path(f"{split}.csv").write_text("\n".join([header, *rows]) + "\n")
    Path("actions.txt").write_text("walk\ncarry\n")
    found = [{"image_id": n, "bbox": [8, 13, 24, 44], "score": 0.9} for n in range(8)]
    Path("found_people.json").write_text(json.dumps(found))


AVA_SECONDS = (900, 904)  # first and last of a film that is cut


def ava(labels: str = "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt") -> None:
    """AVA's lists, and a film of two people in both of its layouts: a file a second, and pictures
    with their list; FILMS, which the former is cut from, has a frame for every five seconds."""
    first, last = AVA_SECONDS
    people = [(0.1, 0.2, 0.5, 0.9, 1, 3), (0.5, 0.1, 0.9, 0.8, 2, 4)]
    rows = "".join(f"film,0902,{','.join(map(str, row))}\n" for row in people)
    for folder in ("annotations", "boxes", "FILMS", "frame_lists", "frames/film"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        for path in (f"ava_{split}_v2.2.csv", f"annotations/ava_{split}_v2.2.csv"):
            Path(path).write_text(rows)
    Path("annotations/ava_val_excluded_timestamps_v2.2.csv").write_text("film,0950\n")
    named = ((1, "walk"), (2, "carry"))
    Path(labels).write_text("".join(f'item {{ name: "{n}" id: {i} }}\n' for i, n in named))
    film("FILMS/film.mp4", 182, *FILM_SIZE, fps=0.2)
    for second in range(first, last + 1):
        film(f"clips/trainval/film/{second}.mp4", 8, *FILM_SIZE)
    shutil.copytree("clips", "AVA/clips")
    picture("frames/film/film_000001.jpg", *FILM_SIZE)
    listed = [f'film 0 {frame} film/film_000001.jpg ""\n' for frame in range(30 * 3)]
    for split in ("train", "val"):
        header = "original_vido_id video_id frame_id path labels\n"
        Path(f"frame_lists/{split}.csv").write_text(header + "".join(listed))
    height, width = FILM_SIZE
    image = {"id": 902, "movie": "film", "timestamp": 902, "width": width, "height": height}
    sides = [(x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2, *_ in people]
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in sides]
    detected = [{"image_id": 902, "bbox": box, "score": 0.9} for box in boxes]
    for file in ("people.json", "boxes/ava_val_det_person_bbox.json"):
        Path(file).write_text(json.dumps(detected))
    people_of = [
        {"id": n, "image_id": 902, "bbox": box, "action_ids": [n + 1]}
        for n, box in enumerate(boxes)
    ]
    for split in ("train", "val"):
        content = {"images": [image], "annotations": people_of}
        Path(f"annotations/ava_{split}_v2.2_min.json").write_text(json.dumps(content))


def triplets(root: str, side: int = 64) -> None:
    """Vimeo90K's triplets: two to train on and one to test."""
    for split, names in (("train", ("00001/0001", "00001/0002")), ("test", ("00002/0001",))):
        for name in names:
            for number in range(1, 4):
                picture(f"{root}/sequences/{name}/im{number}.png", side, side)
        Path(root, f"tri_{split}list.txt").write_text("\n".join(names * 8) + "\n")


def flying_things(root: str) -> None:
    """The raw subset: two pairs to train on, one to judge."""
    size = (64, 96)
    planes = MovingPlanes(pictures.built_in("train"), size, 1, planes=0)
    for split, numbers in (("train", (0, 2)), ("val", (0,))):
        for number in numbers:
            write_as_flying_things(Path(root, split), planes.scene(0), number, size=size)


def scene_flow(raw: str) -> None:
    """Raw frames of FlyingThings3D, KITTI's training set, and a walk of two frames."""
    flying_things(raw)
    write_kitti(Path("kitti_scene_flow"), range(200), size=(120, 96))
    frames = [{"image": f"{n}.png", "cloud": f"{n}.npy"} for n in range(2)]
    walk = {"camera": [100.0, 47.5, 31.5], "frames": frames}
    places = np.random.default_rng(0).uniform((-1, -1, 4), (1, 1, 9), (300, 3))
    Path("walk.json").write_text(json.dumps(walk))
    for number in range(2):
        picture(f"{number}.png", 64, 96)
        np.save(f"{number}.npy", places.astype(np.float32))
