"""What the commands of the pages name: small files of every kind, in the current folder."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

import media
from jaxvision.data.word_pieces import SPECIAL
from jaxvision.viz.files import write_mp4

GOLDENS = Path(__file__).parents[1] / "goldens"
WORDS = (
    *("a", "b", "dog", "runs", "on", "the", "beach", "what", "is", "man", "doing", "walking"),
    *("two", "people", "talk", "?"),
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def picture(path: str, height: int = 64, width: int = 64) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, 3)).save(path)


def film(path: str, frames: int = 9, height: int = 32, width: int = 48) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_mp4(Path(path), noise(frames, height, width, 3), 8)


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
    for number, split in ((1, "train"), (2, "test")):
        folder = Path(root) / "kv1" / "NYUdata" / f"NYU{number:04}"
        for kind in ("image", "depth_bfx"):
            (folder / kind).mkdir(parents=True)
        picture(str(folder / "image/a.png"), 24, 32)
        Image.fromarray(np.full((24, 32), 1500 << 3, np.uint16)).save(folder / "depth_bfx/a.png")
        (folder / "intrinsics.txt").write_text("30 0 16.5 0 30 12.5 0 0 1")
        row = f"kv1/NYUdata/NYU{number:04}\tbedroom\n"
        Path(f"19scenes_{split}.txt").write_text(row)


def nyu(file: str) -> None:
    """NYU Depth v2's labelled file of two pictures, and its lists."""
    import h5py

    with h5py.File(file, "w") as stored:
        stored["images"] = np.stack([noise(3, 640, 480)] * 2)
        stored["depths"] = np.full((2, 640, 480), 1.5, np.float32)
        stored["rawDepths"] = stored["depths"][:]
    Path("train.txt").write_text("1\tkitchen\n")
    Path("val.txt").write_text("2\tkitchen\n")


def captions() -> None:
    """Videos with captions, sentences to ask about, and a vocabulary."""
    for name in "ab":
        film(f"videos/{name}.mp4")
    listed = [
        {"video": "a.mp4", "caption": "a dog runs on the beach"},
        {"video": "b.mp4", "caption": ["two people talk", "a walking man"]},
    ]
    for split in ("train", "val"):
        Path(f"{split}.json").write_text(json.dumps(listed * 4))
    Path("queries.txt").write_text("a dog runs\ntwo people talk\n")
    Path("vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n")
