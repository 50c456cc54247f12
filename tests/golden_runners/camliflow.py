"""Golden runners of how CamLiFlow is measured and trained: metrics and learning rates."""

import numpy as np

from golden_case import Case, runner
from jaxvision.metrics.scene_flow import flow_2d_sums, flow_3d_sums, lidar_sums, means
from jaxvision.training import schedules


@runner(
    "camliflow",
    "models/base.py:FlowModel, eval_things.py, eval_kitti_noc_sf.py, eval_kitti_occ_sf.py, "
    "eval_things_noc_sf.py, eval_things_occ_sf.py",
)
def measures(case: Case) -> dict:
    flow, truth, points, scene_flow = (
        np.moveaxis(case.input(name), 1, -1) for name in ("pred2", "target2", "pred3", "target3")
    )
    seen = case.input("occ") == 0
    answers = {}
    for name, dense in (("model", False), ("model_dense", True)):
        valid = truth[..., 2] > 0, scene_flow[..., 3] > 0
        valid = tuple(v | dense for v in valid)
        found = means(flow_2d_sums(flow, truth[..., :2], valid[0], margin=1e-5))
        found |= means(flow_3d_sums(points, scene_flow[..., :3], valid[1]))
        if not dense:
            some = means(flow_3d_sums(points, scene_flow[..., :3], valid[1] & seen))
            found |= {f"{key}_noc": value for key, value in some.items()}
        answers |= {f"{name}/{key}": value for key, value in found.items()}
    valid = scene_flow[..., 3] > 0
    found = means(flow_2d_sums(flow, truth[..., :2], truth[..., 2] > 0))
    answers |= {
        "eval/epe2d": found["epe2d"],
        "eval/1px_pct": 100 * found["acc2d_1px"],
        "eval/fl_pct": 100 * found["outlier2d"],
    }
    for ending, counted in (("", valid), ("_noc", valid & seen)):
        found = means(flow_3d_sums(points, scene_flow[..., :3], counted))
        answers |= {
            f"eval/epe3d{ending}": found["epe3d"],
            f"eval/5cm_pct{ending}": 100 * found["acc3d_5cm"],
            f"eval/10cm_pct{ending}": 100 * found["acc3d_10cm"],
        }
    every = np.ones(seen.shape, bool)
    protocols = {
        "per_frame_mean": (every, True),
        "all_points": (every, False),
        "masked_per_frame_mean": (seen, True),
    }
    names = {"epe": "epe3d", "accs": "acc_strict", "accr": "acc_relax", "outlier": "outlier"}
    for name, (kept, by_frame) in protocols.items():
        runs = range(len(points)) if by_frame else [slice(None)]
        each = [means(lidar_sums(points[r], scene_flow[r][..., :3], kept[r])) for r in runs]
        for short, key in names.items():
            answers[f"lidar_{name}/{short}"] = np.mean([found[key] for found in each])
    return answers


@runner(
    "camliflow",
    "factory.py:optimizer_factory with the cosine scheduler of timm 0.4.12; train.py:Trainer.run",
)
def learning_rates(case: Case) -> dict:
    answers = {}
    for name, table in case.config.items():
        epochs, rates = table["epochs"], []
        for peak in table["lr"]:
            schedule = schedules.make(
                {
                    "name": "cosine",
                    "clock": "epoch",
                    "shifted": False,
                    "shortened": False,
                    "inclusive_warmup": False,
                    "peak": peak,
                    "end": table["min_lr"],
                    "start": table["warmup_lr"],
                    "warmup_epochs": table["warmup_epochs"],
                },
                steps=2 * epochs,
                steps_per_epoch=2,
            )
            rates.append([float(schedule(2 * epoch + 1)) for epoch in range(epochs)])
        answers[name] = np.stack(rates, axis=-1)
    return answers
