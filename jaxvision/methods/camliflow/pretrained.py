"""CamLiFlow's networks as the converter and `jaxvision.load` see them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvision.data.scene_flow.frames import FramePair, draw_points, drop_unusable
from jaxvision.errors import check_network
from jaxvision.methods.camliflow.encoders import ResNetEncoder
from jaxvision.methods.camliflow.model import FlowInputs, FlowNetwork
from jaxvision.methods.camliflow.variants import PARAMETERS, VARIANTS
from jaxvision.methods.camliflow.weights import entries, imagenet_entries
from jaxvision.weights.official import OfficialModel

POINTS = 8192  # that the published networks take
# A tensor of each network that none of the others has.
MARKS = {
    "camliraft": "core.branch_2d.fnet.conv1.weight",
    "camlipwc": "core.branch_2d_fnet.pyramid_convs.0.conv0.conv_fn.weight",
    "camliraft_l": "core.correlation.merge.conv_fn.weight",
    "raft": "core.correlation.fnet_aligner.weight",
    "camlipwc_l": "core.correlations.1.feat_aligner.conv_fn.weight",
    "pwc": "core.context_network.conv_last.weight",
}
IMAGENET_MARKS = ("layer1.0.downsample.0.weight", "layer4.2.conv3.weight", "fc.weight")
LITE = "core.branch_2d_flow_estimator.conv2.conv_fn.weight"
BY_HAND = (
    "take it from the cloud drive that the README of github.com/MCG-NJU/CamLiFlow links under "
    "'Pretrained Weights'"
)
FILES = {
    "camliraft_things80e.pt": ("camliraft", "FlyingThings3D, 80 epochs: other data"),
    "camliraft_things150e.pt": ("camliraft", "FlyingThings3D, 150 epochs"),
    "camliraft_things150e_kitti800e.pt": ("camliraft", "KITTI scene flow 2015"),
    "camliraft_l_best_things_occ.pt": ("camliraft_l", "FlyingThings3D, occluded points too"),
    "camliraft_l_best_kitti_occ.pt": ("camliraft_l", "the same run, chosen on KITTI"),
    "camliraft_l_best_things_noc.pt": (
        "camliraft_l",
        "FlyingThings3D, points seen in both frames",
    ),
    "camliraft_l_best_kitti_noc.pt": ("camliraft_l", "the same run, chosen on KITTI"),
}


def official_model(name: str, tensors: Iterable[str] = (), dtype: str = "float32") -> OfficialModel:
    """The network called `name`, of VARIANTS. dtype: of features.

    tensors: of a file about to be read, whose 2D estimator may be CamLiPWC's smaller one.
    """
    check_network("camliflow", name, VARIANTS)
    config = replace(VARIANTS[name], dtype=dtype)
    if name == "camlipwc" and isinstance(tensors, Mapping) and LITE in tensors:
        config = replace(config, lite=tensors[LITE].shape[1] == 128)
    return OfficialModel(f"camliflow/{name}", FlowNetwork(config), entries(config), preprocess)


def network_of(task: Any, name: str) -> OfficialModel:
    """The network that a demo's task trains, for `jaxvision.load`."""
    prepare = partial(preprocess, points=task.config.task.predict.points)
    return OfficialModel(name, task.model, entries(task.network), prepare)


def published() -> list[dict[str, str]]:
    """The table of published weights, for people."""
    return [
        {
            "network": f"camliflow/{name}",
            "file": file,
            "for": trained,
            "parameters": f"{PARAMETERS[name]:,}",
            "by hand": BY_HAND,
        }
        for file, (name, trained) in FILES.items()
    ]


def recognise(tensors: Mapping[str, np.ndarray]) -> OfficialModel | None:
    """The network that a file's tensors belong to, or the ResNet-50 that image encoders start from;
    None where they are neither."""
    for name, mark in MARKS.items():
        if mark in tensors:
            return official_model(name, tensors)
    if all(mark in tensors for mark in IMAGENET_MARKS):
        listed = list(imagenet_entries())
        return OfficialModel("camliflow/resnet50", ResNetEncoder(), listed, preprocess)
    return None


def preprocess(pair: FramePair, points: int = POINTS) -> FlowInputs:
    """A pair as a batch of one, `points` of each cloud drawn from a fixed seed; points whose depth
    is not above 0 leave first. InputError where a cloud has none."""
    drawn = draw_points(drop_unusable(pair), points, np.random.RandomState(0))
    return FlowInputs(
        images=jnp.asarray(drawn.images[None]),
        clouds=jnp.asarray(np.stack(drawn.clouds)[None], jnp.float32),
        camera=jnp.asarray([drawn.camera], jnp.float32),
    )
