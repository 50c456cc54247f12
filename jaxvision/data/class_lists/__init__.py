"""Class names of public data sets, in the order in which published networks have them.

Each list is a file here, one name a line; `data.labels` of a recipe takes the name of one. Two of
ImageNet's words are those of two classes each; what is in brackets tells them apart.
"""

from pathlib import Path

# Where the order is from.
SOURCES = {
    "ava": "AVA 2.2: ids 1 to 80 of ava_action_list_v2.2.pbtxt",
    "imagenet": "ImageNet-1K: WordNet ids sorted; names as imagenet_classes.txt of pytorch/hub",
    "kinetics400": "Kinetics-400: label_map_k400.txt of open-mmlab/mmaction2",
    "something_something_v2": "Something-Something V2: tools/data/sthv2/label_map.txt of mmaction2",
    "videomae_v2_kinetics600": "misc/label_map_k600.txt of OpenGVLab/VideoMAEv2, its own order",
    "videomae_v2_kinetics700": "misc/label_map_k700.txt of OpenGVLab/VideoMAEv2, its own order",
    "videomae_v2_kinetics710": "misc/label_map_k710.txt of OpenGVLab/VideoMAEv2, its own order",
}


def class_list(name: str) -> tuple[str, ...]:
    """The names of the list called `name`, one of SOURCES."""
    return tuple((Path(__file__).parent / f"{name}.txt").read_text("utf-8").splitlines())
