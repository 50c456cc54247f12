"""The sizes and label sets of VideoMAE by name, and the weights its authors published for them."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxvision.errors import InputError, check_choice, nearest
from jaxvision.methods.videomae.model import MaskedAutoencoder, build_autoencoder
from jaxvision.nn.video_transformer import CLASSIFIER, VideoClassifier, build_classifier


class Size(NamedTuple):
    """A row of the paper's table of architectures (section 3.3; the decoder's from the code)."""

    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_heads: int
    patch: int = 16
    mlp_ratio: float = 4.0


SIZES = {
    "s": Size(384, 12, 6, 192, 3),
    "b": Size(768, 12, 12, 384, 6),
    "l": Size(1024, 24, 16, 512, 8),
    "h": Size(1280, 32, 16, 512, 8),
    "g": Size(1408, 40, 16, 512, 8, patch=14, mlp_ratio=48 / 11),
}
CLASSES = {
    "k400": 400,
    "k600": 600,
    "k700": 700,
    "k710": 710,
    "ssv2": 174,
    "ucf101": 101,
    "hmdb51": 51,
    "diving48": 48,
    "mit": 339,
}
# Their names, where the authors' repository or the data set itself says in which order.
CLASS_LISTS = {
    "k400": "kinetics400",
    "k600": "videomae_v2_kinetics600",
    "k700": "videomae_v2_kinetics700",
    "k710": "videomae_v2_kinetics710",
    "ssv2": "something_something_v2",
}
DECODER_DEPTH = 4


def classifier_table(size: str) -> dict[str, Any]:
    """The `model` table of a published classifier ("s", "b", "l", "h", "g")."""
    return _encoder_table(size) | CLASSIFIER | {"position_table": False}


def pretraining_table(size: str, decoder_depth: int = DECODER_DEPTH) -> dict[str, Any]:
    """The `model` table of a published pretraining network."""
    return _encoder_table(size) | {
        "decoder_width": SIZES[size].decoder_width,
        "decoder_heads": SIZES[size].decoder_heads,
        "decoder_depth": decoder_depth,
    }


def _encoder_table(size: str) -> dict[str, Any]:
    check_choice("size", size, SIZES)
    row = SIZES[size]
    return {
        "frames": 16,
        "image_size": (224, 224),
        "tubelet": 2,
        "patch": row.patch,
        "width": row.width,
        "heads": row.heads,
        "depth": row.depth,
        "mlp_ratio": row.mlp_ratio,
        "qkv_bias": True,
        "layer_scale": 0.0,
        "cosine_attention": False,
        "drop_path": 0.0,
        "remat": "none",
    }


def pretraining_model(
    size: str, *, decoder_depth: int = DECODER_DEPTH, dtype: str = "float32"
) -> MaskedAutoencoder:
    """The published pretraining network of a size."""
    return build_autoencoder(pretraining_table(size, decoder_depth), dtype)


def classification_model(size: str, classes: int, *, dtype: str = "float32") -> VideoClassifier:
    """The published classifier of a size, for any number of classes."""
    return build_classifier(classifier_table(size), classes, dtype)


@dataclass(frozen=True)
class Variant:
    """A network by name.  labels: a key of CLASSES, their number, or None for pretraining."""

    name: str
    size: str
    labels: str | int | None

    def model(self, dtype: str = "float32") -> MaskedAutoencoder | VideoClassifier:
        if self.labels is None:
            return pretraining_model(self.size, dtype=dtype)
        classes = self.labels if isinstance(self.labels, int) else CLASSES[self.labels]
        return classification_model(self.size, classes, dtype=dtype)


VARIANTS = {
    variant.name: variant
    for size in SIZES
    for variant in (
        Variant(f"vit_{size}_pretrain", size, None),
        *(Variant(f"vit_{size}_{labels}", size, labels) for labels in CLASSES),
    )
}


def find_variant(name: str) -> Variant:
    """The variant called `name` ("vit_b_k400", or "vit_b_12classes" for labels of one's own).

    InputError names the nearest one.
    """
    own = re.fullmatch(r"vit_([sblhg])_([1-9]\d*)classes", name)
    if own:
        return Variant(name, own[1], int(own[2]))
    if name not in VARIANTS:
        raise InputError(f"videomae/{name}: no such variant{nearest(name, VARIANTS)}")
    return VARIANTS[name]


class Protocol(NamedTuple):
    """How a published number was measured: frames x segments x crops at 224 x 224.

    stride: between frames of a clip; 0 = frames spread over the video (one view per phase).
    """

    frames: int
    segments: int
    crops: int
    stride: int = 4

    def __str__(self) -> str:
        sampling = f"stride {self.stride}" if self.stride else "sparse"
        return f"{self.frames}x{self.segments}x{self.crops} {sampling}"


class Release(NamedTuple):
    """where: the page.  licence: of the weights.  folder: address that files lie below, as the page
    links them.  by_hand: what to do where there is none."""

    where: str
    licence: str
    folder: str = ""
    by_hand: str = ""


class Published(NamedTuple):
    """One file of weights that the authors published.

    top1, top5 of `accuracy`: percent; None where not an action classifier or not stated.
    file: its name; with a folder where that is a repository of the hub.
    """

    variant: str
    file: str
    release: Release
    protocol: Protocol | None = None
    accuracy: tuple[float | None, float | None] = (None, None)

    @property
    def address(self) -> str:
        """ "" where it has none of its own."""
        folder = self.release.folder
        return folder and folder + self.file.replace("/", "/resolve/main/")


# RGB in [0, 1], short side to 224, less the mean over the deviation: the same for all of them.
PREPROCESSING = "RGB, short side 224, /255, ImageNet mean and deviation"
_DENSE, _SPARSE = Protocol(16, 5, 3), Protocol(16, 2, 3, stride=0)
_V2 = Release(
    "github.com/OpenGVLab/VideoMAEv2 (docs/MODEL_ZOO.md)",
    "MIT (repository)",
    by_hand="fill in the form at the top of docs/MODEL_ZOO.md of github.com/OpenGVLab/VideoMAEv2, "
    "or look through huggingface.co/OpenGVLab/VideoMAE2",
)
_V2_HUB = Release(
    "huggingface.co/OpenGVLab/VideoMAE2 (distill)",
    "MIT (repository)",
    "https://huggingface.co/OpenGVLab/VideoMAE2/resolve/main/distill/",
)
_V1 = Release("huggingface.co/MCG-NJU", "CC-BY-NC 4.0", "https://huggingface.co/MCG-NJU/")

PUBLISHED = (
    Published("vit_g_pretrain", "vit_g_hybrid_pt_1200e.pth", _V2),
    Published("vit_g_k710", "vit_g_hybrid_pt_1200e_k710_ft.pth", _V2, _DENSE, (83.8, 96.4)),
    Published("vit_g_k400", "vit_g_hybrid_pt_1200e_k400_ft.pth", _V2, _DENSE, (87.2, 97.4)),
    Published("vit_g_k400", "vit_g_hybrid_pt_1200e_k710_it_k400_ft.pth", _V2, _DENSE, (88.4, 98.0)),
    Published("vit_g_k600", "vit_g_hybrid_pt_1200e_k710_it_k600_ft.pth", _V2, _DENSE, (88.8, 98.2)),
    Published("vit_g_ssv2", "vit_g_hybrid_pt_1200e_ssv2_ft.pth", _V2, _SPARSE, (77.0, 95.9)),
    Published(
        "vit_g_ucf101", "vit_g_hybrid_pt_1200e_k710_it_ucf101_ft.pth", _V2, _DENSE, (99.6, 100)
    ),
    Published(
        "vit_g_hmdb51",
        "vit_g_hybrid_pt_1200e_k710_it_hmdb51_ft.pth",
        _V2,
        Protocol(16, 5, 3, stride=2),
        (88.1, 98.5),
    ),
    Published("vit_s_k710", "vit_s_k710_dl_from_giant.pth", _V2_HUB, _DENSE, (77.6, None)),
    Published("vit_b_k710", "vit_b_k710_dl_from_giant.pth", _V2_HUB, _DENSE, (81.5, None)),
    Published("vit_b_pretrain", "videomae-base/model.safetensors", _V1),
    Published("vit_l_pretrain", "videomae-large/model.safetensors", _V1),
    *(
        Published(variant, f"videomae-{name}/model.safetensors", _V1, protocol, accuracy)
        for variant, name, protocol, accuracy in (
            ("vit_b_k400", "base-finetuned-kinetics", _DENSE, (80.9, 94.7)),
            ("vit_l_k400", "large-finetuned-kinetics", _DENSE, (84.7, 96.5)),
            ("vit_b_ssv2", "base-finetuned-ssv2", _SPARSE, (70.6, 92.6)),
        )
    ),
)
