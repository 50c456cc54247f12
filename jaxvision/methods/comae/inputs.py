"""Where CoMAE's pairs come from, and what their classes are called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data import labelled_pictures, pictures, rgbd
from jaxvision.data.hha import hha
from jaxvision.data.rooms import KINDS, RoomPictures
from jaxvision.data.source import Records
from jaxvision.errors import InputError, check_choice
from jaxvision.stores.stored_path import path_to

DATASETS = ("canvases", "pairs", "rooms")
ROOM_SEEDS = {"train": 0, "validation": 1}


class HhaRooms:
    """Made-up rooms with their depth as HHA. A room is made once and kept: they are small."""

    def __init__(self, rooms: RoomPictures):
        self.rooms = rooms
        self._made: dict[int, dict] = {}

    def __len__(self) -> int:
        return len(self.rooms)

    def __getitem__(self, index: int) -> dict:
        if index not in self._made:
            room = self.rooms[index]
            depth = hha(room["depth"].astype(np.float64), room["intrinsics"])
            self._made[index] = {"rgb": room["rgb"], "depth": depth, "label": room["label"]}
        return self._made[index]

    def name(self, index: int) -> str:
        return self.rooms.name(index)


def class_names(config: ConfigDict) -> tuple[str, ...]:
    """The names of the classes, in order: a labels file's, else the training folders'."""
    data = config.data
    if data.name == "rooms":
        return tuple(KINDS)
    return labelled_pictures.names_of(data)


def records_of(config: ConfigDict, split: str, names: Sequence[str] = ()) -> Records:
    """The labelled pairs of "train" or "validation" that a recipe names.

    names: of the classes, in order; () takes those of the data.

    canvases: the published layout, RGB and HHA side by side in one file.  pairs: two files a pair.
    rooms: made up. InputError for a class that the validation pairs lack, since its recall would
    be of nothing.
    """
    data = config.data
    check_choice("data.name", data.name, DATASETS)
    if data.name == "rooms":
        photographs = pictures.built_in("train" if split == "train" else "held_out")
        return HhaRooms(RoomPictures(data[split], data.side, photographs, ROOM_SEEDS[split]))
    if not data[split]:
        raise InputError(f"data.{split}: expected a folder of class folders")
    where, names = path_to(data.root) / data[split], tuple(names) or class_names(config)
    found: rgbd.Canvases | rgbd.Pairs
    if data.name == "canvases":
        found = rgbd.canvas_folder(where, names)
    else:
        found = rgbd.pair_folder(where, names, data.depth_unit)
    absent = [name for number, name in enumerate(names) if number not in set(found.labels)]
    if absent and split == "validation":
        raise InputError(f"{where}: no pictures of {', '.join(absent)}; its recall has no value")
    return found


def read_pair(picture: Path, unit: str) -> tuple[Image.Image, Image.Image, tuple[bool, bool]]:
    """(RGB, HHA, which of them were there) of a user's file: a joined canvas; a picture
    rgb/NAME.* with depth/NAME.* in the folder beside it; or one of both alone, the other black."""
    depth_folder, rgb_folder = (picture.parent.parent / kind for kind in ("depth", "rgb"))
    if picture.parent.name in ("rgb", "depth"):
        rgb = rgbd.picture_called(rgb_folder, picture.stem)
        depth = rgbd.picture_called(depth_folder, picture.stem)
        if rgb and depth:
            return *rgbd.read_pair_files(rgb, depth, unit), (True, True)
        if depth:
            seen = rgbd.hha_picture(depth, unit)
            return Image.new("RGB", seen.size), seen, (False, True)
    found = labelled_pictures.read_picture(picture)
    if found.width >= rgbd.NARROWEST_CANVAS * found.height:
        return *rgbd.split_canvas(picture), (True, True)
    return found, Image.new("RGB", found.size), (True, False)
