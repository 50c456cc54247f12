"""Golden runners of what action detectors compute about boxes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from jaxvision.ops import boxes as box_ops
from jaxvision.ops.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from jaxvision.ops.roi_align import roi_align

UTIL = "alphaction/modeling/stm_decoder/"
GEOMETRY = (
    f"{UTIL}util/{{head_utils,box_ops}}.py:decode_box,position_embedding,bbox_overlaps,"
    f"generalized_box_iou,clip_boxes_tensor; {UTIL}stm_decoder.py:AMStage.refine_xyzr"
)
ROI_ALIGN = (
    "alphaction/layers/roi_align_3d.py:ROIAlign3d (2D RoIAlign, aligned=False, depth folded into "
    "channels)"
)
FOCAL = "alphaction/layers/sigmoid_focal_loss.py and softmax_focal_loss.py"


@runner("stmixer", GEOMETRY, fixed={"overlap_eps": box_ops.SMALLEST_AREA})
def box_geometry(case: Case) -> dict:
    config = case.config
    widths = [int(n.rpartition("_")[2]) for n in case.outputs if n.startswith("position_embedding")]

    @jax.jit
    def run(xyzr, delta, tau, targets):
        boxes = box_ops.from_scale_and_ratio(xyzr)
        refined = box_ops.moved_by_scale(xyzr, config["delta_scale"] * delta)
        inside = box_ops.every_pair(box_ops.share_inside, boxes, boxes)
        bias = tau[:, None, None] * jnp.log(inside + config["iof_eps"])[:, None]
        scaled = xyzr / jnp.array(config["position_scale"], jnp.float32)
        codes = {
            f"position_embedding_{width}": box_ops.sinusoids(scaled, width, config["temperature"])
            for width in widths
        }
        return codes | {
            "boxes": boxes,
            "refined_xyzr": refined,
            "refined_boxes": box_ops.from_scale_and_ratio(refined),
            "iof": inside,
            "attn_bias": bias,
            "iou": box_ops.every_pair(box_ops.iou, boxes, boxes),
            "giou_overlaps": box_ops.every_pair(box_ops.giou, boxes, boxes),
            "giou_to_targets": box_ops.every_pair(box_ops.giou, boxes[0], targets),
            "clipped": box_ops.clipped(boxes[0], jnp.array(config["image_wh"])),
        }

    return run(*map(case.input, ("xyzr", "delta", "iof_tau", "target_boxes_xyxy")))


@runner("cycleacr", ROI_ALIGN, fixed={"op": "roi_align_3d"})
def roi_align_of_clips(case: Case) -> dict:
    config, answers = case.config, {}
    features, rows = case.input("feat"), case.input("rois")
    clips, depth = features.shape[0], features.shape[2]
    # Every box on every clip, of which a row's own clip is read.
    own = rows[:, 0].astype(int), np.arange(len(rows))
    boxes = np.broadcast_to(rows[None, :, 1:], (clips, len(rows), 4))

    for name, variant in config["variants"].items():
        bins, samples = tuple(variant["output_size"]), variant["sampling_ratio"] or None

        def pooled(features, bins=bins, samples=samples):
            last = jnp.moveaxis(features, (3, 4), (1, 2))
            folded = last.reshape(*last.shape[:3], -1)
            found = roi_align(
                folded, boxes, bins, config["spatial_scale"], samples, aligned=config["aligned"]
            )[own]
            return jnp.moveaxis(found.reshape(*found.shape[:3], -1, depth), (1, 2), (3, 4))

        @jax.jit
        def run(features, cotangent, pooled=pooled):
            value, pull = jax.vjp(pooled, features)
            return value, *pull(cotangent)

        value, gradient = run(features, case.input(f"cot_{name}"))
        answers |= {f"out_{name}": value, f"grad_feat_{name}": gradient}
    return answers


@runner("cycleacr", FOCAL, fixed={"reduction": "none"})
def focal_losses(case: Case) -> dict:
    answers: dict = {}
    logits, targets = case.input("logits"), case.input("targets")
    forms = {
        "sigmoid": (sigmoid_focal_loss, targets),
        "softmax": (softmax_focal_loss, case.input("classes")),
    }
    for gamma in case.config["gammas"]:
        for alpha in case.config["alphas"]:
            for name, (loss, wanted) in forms.items():
                each = functools.partial(loss, gamma=gamma, alpha=alpha if alpha >= 0 else None)
                value, pull = jax.vjp(lambda x, each=each, wanted=wanted: each(x, wanted), logits)
                answers[f"{name}_g{gamma}_a{alpha}"] = value
                answers[f"{name}_grad_g{gamma}_a{alpha}"] = pull(jnp.ones_like(value))[0]
    return answers
