"""Golden runners of LinK's detection networks: backbones, neck, head, the whole detector."""

import functools

import jax
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.link import Rows
from jaxvision.methods.link.detection import weights
from jaxvision.methods.link.detection.backbone import VERSIONS, DetectionBackbone
from jaxvision.methods.link.detection.center_head import CenterHead
from jaxvision.methods.link.detection.detector import Detector
from jaxvision.methods.link.detection.pyramid import build_detection_levels, level_extents
from jaxvision.methods.link.detection.rpn import RPN
from jaxvision.methods.link.levels import LevelCapacities
from jaxvision.weights import to_variables

SCN = "detection/det3d/models/backbones/scn.py"
BACKBONES = {
    f"{SCN}:SpMiddleResNetFHD{version.removeprefix('baseline').upper().replace('V', 'v')}": version
    for version in VERSIONS
}
PLACED = {
    "voxel_size": "the voxels come with their coordinates",
    "range": "the voxels come with their coordinates",
}
# Numbers of a box in each map, each made by two layers.
MAPS = {"reg": [2, 2], "height": [1, 2], "dim": [3, 2], "rot": [2, 2], "vel": [2, 2]}
# Strided sites outnumber the voxels of small scenes on the second and third level.
SHARES = (1.0, 3.0, 3.0, 2.0, 1.5)


def nchw(value) -> np.ndarray:
    return np.moveaxis(np.asarray(value), -1, 1)


def nhwc(value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, 1, -1)


def rows_of(case: Case) -> Rows:
    """Voxels of a case, which come as (batch, z, y, x)."""
    found = case.input("coordinates").astype(np.int32)
    return Rows(np.concatenate([found[:, :0:-1], found[:, :1]], axis=1))


def listed(level, features) -> tuple[np.ndarray, np.ndarray]:
    """Indices (batch, z, y, x) of a level in that order, and its features."""
    count = int(level.sites.count[0])
    index = np.asarray(level.sites.coords)[0, :count][:, [0, 3, 2, 1]]
    order = np.lexsort(index.T[::-1])
    return index[order], np.asarray(features)[0, :count][order]


def stage_outputs(levels, found) -> dict:
    answers = {}
    for name, value in found.items():
        level = levels[int(name.removesuffix("_tail")[-1]) - 1]
        index, answers[name] = listed(level, value)
        answers[f"{name}_count"] = np.int32(len(index))
        answers[f"{name}_index_sum"] = index.sum(axis=0).astype(np.int32)
    return answers


def check_grid(config: Config) -> None:
    """The published grid has one row more along z than ours, which stays empty."""
    z, y, x = config["sparse_shape_zyx"]
    assert [x, y, z - 1] == config["grid_size_xyz"]


@functools.cache
def backbone(component: str, config: Config):
    version = BACKBONES[component]
    model = DetectionBackbone(version, tuple(config["planes"]))
    edge = config["block_size"]
    edge = None if version == "baseline" else edge
    check_grid(config)
    assert component.endswith(f":{config['backbone']}")
    grid = tuple(config["grid_size_xyz"])
    capacities = LevelCapacities(edge, level_share=SHARES)
    entries = list(weights.backbone_entries(model, config["num_input_features"]))

    @jax.jit
    def forward(variables, x, sites):
        levels = build_detection_levels(sites, grid, capacities)
        bev, found = model.apply(variables, x, levels, config["batch_size"])
        return bev, found, levels

    @jax.jit
    def pull(variables, x, sites, cotangent):
        levels = build_detection_levels(sites, grid, capacities)

        def value(variables, x):
            return model.apply(variables, x, levels, config["batch_size"])[0]

        return jax.vjp(value, variables, x)[1](cotangent)

    return entries, forward, pull


@runner("link", *BACKBONES, ignores=PLACED)
def detection_backbone(case: Case) -> dict:
    entries, forward, pull = backbone(case.component, case.config)
    rows = rows_of(case)
    variables, _ = to_variables(case.state_dict(), entries)
    x = rows.ours(case.input("features"))
    bev, found, levels = forward(variables, x, rows.sites)
    assert not np.any([level.sites.overflow for level in levels])
    answers = {"bev": nchw(bev)} | stage_outputs(levels, found)
    if case.has_input("cotangent"):
        cotangent = nhwc(case.input("cotangent"))
        gradients, of_x = pull(variables, x, rows.sites, cotangent)
        inputs = {"feats": rows.case(of_x)}
        answers |= gradient_outputs(case.outputs, gradients, entries, inputs)
    return answers


@runner("link", "detection/det3d/models/necks/rpn.py:RPN")
def neck(case: Case) -> dict:
    config = case.config
    model = RPN(
        tuple(config["layer_nums"]),
        tuple(config["ds_layer_strides"]),
        tuple(config["ds_num_filters"]),
        tuple(config["us_layer_strides"]),
        tuple(config["us_num_filters"]),
    )
    entries = list(weights.neck_entries(model, config["num_input_features"]))
    variables, _ = to_variables(case.state_dict(), entries)
    out = jax.jit(model.apply)(variables, nhwc(case.input("bev")))
    return {name: nchw(out) for name in case.outputs}


def has_velocity(maps: Config) -> bool:
    """Whether a head's maps are ours with velocity, or ours without."""
    assert all(size == MAPS[name] for name, size in maps.items())
    assert not MAPS.keys() - maps.keys() - {"vel"}
    return "vel" in maps


@runner(
    "link",
    "detection/det3d/models/bbox_heads/center_head.py:CenterHead.forward",
    fixed={"num_hm_conv": 2},
)
def center_head(case: Case) -> dict:
    config = case.config
    classes = tuple(len(task) for task in config["tasks"])
    velocity, width = has_velocity(config["common_heads"]), config["share_conv_channel"]
    model = CenterHead(classes, velocity, width)
    entries = list(weights.head_entries(classes, velocity, width, config["in_channels"]))
    variables, _ = to_variables(case.state_dict(), entries)
    run = jax.jit(functools.partial(model.apply, features=True))
    found, shared = run(variables, nhwc(case.input("feature")))
    return head_outputs(found) | {"shared": nchw(shared)}


def head_outputs(found) -> dict:
    return {f"task{n}/{name}": nchw(v) for n, maps in enumerate(found) for name, v in maps.items()}


@runner(
    "link",
    "detection/configs/nusc/voxelnet/nusc_centerpoint_voxelnet_0075voxel_fix_bn_z_elkv3.py "
    "(VoxelNet: reader, backbone SpMiddleResNetFHDELKv3, neck RPN, bbox_head CenterHead)",
    fixed={"model": "VoxelNet nuScenes 0.075 elkv3"},
    ignores=PLACED,
)
def whole_detector(case: Case) -> dict:
    config, neck = case.config, case.config["neck"]
    check_grid(config)
    strides = (neck["ds_layer_strides"], neck["us_layer_strides"])
    assert strides == ([1, 2], [1, 2])
    for name in ("layer_nums", "us_num_filters"):
        assert len(set(neck[name])) == 1, name
    model = Detector(
        tuple(len(task) for task in config["tasks"]),
        has_velocity(config["head"]["common_heads"]),
        neck_layers=neck["layer_nums"][0],
        neck_widths=tuple(neck["ds_num_filters"]),
        joined_width=neck["us_num_filters"][0],
        head_width=config["head"]["share_conv_channel"],
    )
    rows = rows_of(case)
    grid = tuple(config["grid_size_xyz"])
    capacities = LevelCapacities(edge=7, level_share=SHARES)

    @jax.jit
    def forward(variables, x, sites):
        levels = build_detection_levels(sites, grid, capacities)
        found, stages = model.apply(
            variables, x, levels, config["batch_size"], method=model.with_features
        )
        return found, stages, levels

    height = level_extents(grid)[-1][2]
    assert neck["num_input_features"] == height * model.planes[-1]
    entries = weights.detector_entries(model, height)
    variables, _ = to_variables(case.state_dict(), entries)
    found, stages, levels = forward(variables, rows.ours(case.input("features")), rows.sites)
    assert not np.any([level.sites.overflow for level in levels])
    maps = {name: nchw(stages.pop(name)) for name in ("bev", "neck")}
    return head_outputs(found) | maps | stage_outputs(levels, stages)
