"""Golden runners of CamLiFlow's submissions to KITTI: dense motion, rigid background."""

import numpy as np

from golden_case import Case, runner
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.methods.camliflow import background_refinement as refinement
from jaxvision.methods.camliflow.background_refinement import Motion
from jaxvision.methods.camliflow.submission import densify


@runner("camliflow", "kitti_submission.py:Evaluator.run")
def dense_motion(case: Case) -> dict:
    config = case.config
    found = densify(
        case.input("disp"),
        case.input("pc1").T,
        case.input("flow_3d").T,
        case.input("flow_2d"),
        camera=Camera(config["f"], config["cx"], config["cy"]),
        baseline=config["baseline"],
    )
    return {
        "flow_3d_dense": found.flow_3d.T,
        "disp_change": found.disparity_2,
        "occ": found.leaves.astype(case.outputs["occ"]["dtype"]),
    }


@runner(
    "camliflow",
    "refine_utils.py: triangulation, midpoint_triangulate, register_disp_fast, evaluate_tri, "
    "mod_flow",
    fixed={
        "inlier_th": refinement.SCALE_ERROR,
        "select_th": refinement.AGREEMENT,
        "niters": refinement.SCALE_TRIALS,
    },
)
def geometry(case: Case) -> dict:
    config = case.config
    intrinsics, baseline = np.asarray(config["K"]), config["baseline"]
    motion = Motion(np.asarray(config["R"]), np.asarray(config["T"]))
    unit = Motion(motion.rotation, motion.translation / np.linalg.norm(motion.translation))
    disparity, holes, flow = (case.input(name) for name in ("disp", "disp_holes", "flow"))
    pixels = refinement.pixel_grid(disparity.shape)
    lifted = refinement.lift(holes, intrinsics, baseline)
    first = refinement.rays(pixels, intrinsics)
    second = refinement.rays(pixels + flow.reshape(-1, 2), intrinsics)
    points = refinement.midpoints(first, second, unit)
    given = disparity.reshape(-1).astype(np.float64)
    by_flow = baseline * intrinsics[0, 0] / points[:, 2]
    found = refinement.register(by_flow, given, np.ones(len(given), bool))
    valid = case.input("valid").astype(bool)
    agreement = refinement.compare_depths(
        (first[valid], second[valid]), unit, given[valid], baseline * intrinsics[0, 0]
    )
    moved, second_disparity = refinement.rigid_flow(
        refinement.lift(disparity, intrinsics, baseline),
        pixels,
        intrinsics,
        motion,
        baseline,
    )
    # The reference's translation is the second camera's place in the first one's coordinates.
    place = -motion.rotation.T @ agreement.translation
    return {
        "triangulation": np.concatenate([lifted.T, (lifted[:, 2] > 0)[None]]),
        "midpoint": points.T,
        "scale": found.scale,
        "inlier_ratio": found.inliers,
        "registered": found.registered,
        "agree": agreement.agrees.astype(case.outputs["agree"]["dtype"]),
        "t_scaled": place,
        "rigid_flow": moved.reshape(flow.shape),
        "rigid_disp2": second_disparity.reshape(disparity.shape),
    }


@runner("camliflow", "refine_utils.py:mod_flow", fixed={"parallax_threshold": 8})
def whole_refinement(case: Case) -> dict:
    answers = {}
    for name in ("moving", "static"):
        found = refinement.refine(
            case.input(f"{name}_flow"),
            (case.input(f"{name}_disp"), case.input(f"{name}_disp2")),
            case.input(f"{name}_bg") > 0,
            case.input(f"{name}_occ_ok") > 0,
            intrinsics=np.asarray(case.config["K"]),
            baseline=case.config["baseline"],
        )
        answers |= {f"{name}/flow": found.flow, f"{name}/disp2": found.disparity_2}
    return answers
