"""Golden runners of LinK detection beside its networks: voxels, targets, losses, decoding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from golden_case import Case, runner
from golden_runners.link_detection import nhwc
from jaxvision.data.lidar import boxes as geometry
from jaxvision.data.lidar.hard_voxels import VoxelGrid, mean_points
from jaxvision.methods.link.detection import decode as decoding
from jaxvision.methods.link.detection import objective, view_fusion
from jaxvision.methods.link.detection.targets import TargetMaker, draw_gaussian, gaussian_radius
from jaxvision.ops import rotated_boxes
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import make_optimizer
from jaxvision.training.task import Group

DET = "detection/det3d"
HEAD = f"{DET}/models/bbox_heads/center_head.py"


@runner(
    "link",
    f"{DET}/core/input/voxel_generator.py:VoxelGenerator; "
    "models/readers/voxel_encoder.py:VoxelFeatureExtractorV3",
)
def hard_voxels(case: Case) -> dict:
    config, points = case.config, case.input("points")
    grid = VoxelGrid(tuple(config["range"]), tuple(config["voxel_size"]))
    found = grid.voxelise(points, config["max_voxels"], config["max_points"])
    voxels = np.zeros((len(found.coords), config["max_points"], points.shape[1]), np.float32)
    voxels[tuple(found.slot_of_point.T)] = points[found.stored]
    return {
        "voxels": voxels,
        "coordinates": found.coords[:, ::-1],
        "num_points": found.counts,
        "grid_size": np.array(grid.shape),
        "mean_features": mean_points(points, found),
    }


def target_maker(config: dict) -> TargetMaker:
    low, factor = config["range"][:2], config["out_size_factor"]
    cell = [factor * size for size in config["voxel_size"][:2]]
    high = config["range"][3:5]
    columns, rows = (round((b - a) / c) for a, b, c in zip(low, high, cell, strict=True))
    return TargetMaker(
        tasks=tuple(len(task) for task in config["tasks"]),
        origin=tuple(low),
        cell=tuple(cell),
        shape=(rows, columns),
        slots=config["max_objs"],
        overlap=config["gaussian_overlap"],
        min_radius=config["min_radius"],
    )


@runner("link", f"{DET}/datasets/pipelines/preprocess.py:AssignLabel; core/utils/center_utils.py")
def targets(case: Case) -> dict:
    maker = target_maker(case.config)
    boxes, classes = case.input("gt_boxes"), case.input("gt_classes")
    answers = {}
    for number, found in enumerate(maker(boxes, classes)):
        answers |= {
            f"task{number}/hm": np.moveaxis(found.heat, -1, 0),
            f"task{number}/anno_box": found.box,
            f"task{number}/ind": found.cell,
            f"task{number}/mask": found.mask,
            f"task{number}/cat": found.category,
        }
    rows = np.concatenate(maker.order(classes))[: maker.slots]
    listed = np.zeros((maker.slots, 10), np.float32)
    listed[: len(rows), :9] = boxes[rows][:, [0, 1, 2, 3, 4, 5, 8, 6, 7]]
    listed[: len(rows), 6] = np.arctan2(*(f(boxes[rows, 8]) for f in (np.sin, np.cos)))
    listed[: len(rows), 9] = classes[rows] + 1
    return answers | {"gt_boxes_and_cls": listed}


@runner("link", f"{DET}/core/utils/center_utils.py:gaussian_radius, draw_umich_gaussian")
def gaussians(case: Case) -> dict:
    heat = np.zeros(case.config["heatmap_shape"], np.float32)
    for x, y, radius in case.config["draws"]:
        draw_gaussian(heat, (x, y), radius)
    radius = [
        [gaussian_radius(*size, overlap) for overlap in case.config["overlaps"]]
        for size in case.input("sizes")
    ]
    return {"radius": np.array(radius), "heatmap": heat}


def task_maps(case: Case) -> list[dict[str, np.ndarray]]:
    """Maps of every task, rows by columns by channels."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for name in case.input_names():
        if name.startswith("task"):
            task, branch = name.removeprefix("task").split("/")
            found.setdefault(int(task), {})[branch] = nhwc(case.input(name))
    return [found[task] for task in sorted(found)]


@runner("link", f"{HEAD}:CenterHead.loss; models/losses/centernet_loss.py")
def losses(case: Case) -> dict:
    config, maker = case.config, target_maker(case.config)
    scans = sum(name.startswith("gt_boxes") for name in case.input_names())
    made = [maker(case.input(f"gt_boxes{n}"), case.input(f"gt_classes{n}")) for n in range(scans)]
    stacked = [
        objective.TaskTargets(*map(np.stack, zip(*of_task, strict=True)))
        for of_task in zip(*made, strict=True)
    ]

    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(maps):
        shifted = [of | {"hm": of["hm"] + config["hm_logit_shift"]} for of in maps]
        return objective.detection_loss(
            shifted, stacked, config["weight"], tuple(config["code_weights"])
        )

    (total, parts), gradients = jax.jit(loss)(task_maps(case))
    heat = np.stack([part.heat for part in parts])
    by_dimension = np.stack([part.by_dimension for part in parts])
    location = by_dimension @ np.array(config["code_weights"])
    answers = {
        "total": total,
        "hm_loss": heat,
        "loc_loss_elem": by_dimension,
        "loc_loss": location,
        "loss": heat + config["weight"] * location,
        "num_positive": np.stack([part.positives for part in parts]),
    }
    for number, maps in enumerate(gradients):
        for name, value in maps.items():
            value = np.moveaxis(np.asarray(value), -1, 1)
            answers[f"grad/task{number}/{name}"] = value
            answers[f"grad_l2/task{number}/{name}"] = np.linalg.norm(value.astype(np.float64))
    return answers


@runner(
    "link",
    f"{HEAD}:CenterHead.predict",
    f"{HEAD}:CenterHead.predict (double_flip)",
    f"{HEAD}:CenterHead.post_processing (tt_rotation)",
    f"{HEAD}:_circle_nms; core/utils/circle_nms_jit.py",
    fixed={"max_per_img": 500},
)
def decoded(case: Case) -> dict:
    config, nms = case.config, case.config["nms"]
    assert (nms["use_rotate_nms"], nms["use_multi_class_nms"]) == (True, False)
    if "tasks" in config:
        classes = [maps["hm"].shape[-1] for maps in task_maps(case)]
        assert classes == [len(task) for task in config["tasks"]]
    how = decoding.Decoding(
        origin=tuple(config["pc_range"]),
        cell=tuple(config["out_size_factor"] * size for size in config["voxel_size"]),
        limits=tuple(config["post_center_limit_range"]),
        threshold=config["score_threshold"],
        candidates=nms["nms_pre_max_size"],
        kept=nms["nms_post_max_size"],
        overlap=nms["nms_iou_threshold"],
        squared_radii=tuple(config["min_radius"]) if config.get("circular_nms") else (),
    )

    @jax.jit
    def run(maps):
        found = decoding.decode(maps, how, config.get("double_flip", False))
        if angle := config.get("tt_rotation"):
            found = found._replace(box=decoding.rotate_boxes(found.box, angle))
        return found

    found = jax.tree.map(np.asarray, run(task_maps(case)))
    answers = {}
    for scan, valid in enumerate(found.valid):
        answers |= {
            f"sample{scan}/box3d_lidar": found.box[scan][valid],
            f"sample{scan}/scores": found.score[scan][valid],
            f"sample{scan}/label_preds": found.label[scan][valid],
        }
    return answers


@runner(
    "link",
    f"{DET}/ops/iou3d_nms/src/iou3d_nms_kernel.cu:box_overlap, iou_bev; "
    "det3d/core/bbox/box_torch_ops.py:rotate_nms_pcdet",
)
def rotated_overlaps(case: Case) -> dict:
    a, b, scores = (case.input(name) for name in ("boxes_a", "boxes_b", "scores"))
    columns = [0, 1, 3, 4, 6]
    pairs = a[:, None, columns], b[None, :, columns]
    answers = {
        "overlap": jax.jit(rotated_boxes.overlap)(*pairs),
        "iou": jax.jit(rotated_boxes.rotated_iou)(*pairs),
    }
    order = np.argsort(-scores, kind="stable")[: case.config["pre_max"]]
    chosen = rotated_boxes.rectangles(jnp.asarray(a[order]))
    suppress = jax.jit(rotated_boxes.rotated_nms, static_argnums=3)
    for threshold in case.config["thresholds"]:
        everything = jnp.ones(len(order), bool)
        kept, count = suppress(chosen, everything, threshold, case.config["post_max"])
        answers[f"keep_{round(100 * threshold)}"] = order[np.asarray(kept)[: int(count)]]
    return answers


@runner("link", "detection/nms_better2.py")
def fused(case: Case) -> dict:
    w, x, y, z = case.input("rotation").T
    heading = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    place, size = case.input("translation"), case.input("size")
    footprints = np.stack([place[:, 0], place[:, 1], size[:, 1], size[:, 0], heading], axis=1)
    names = case.config["class_names"]
    thresholds = {n: case.config["thresholds"][name] for n, name in enumerate(names)}
    rows = view_fusion.fuse(
        footprints,
        case.input("score"),
        case.input("class_id"),
        thresholds,
        case.config["max_boxes"],
    )
    return {"keep": rows}


@runner(
    "link",
    f"{DET}/core/sampler/preprocess.py:random_flip_both, global_rotation, global_scaling_v2, "
    "global_translate_, filter_gt_box_outside_range",
)
def augmentation(case: Case) -> dict:
    config, points, boxes = case.config, case.input("points"), case.input("boxes")
    answers = {"in_range": geometry.in_range_above(boxes, tuple(config["range_bev"]))}
    for name in config["flips"]:
        move = geometry.Motion(
            name in ("x", "both"),
            name in ("y", "both"),
            config["rotation"],
            config["scale"],
            tuple(config["translate"]),
        )
        answers |= {f"points_{name}": move.points(points), f"boxes_{name}": move.boxes(boxes)}
    return answers


@runner(
    "link",
    f"{DET}/core/sampler/preprocess.py:box_collision_test; "
    "core/bbox/box_np_ops.py:center_to_corner_box2d",
)
def collisions(case: Case) -> dict:
    corners = geometry.corners_above(case.input("boxes"))
    return {"corners": corners, "collision": geometry.collisions(corners, corners)}


@runner("link", f"{DET}/solver/learning_schedules_fastai.py:OneCycle")
def one_cycle(case: Case) -> dict:
    config, step = case.config, jnp.arange(case.config["total_steps"])
    rates = cycle_tables(config)
    return {
        name: jax.jit(schedules.make(table, config["total_steps"], 1))(step)
        for name, table in (("lr", rates[0]), ("momentum", rates[1]))
    }


def cycle_tables(config: dict) -> tuple[dict, dict]:
    """The schedules of the learning rate and of Adam's first moment."""
    low, (high_moment, low_moment) = config["lr_max"] / config["div_factor"], config["moms"]
    shared = {"name": "one_cycle", "rising": config["pct_start"]}
    rate = shared | {"start": low, "peak": config["lr_max"], "end": low / 1e4}
    return rate, shared | {"start": high_moment, "peak": low_moment, "end": high_moment}


@runner(
    "link",
    f"{DET}/solver/fastai_optim.py:OptimWrapper; torchie/apis/train.py:build_one_cycle_optimizer",
)
def adam_steps(case: Case) -> dict:
    config, optim = case.config, base_config().optim
    rate, moment = cycle_tables(config)
    optim.update({"name": "adamw", "b2": config["beta2"], "eps": config["eps"]})
    optim.learning_rate, optim.b1_schedule = ConfigDict(rate), ConfigDict(moment)
    optim.weight_decay.value, optim.clip_norm = config["weight_decay"], config["clip_norm"]
    params = {name: jnp.asarray(value) for name, value in case.state_dict().items()}
    groups = {name: Group() for name in params}
    steps = config["total_steps"]
    transform = make_optimizer(optim, groups, 1, steps, 1).transform
    state, history = transform.init(params), []
    for step in range(steps):
        gradient = {
            name: config["grad_scale"] * case.input(f"grad{step}/{name}") for name in params
        }
        update, state = transform.update(gradient, state, params, step=step)
        params = jax.tree.map(jnp.add, params, update)
        history.append(params)
    return {name: np.stack([past[name] for past in history]) for name in params}
