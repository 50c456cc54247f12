"""Golden runner of the KITTI scene flow benchmark."""

import numpy as np

from golden_case import Case, runner
from golden_runners.metrics_segmentation import dataset
from jaxvision.data.flow_files import (
    encode_disparity,
    encode_flow,
    read_disparity_png,
    read_flow_png,
)
from jaxvision.data.picture_files import read_stored
from jaxvision.metrics import kitti_scene_flow as kitti


def frame(folder, number: int, names: tuple[str, str, str]) -> kitti.Frame:
    first, second = (read_disparity_png(folder / n / f"{number:06d}_10.png") for n in names[:2])
    flow, valid = read_flow_png(folder / names[2] / f"{number:06d}_10.png")
    return kitti.Frame(first, second, np.where(valid[..., None], flow, 0), valid)


def flow_with_validity(frame: kitti.Frame) -> np.ndarray:
    return np.concatenate([frame.flow, frame.flow_valid[..., None]], axis=-1, dtype=np.float32)


@runner(
    "metrics",
    "devkit/cpp/evaluate_scene_flow.cpp:disparityErrorsOutlier,flowErrorsOutlier,"
    "sceneFlowErrorsOutlier",
    fixed={
        "order": ["D1", "D2", "Fl", "SF"],
        "regions": ["noc", "occ"],
        "parts": ["bg", "fg", "all"],
        "abs_threshold": kitti.ABSOLUTE,
        "rel_threshold": kitti.RELATIVE,
    },
)
def scene_flow_benchmark(case: Case) -> dict:
    folder = dataset(case)
    answers, counts = {}, []
    for number in range(case.config["images"]):
        found = frame(folder / "results", number, ("disp_0", "disp_1", "flow"))
        objects = read_stored(folder / "training/obj_map" / f"{number:06d}_10.png")
        regions = []
        for region in ("noc", "occ"):
            names = (f"disp_{region}_0", f"disp_{region}_1", f"flow_{region}")
            truth = frame(folder / "training", number, names)
            regions.append(np.stack(kitti.count(found, truth, objects), axis=-1))
            if region == "noc":
                answers[f"disp_noc_0_{number}"] = truth.disparity_1
        counts.append(np.stack(regions, axis=1))  # [measure, region, part, all or own, 2]
        filled = kitti.fill_frame(found)
        answers |= {
            f"disp_occ_0_{number}": truth.disparity_1,
            f"disp_occ_1_{number}": truth.disparity_2,
            f"flow_occ_{number}": flow_with_validity(truth),
            f"disp_0_filled_{number}": filled.disparity_1,
            f"disp_1_filled_{number}": filled.disparity_2,
            f"flow_filled_{number}": flow_with_validity(filled),
            f"disp_0_rewritten_{number}": encode_disparity(filled.disparity_1),
            f"flow_rewritten_{number}": encode_flow(filled.flow, filled.flow_valid),
        }
    both = [kitti.Counts(*np.moveaxis(sum(counts)[:, region], -1, 0)) for region in range(2)]
    return answers | {
        "counts": np.stack(counts),
        "rates": np.stack([kitti.rates(region) for region in both], axis=1),
        "density": np.stack([kitti.density(region) for region in both], axis=1),
    }
