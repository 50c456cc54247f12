"""The sizes, teachers and label sets of UMT by name, and the weights its authors published."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.methods.umt.clip import ClipVision, build_teacher
from jaxvision.methods.umt.encoder import AlignedEncoder, build_student
from jaxvision.nn.video_transformer import CLASSIFIER, VideoClassifier, build_classifier

# Tokens along (t, h, w) that every classifier's positions are made for, and resized from.
POSITION_WINDOW = (8, 14, 14)


class Size(NamedTuple):
    """A student, and the teacher it had (section 4 and the scripts)."""

    width: int
    depth: int
    heads: int
    teacher: str


class Teacher(NamedTuple):
    """A CLIP image transformer.  side: of a frame that gives the student's grid of 14 x 14."""

    width: int
    depth: int
    heads: int
    patch: int
    side: int
    output_width: int


SIZES = {"b": Size(768, 12, 12, "b16"), "l": Size(1024, 24, 16, "l14")}
TEACHERS = {
    "b16": Teacher(768, 12, 12, 16, side=224, output_width=512),
    "l14": Teacher(1024, 24, 16, 14, side=196, output_width=768),
}
CLASSES = {"k400": 400, "k600": 600, "k700": 700, "k710": 710, "mit": 339, "ssv2": 174}
RETURNED_LAYERS = 6


def teacher_table(name: str) -> dict[str, Any]:
    """The `teacher` table of a published teacher ("b16", "l14")."""
    check_choice("teacher", name, TEACHERS)
    row = TEACHERS[name]
    return {
        "image_size": (row.side, row.side),
        "patch": row.patch,
        "width": row.width,
        "heads": row.heads,
        "depth": row.depth,
        "output_width": row.output_width,
        "returned_layers": RETURNED_LAYERS,
        "interval": 1.0,
    }


def student_table(size: str) -> dict[str, Any]:
    """The `model` table of a published student ("b", "l")."""
    return _encoder_table(size) | {"interval": 1.0}


def classifier_table(size: str) -> dict[str, Any]:
    """The `model` table of a published classifier."""
    return _encoder_table(size) | CLASSIFIER | {"position_window": POSITION_WINDOW}


def detector_table(size: str) -> dict[str, Any]:
    """The `model` table of a published action detector."""
    return _encoder_table(size) | {"dropout": 0.0, "attention_dropout": 0.0, "init_scale": 0.001}


def _encoder_table(size: str) -> dict[str, Any]:
    check_choice("size", size, SIZES)
    row = SIZES[size]
    return {
        "frames": 8,
        "image_size": (224, 224),
        "tubelet": 1,
        "patch": 16,
        "width": row.width,
        "heads": row.heads,
        "depth": row.depth,
        "mlp_ratio": 4.0,
        "qkv_bias": True,
        "layer_scale": 0.0,
        "position_table": False,
        "drop_path": 0.0,
        "remat": "none",
    }


Network = AlignedEncoder | VideoClassifier | ClipVision


@dataclass(frozen=True)
class Variant:
    """A network by name.

    kind: "pretrain", "clip", or a key of CLASSES or a number of classes.
    frames, side: of a clip (pixels).
    """

    name: str
    size: str
    kind: str | int
    frames: int = 8
    side: int = 224

    def model(self, dtype: str = "float32") -> Network:
        if self.kind == "clip":
            return build_teacher(teacher_table(self.size), self.frames, dtype)
        if self.kind == "pretrain":
            teacher = teacher_table(SIZES[self.size].teacher)
            return build_student(student_table(self.size), teacher, dtype)
        classes = CLASSES[self.kind] if isinstance(self.kind, str) else self.kind
        table = classifier_table(self.size)
        table |= {"frames": self.frames, "image_size": (self.side, self.side)}
        return build_classifier(table, classes, dtype)


_NAME = re.compile(r"vit_([bl])_(?:([1-9]\d*)classes|([a-z0-9]+?))(?:_f([1-9]\d*))?(?:_res(\d+))?")
VARIANTS = (
    *(f"clip_{name}" for name in TEACHERS),
    *(f"vit_{size}_{kind}" for size in SIZES for kind in ("pretrain", *CLASSES)),
)


def find_variant(name: str) -> Variant:
    """The variant called `name`: "clip_b16", "vit_b_pretrain", "vit_l_k400_f16",
    "vit_b_mit_res384", or "vit_b_12classes" for labels of one's own. InputError names the nearest
    one."""
    if name.startswith("clip_") and name[5:] in TEACHERS:
        return Variant(name, name[5:], "clip", side=TEACHERS[name[5:]].side)
    found = _NAME.fullmatch(name)
    if found is None or (not found[2] and found[3] not in ("pretrain", *CLASSES)):
        raise InputError(f"umt/{name}: no such variant{nearest(name, VARIANTS)}")
    frames, side = int(found[4] or 8), int(found[5] or 224)
    kind = int(found[2]) if found[2] else found[3]
    if kind == "pretrain" and (frames, side) != (8, 224):
        raise InputError(f"umt/{name}: pretraining was published with 8 frames of 224 alone")
    return Variant(name, found[1], kind, frames, side)


class Published(NamedTuple):
    """One file of weights that the authors published.

    views: frames x crops x clips, as their table says.  top1: percent.
    """

    variant: str
    file: str
    where: str
    licence: str
    views: str = ""
    top1: float | None = None

    @property
    def address(self) -> str:
        if self.where == _CLIP[0]:
            return "https://huggingface.co/openai/" + self.file.replace("/", "/resolve/main/")
        return f"{FOLDER}/single_modality/{self.file}"


PREPROCESSING = "RGB, short side 224, /255, ImageNet mean and deviation"
PUBLISHED_AT = ("huggingface.co/OpenGVLab/UMT (single_modality/MODEL_ZOO.md)", "MIT (repository)")
# As both MODEL_ZOO.md link them; the authors say that the files moved to the hub since.
FOLDER = "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/umt"
_CLIP = ("huggingface.co/openai", "MIT (repository)")
_TUNED = "ptk710_ftk710"
PUBLISHED = (
    Published("clip_b16", "clip-vit-base-patch16/model.safetensors", *_CLIP),
    Published("clip_l14", "clip-vit-large-patch14/model.safetensors", *_CLIP),
    Published("vit_b_pretrain", "b16_ptk710_f8_res224.pth", *PUBLISHED_AT),
    Published("vit_l_pretrain", "l16_ptk710_f8_res224.pth", *PUBLISHED_AT),
    *(
        Published(variant, f"{variant[4]}16_{file}.pth", *PUBLISHED_AT, views, top1)
        for variant, file, views, top1 in (
            ("vit_b_k710", f"{_TUNED}_f8_res224", "8x3x4", 81.9),
            ("vit_l_k710", f"{_TUNED}_f8_res224", "8x3x4", 86.0),
            ("vit_b_k400", f"{_TUNED}_ftk400_f8_res224", "8x3x4", 87.4),
            ("vit_l_k400", f"{_TUNED}_ftk400_f8_res224", "8x3x4", 90.3),
            ("vit_l_k400_f16", f"{_TUNED}_ftk400_f16_res224", "16x3x4", 90.6),
            ("vit_b_k600", f"{_TUNED}_ftk600_f8_res224", "8x3x4", 87.8),
            ("vit_l_k600", f"{_TUNED}_ftk600_f8_res224", "8x3x4", 90.4),
            ("vit_l_k600_f16", f"{_TUNED}_ftk600_f16_res224", "16x3x4", 90.5),
            ("vit_b_k700", f"{_TUNED}_ftk700_f8_res224", "8x3x4", 78.5),
            ("vit_l_k700", f"{_TUNED}_ftk700_f8_res224", "8x3x4", 83.2),
            ("vit_l_k700_f16", f"{_TUNED}_ftk700_f16_res224", "16x3x4", 83.6),
            ("vit_b_mit", f"{_TUNED}_ftk400_ftmitv1_f8_res224", "8x3x4", 44.6),
            ("vit_b_mit_res384", f"{_TUNED}_ftk400_ftmitv1_f8_res384", "8x3x4", 45.5),
            ("vit_l_mit", f"{_TUNED}_ftk400_ftmitv1_f8_res224", "8x3x4", 48.0),
            ("vit_l_mit_res384", f"{_TUNED}_ftk400_ftmitv1_f8_res384", "8x3x4", 48.7),
            ("vit_b_ssv2", "ptk710_ftssv2_f8_res224", "8x3x4", 70.8),
            ("vit_l_ssv2", "ptk710_ftssv2_f8_res224", "8x3x4", 74.7),
        )
    ),
)
