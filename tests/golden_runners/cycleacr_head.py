"""Golden runners of CycleACR's heads and whole detectors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.actions_backbones import alphaction_network, channels_first, swin_of
from golden_runners.cycleacr import Clips, Films, block_of, clips_of, current_loss, instances_of
from golden_runners.gradients import gradient_outputs
from jaxvision.data.actions import pixel_boxes
from jaxvision.methods.cycleacr import memory, objective
from jaxvision.methods.cycleacr.head import ActionHead, HeadConfig
from jaxvision.methods.cycleacr.model import Detector, PlainMap, SlowFastMaps, SwinMap
from jaxvision.methods.cycleacr.objective import FocalWeights
from jaxvision.methods.cycleacr.weights import detector_entries, head_entries
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.weights import to_variables

HEADS = "alphaction/modeling/roi_heads/action_head/action_head.py:"
VIDEOMAE = "VideoMAE-Action-Detection/modeling_finetune.py:VisionTransformer"
FORM = {
    "FEATURE_EXTRACTOR": "2MLPFeatureExtractor",
    "POOLER_TYPE": "align3d",
    "PREDICTOR": "FCPredictor",
}
IGNORED = {
    "roi_action_head.PROPOSAL_PER_CLIP": "the cases' boxes are fewer",
    "roi_action_head.MEAN_BEFORE_POOLER": "pooling is linear: the mean commutes with it",
    "roi_action_head.INIT_SCALE": "of first values",
    "cycle_acr.CONV_INIT_STD": "of first values",
    "cycle_acr.USE_ZERO_INIT_CONV": "of first values",
    "cycle_acr.DIM_IN": "the maps say it",
    "cycle_acr.MEM_ACTIVE": "steers the published engine alone",
    "parameters": "their count follows from the weights",
}
# What a case of inference, or of the baseline, has no use for.
OF_TRAINING = {
    f"roi_action_head.{key}": "of the loss"
    for key in ("FOCAL_LOSS", "OBJECT_LOSS_WEIGHT", "PERSON_LOSS_WEIGHT", "POSE_LOSS_WEIGHT")
} | {"roi_action_head.FOCAL_LOSS.*": "of the loss", "cycle_acr.PENALTY": "of training"}
OF_A_CYCLE = {"cycle_acr.*": "the baseline has no cycle"}


def head_of(config: Config) -> HeadConfig:
    head, cycle = config["roi_action_head"], config["cycle_acr"]
    for key, value in FORM.items():
        assert head[key] == value, f"{key} is {head[key]}"
    shared = {
        "bins": head["POOLER_RESOLUTION"],
        "scale": head["POOLER_SCALE"],
        "samples": head["POOLER_SAMPLING_RATIO"] or None,
        "hidden": head["MLP_HEAD_DIM"],
        "dropout": head["DROPOUT_RATE"],
        "classes": head["NUM_CLASSES"],
    }
    if not cycle["ACTIVE"]:
        return HeadConfig(cycle=False, **shared)
    assert cycle["LOCAL_FEATURE_LEN"] == 1 + shared["bins"] ** 2
    return HeadConfig(
        block=block_of(cycle),
        depth=cycle["DEPTH"],
        instances=instances_of(cycle),
        fusion=cycle["FUSION"],
        **shared,
    )


def groups_of(head: Config) -> tuple[int, ...]:
    kinds = ("PERSON_MOVEMENT", "OBJECT_MANIPULATION", "PERSON_INTERACTION")
    return tuple(head[f"NUM_{kind}_CLASSES"] for kind in kinds)


class Boxes(NamedTuple):
    """Padded boxes as RoIAlign sees them."""

    clips: Clips
    boxes: np.ndarray


def boxes_of(case: Case, extended: bool) -> Boxes:
    flat = case.input("boxes")
    counts = case.input("boxes_per_clip") if case.has_input("boxes_per_clip") else [len(flat)]
    clips = Clips(np.asarray(counts))
    sizes = case.input("clip_size_wh").reshape(-1, 2)
    shares = case.config["extend_scale"]
    ends = np.cumsum(clips.counts)
    found = [
        pixel_boxes.extended(flat[end - count : end], tuple(shares), tuple(size))
        if extended
        else flat[end - count : end]
        for count, end, size in zip(clips.counts, ends, sizes, strict=True)
    ]
    return Boxes(clips, clips.padded(np.concatenate(found)))


def two_steps(case: Case, module, variables, first: tuple, config: HeadConfig, poses: int) -> dict:
    """Features of all clips, then the classifier over the memory that they belong to."""
    seen = boxes_of(case, True)
    exists = seen.clips.exists
    found = jax.jit(lambda v, x, b: module.apply(v, x, b, method="features"))(
        variables, first, seen.boxes
    )
    answers = {}
    if config.cycle:
        films = Films(case, config.instances, seen.clips.counts)
        filled = films.with_own(found.actor, exists)
        window = memory.read_window(filled, films.window_rows, config.instances.slots)
        answers["bank_features"] = seen.clips.flat(found.actor)[..., None, None, None]
        answers["roi_features"] = seen.clips.flat(found.roi)[..., None, None, None]
    else:
        window = np.zeros((len(exists), 1, 1, 0), np.float32)
    classify = jax.jit(lambda v, f, w: module.apply(v, f, exists, w, method="classify"))
    logits = seen.clips.flat(classify(variables, found, window))
    scores = objective.probabilities(logits, poses) * case.input("box_scores")[:, None]
    return answers | {"logits": logits, "scores": scores}


def maps_of(case: Case) -> tuple:
    names = [name for name in ("slow_features", "fast_features") if case.has_input(name)]
    return tuple(np.moveaxis(case.input(name), 1, -1) for name in names)


@runner(
    "cycleacr",
    f"{HEADS}ROIActionHead",
    fixed={"module": "ROIActionHead"},
    ignores={**IGNORED, **OF_TRAINING, **OF_A_CYCLE},
)
def action_head(case: Case) -> dict:
    config = head_of(case.config)
    maps = maps_of(case)
    channels = sum(each.shape[-1] for each in maps)
    assert channels == case.config["dim_in"]
    frames = max(each.shape[1] for each in maps)
    if config.cycle:
        assert frames == case.config["cycle_acr"]["TEMP_FEATURE_LEN"]
    entries = list(head_entries("", "params", config, channels, frames))
    variables, _ = to_variables(case.state_dict(), entries)
    groups = groups_of(case.config["roi_action_head"])
    if not case.config["training"]:
        return two_steps(case, ActionHead(config), variables, maps, config, groups[0])
    return head_training(case, config, variables, entries, maps, groups)


def focal_of(head: Config) -> FocalWeights:
    focal = head["FOCAL_LOSS"]
    return FocalWeights(
        gamma=focal["GAMMA"],
        alpha=None if focal["ALPHA"] < 0 else focal["ALPHA"],
        pose=head["POSE_LOSS_WEIGHT"],
        object=head["OBJECT_LOSS_WEIGHT"],
        person=head["PERSON_LOSS_WEIGHT"],
    )


PART_NAMES = {
    "pose": "pose_action",
    "object": "object_interaction",
    "person": "person_interaction",
}


def training_window(case: Case, config: HeadConfig, clips: Clips):
    films = Films(case, config.instances, clips.counts)
    current = current_loss(case, case.config["cycle_acr"]["PENALTY"])
    slots = config.instances.slots
    return memory.read_window(films.memory, films.window_rows, slots, current)


def head_training(case: Case, config: HeadConfig, variables, entries, maps, groups) -> dict:
    weights = focal_of(case.config["roi_action_head"])
    if "loss_weights" in case.config:
        table = case.config["loss_weights"]
        said = {name: table[f"loss_{PART_NAMES[name]}"] for name in PART_NAMES}
        assert said == {name: getattr(weights, name) for name in PART_NAMES}
    seen = boxes_of(case, False)
    exists, labels = seen.clips.exists, seen.clips.padded(case.input("labels").astype(np.float32))
    window = None
    if config.cycle:
        window = training_window(case, config, seen.clips)

    def loss(variables, maps):
        logits, found = ActionHead(config).apply(variables, maps, seen.boxes, exists, window)
        total, parts = objective.focal_loss(logits, labels, exists, weights, groups)
        return total, (parts, logits, found)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (total, (parts, logits, found)), (by_weights, by_maps) = run(variables, maps)
    right = objective.accuracies(logits, labels, exists, groups)
    answers = {f"loss_{PART_NAMES[name]}": part for name, part in parts.items()}
    for name, (correct, people) in right.items():
        answers[f"accuracy_{PART_NAMES[name]}"] = correct / people
    for name, gradient in zip(("slow", "fast"), by_maps, strict=False):
        answers[f"grad_{name}_features"] = channels_first(gradient)
    return {
        **answers,
        "total_loss": total,
        "logits": seen.clips.flat(logits),
        "bank_features": seen.clips.flat(found.actor)[..., None, None, None],
        **gradient_outputs(case.outputs, by_weights, entries),
    }


def detector_of(case: Case) -> Detector:
    config, head = case.config, head_of(case.config)
    backbone, frames = config["backbone"], config["cycle_acr"]["TEMP_FEATURE_LEN"]
    kind = backbone["conv_body"]
    if kind.startswith("Swin"):
        assert backbone["pathways"] == 1
        return Detector(SwinMap(swin_of(backbone["swin"]), frames), head)
    assert backbone["pathways"] == 2
    network = alphaction_network(backbone, list(case.weight_shapes))
    return Detector(SlowFastMaps(network, frames), head)


@runner(
    "cycleacr",
    "alphaction/modeling/detector/action_detector.py:ActionDetector",
    fixed={"module": "ActionDetector"},
    ignores={
        **IGNORED,
        **OF_TRAINING,
        **{
            f"backbone.{key}": "the inputs are what it chose, or it says how, not what"
            for key in ("tau", "frame_num", "swin.DROP_PATH_RATE", "swin.USE_CHECKPOINT")
        },
        "backbone.frozen_bn": "a transformer has none",
        "backbone.bn_eps": "a transformer has none",
        "roi_action_head.DROPOUT_RATE": "nothing is dropped",
    },
)
def detector(case: Case) -> dict:
    module = detector_of(case)
    entries = detector_entries(module)
    state_dict = case.state_dict()
    assert [entry.name for entry in entries if not entry.optional] == list(state_dict)
    variables, _ = to_variables(state_dict, entries)
    names = ["slow", "fast"] if case.has_input("slow") else ["video"]
    clips = tuple(np.moveaxis(case.input(name), 1, -1) for name in names)
    maps = jax.jit(lambda v, x: module.apply(v, x, method=lambda m, x: m.backbone(x)))(
        variables, clips
    )
    head = {"params": variables["params"]["head"]}
    groups = groups_of(case.config["roi_action_head"])
    answers = two_steps(case, ActionHead(module.config), head, maps, module.config, groups[0])
    found = {f"{name}_map": channels_first(m) for name, m in zip(names, maps, strict=True)}
    return found | answers


def transformer_detector(case: Case) -> tuple[Detector, list]:
    vit, head = case.config["vit"], head_of(case.config)
    assert vit["in_chans"] == 3
    side = vit["img_size"]
    grid = CubeGrid(vit["all_frames"], (side, side), vit["tubelet_size"], vit["patch_size"])
    block = BlockConfig(
        vit["embed_dim"],
        vit["num_heads"],
        mlp_ratio=vit["mlp_ratio"],
        qkv_bias=vit["qkv_bias"],
        norm_epsilon=vit["norm_eps"],
    )
    module = Detector(PlainMap(grid, block, vit["depth"]), head)
    assert module.backbone.frames == case.config["cycle_acr"]["TEMP_FEATURE_LEN"]
    entries = detector_entries(module)
    assert [entry.name for entry in entries] == list(case.weight_shapes)
    return module, entries


VIT_FORM = {"module": "VideoMAE VisionTransformer with action head"}


@runner("cycleacr", VIDEOMAE, fixed=VIT_FORM, ignores=IGNORED | OF_TRAINING)
def transformer(case: Case) -> dict:
    assert not case.config["training"]
    module, entries = transformer_detector(case)
    variables, _ = to_variables(case.state_dict(), entries)
    clips = (np.moveaxis(case.input("video"), 1, -1),)
    (video_map,) = jax.jit(lambda v, x: module.apply(v, x, method=lambda m, x: m.backbone(x)))(
        variables, clips
    )
    head = {"params": variables["params"]["head"]}
    answers = two_steps(case, ActionHead(module.config), head, (video_map,), module.config, 0)
    tokens = video_map.reshape(len(video_map), -1, video_map.shape[-1])
    return {"tokens": tokens, **answers}


@runner(
    "cycleacr",
    f"{VIDEOMAE} and VideoMAE-Action-Detection/engine_for_finetuning.py:train_class_batch",
    fixed=VIT_FORM,
    ignores=IGNORED | {"extend_scale": "training scales no box"},
)
def transformer_training(case: Case) -> dict:
    assert case.config["training"]
    module, entries = transformer_detector(case)
    variables, _ = to_variables(case.state_dict(), entries)
    clips = (np.moveaxis(case.input("video"), 1, -1),)
    people = clips_of(case)
    boxes, exists = people.padded(case.input("boxes")), people.exists
    labels = people.padded(case.input("labels").astype(np.float32))
    window = training_window(case, module.config, people)

    def loss(variables):
        logits, found = module.apply(variables, clips, boxes, exists, window)
        return objective.summed_entropy(logits, labels, exists), (logits, found)

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (total, (logits, found)), gradients = run(jax.tree.map(jnp.asarray, variables))
    return {
        "loss": total,
        "logits": people.flat(logits),
        "bank_features": people.flat(found.actor)[..., None, None, None],
        **gradient_outputs(case.outputs, gradients, entries),
    }
