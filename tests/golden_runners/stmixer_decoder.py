"""Golden runners of STMixer's decoder: its queries, a stage, the whole head, losses, detections."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.stmixer import boxes_of, pyramid_of
from jaxvision.methods.stmixer import geometry, objective
from jaxvision.methods.stmixer.decoder import (
    EPSILON,
    Answers,
    Decoder,
    DecoderConfig,
    DecoderStage,
    FirstQueries,
    Queries,
    QueryAttention,
    Space,
)
from jaxvision.methods.stmixer.detections import Choice, People, choose, detect
from jaxvision.methods.stmixer.objective import Truth, Weights
from jaxvision.methods.stmixer.weights import attention_entries, decoder_entries, stage_entries
from jaxvision.ops.sparse_sampling import frame_means
from jaxvision.weights import Entry, to_variables
from jaxvision.weights.transformer_entries import norm

DECODER = "alphaction/modeling/stm_decoder/"
HEAD = DECODER + "stm_decoder.py:STMDecoder"
EMPTY_WEIGHT = Entry("criterion.empty_weight", (2,), None)
# What every published head shares, and ours knows one form of.
FORM = {
    "num_ffn_fcs": 2,
    "activation": "ReLU",
    "intermediate_supervision": True,
}


def decoder_of(config) -> DecoderConfig:
    """A decoder of the settings of a head."""
    return DecoderConfig(
        queries=config["num_queries"],
        width=config["hidden_dim"],
        stages=config["num_stages"],
        heads=config["num_heads"],
        hidden=config["feedforward_channels"],
        frames=config["temporal_points"],
        points=config["spatial_points"],
        groups=config["n_groups"],
        multiplier=config["out_multiplier"],
        actions=config["action_classes"],
        objects=config["object_classes"],
        head_layers=(config["num_cls_fcs"], config["num_act_fcs"], config["num_reg_fcs"]),
        strides=tuple(config["featmap_strides"]),
    )


def check_form(config) -> None:
    """The keys of a head that ours knows one value of."""
    for key, value in FORM.items():
        assert config[key] == value, f"{key} is {config[key]}, we know {value}"


def weights_of(config) -> Weights:
    return Weights(
        person=config["object_weight"],
        action=config["action_weight"],
        l1=config["l1_weight"],
        giou=config["giou_weight"],
        background=config["background_weight"],
    )


def truth_of(case: Case) -> Truth:
    """The people of every clip, padded to the most of one clip and two more."""
    sizes = case.input("whwh")
    boxes = [case.input(f"gt_boxes_{clip}") for clip in range(len(sizes))]
    labels = [case.input(f"gt_labels_{clip}") for clip in range(len(sizes))]
    most = max(map(len, boxes)) + 2

    def padded(arrays, fill):
        rows = [np.concatenate([a, np.tile(fill, (most - len(a), 1))]) for a in arrays]
        return np.stack(rows).astype(np.float32)

    exists = np.arange(most) < np.array([[len(each)] for each in boxes])
    nobody = np.array([0, 0, 1, 1.0])
    return Truth(padded(boxes, nobody), padded(labels, np.zeros(labels[0].shape[1])), exists, sizes)


def matches(truth: Truth, matched: np.ndarray, clip: int) -> np.ndarray:
    """[stages, 2, people]: queries ascending, and the person of each."""
    queries = np.asarray(matched)[:, clip, : int(truth.exists[clip].sum())]
    order = np.argsort(queries, axis=-1)
    return np.stack([np.take_along_axis(queries, order, axis=-1), order], axis=1)


@runner("stmixer", f"{HEAD}._decode_init_queries", fixed={"layer_norm_eps": EPSILON})
def first_queries(case: Case) -> dict:
    config = DecoderConfig(
        queries=case.config["num_queries"], width=case.config["hidden_dim"], stages=0
    )
    entries = decoder_entries(config, "", "params")
    variables, _ = to_variables(case.state_dict(), entries)
    params = variables["params"]["first"]
    found = jax.jit(FirstQueries(config).apply)({"params": params}, case.input("whwh"))
    return {
        "xyzr": found.boxes,
        "spatial_queries": found.spatial,
        "temporal_queries": found.temporal,
    }


class Attended(nn.Module):
    """The first step of a stage, for one branch."""

    heads: int

    @nn.compact
    def __call__(self, x, boxes):
        temperature = self.param("overlap_temperature", nn.initializers.zeros, (self.heads,))
        bias = geometry.attention_bias(boxes, temperature)
        x = x + geometry.position_code(boxes, x.shape[-1])
        mixed = QueryAttention(self.heads, name="attention")(x, bias)
        return nn.LayerNorm(epsilon=EPSILON, name="norm")(x + mixed), bias


@runner(
    "stmixer",
    f"{DECODER}stm_decoder.py:AMStage.forward (attention part)",
    fixed={"layer_norm_eps": EPSILON},
)
def query_attention(case: Case) -> dict:
    width, heads = case.config["query_dim"], case.config["num_heads"]
    entries = [
        Entry("iof_tau", (heads,), "params/overlap_temperature"),
        *attention_entries("attention_s.attn.", "params/attention", (width, heads)),
        *norm("attention_norm_s", "params/norm", width),
    ]
    variables, _ = to_variables(case.state_dict(), entries)
    module = Attended(heads)

    @jax.jit
    def run(variables, x, boxes, cotangent):
        value, pull, bias = jax.vjp(
            lambda v, x: module.apply(v, x, boxes), variables, x, has_aux=True
        )
        return value, bias, pull(cotangent)

    boxes = boxes_of(case, case.input("box_uniform"))
    value, bias, (by_weights, by_x) = run(
        variables, case.input("queries"), boxes, case.input("cotangent")
    )
    flat = np.asarray(bias).reshape(-1, *bias.shape[2:])
    answers = {"out": value, "attn_bias": flat, "grad_queries": by_x}
    return answers | gradient_outputs(case.outputs, by_weights, entries)


@runner("stmixer", f"{DECODER}stm_decoder.py:AMStage", fixed={"layer_norm_eps": EPSILON})
def decoder_stage(case: Case) -> dict:
    config = case.config
    assert config["feat_channels"] == config["query_dim"]
    decoder = DecoderConfig(
        queries=config["num_queries"],
        width=config["query_dim"],
        heads=config["num_heads"],
        hidden=config["feedforward_channels"],
        frames=config["temporal_points"],
        points=config["spatial_points"],
        groups=config["n_groups"],
        multiplier=config["out_multiplier"],
        actions=config["action_classes"],
        objects=config["object_classes"],
        strides=tuple(config["featmap_strides"]),
    )
    entries = [*stage_entries(decoder, "", "params")]
    variables, _ = to_variables(case.state_dict(), entries)
    module, levels = DecoderStage(decoder), tuple(pyramid_of(case))
    widest = levels[0].shape[3] * decoder.strides[0]

    def run(variables, levels, queries):
        space = Space(levels, frame_means(levels))
        queries, answers, change = module.apply(variables, queries, space)
        value = jnp.sum(answers.person * case.input("cot_cls"))
        value = value + jnp.sum(answers.action * case.input("cot_act"))
        value = value + jnp.sum(answers.boxes * case.input("cot_box")) / widest
        return value, (queries, answers, change)

    queries = Queries(
        boxes_of(case, case.input("box_uniform")),
        case.input("spatial_queries"),
        case.input("temporal_queries"),
    )
    gradients = jax.jit(jax.grad(run, argnums=(0, 1, 2), has_aux=True))
    (by_weights, by_levels, by_queries), found = gradients(variables, levels, queries)
    after, answers, change = found
    inputs = {f"feature_{i}": np.moveaxis(np.asarray(g), -1, 1) for i, g in enumerate(by_levels)}
    return {
        "cls_score": answers.person,
        "action_score": answers.action,
        "xyzr_delta": change,
        "spatial_queries": after.spatial,
        "temporal_queries": after.temporal,
        "refined_xyzr": after.boxes,
        "refined_boxes": answers.boxes,
        "grad_xyzr": by_queries.boxes,
        "grad_spatial_queries": by_queries.spatial,
        "grad_temporal_queries": by_queries.temporal,
        **gradient_outputs(case.outputs, by_weights, entries, inputs),
    }


def detections_of(answers: Answers, sizes, choice: Choice) -> dict:
    """`action_scores_i` and `boxes_i` of every clip, of the last stage."""
    last = Answers(*(each[-1] for each in answers))
    found = jax.device_get(detect(last, sizes))
    outputs = {}
    for clip in range(len(sizes)):
        people = choose(People(*(each[clip] for each in found)), choice)
        outputs |= {f"action_scores_{clip}": people.action, f"boxes_{clip}": people.boxes}
    return outputs


def prepared_head(case: Case):
    """(decoder, entries, variables) of a head of its own."""
    check_form(case.config)
    decoder = decoder_of(case.config)
    levels = pyramid_of(case)
    assert levels[0].shape[1] == case.config["temporal_length"] == decoder.frames
    height, width = case.config["padded_hw"]
    assert levels[0].shape[2:4] == (height // decoder.strides[0], width // decoder.strides[0])
    entries = decoder_entries(decoder, "", "params")
    weights = {n: w for n, w in case.state_dict().items() if n != EMPTY_WEIGHT.name}
    return decoder, entries, to_variables(weights, entries)[0]


LOSS_KEYS = ("object_weight", "action_weight", "giou_weight", "l1_weight", "background_weight")


@runner(
    "stmixer",
    f"{HEAD} (eval)",
    ignores=dict.fromkeys(LOSS_KEYS, "no loss is asked"),
)
def head_eval(case: Case) -> dict:
    decoder, _, variables = prepared_head(case)
    sizes = case.input("whwh")
    answers, queries = jax.jit(Decoder(decoder).apply)(variables, tuple(pyramid_of(case)), sizes)
    choice = Choice(threshold=case.config["person_threshold"])
    return {
        "pred_logits": answers.person,
        "pred_boxes": answers.boxes,
        "pred_actions": answers.action,
        "spatial_queries": queries.spatial,
        "temporal_queries": queries.temporal,
        **detections_of(answers, sizes, choice),
    }


def loss_outputs(parts: objective.Losses, total) -> dict:
    """`loss/NAME` as published: a stage's number, none for the last."""
    names = {"person": "ce", "action": "bce", "l1": "bbox", "giou": "giou"}
    outputs = {"total_loss": total}
    for name, official in names.items():
        values = np.asarray(getattr(parts, name))
        for stage, value in enumerate(values):
            suffix = "" if stage == len(values) - 1 else f"_{stage}"
            outputs[f"loss/loss_{official}{suffix}"] = value
    return outputs


@runner(
    "stmixer",
    f"{HEAD} (train); engine/trainer.py (total)",
    ignores={"person_threshold": "nothing is detected"},
)
def head_train(case: Case) -> dict:
    decoder, entries, variables = prepared_head(case)
    weights, truth, levels = weights_of(case.config), truth_of(case), tuple(pyramid_of(case))

    def loss(variables, levels):
        answers, _ = Decoder(decoder).apply(variables, levels, truth.sizes)
        people = jnp.maximum(jnp.sum(truth.exists), 1)
        total, parts = objective.detection_loss(answers, truth, weights, people)
        return total, (parts, objective.match(answers, truth, weights))

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (total, (parts, matched)), (by_weights, by_levels) = run(variables, levels)
    inputs = {f"feature_{i}": np.moveaxis(np.asarray(g), -1, 1) for i, g in enumerate(by_levels)}
    return {
        **loss_outputs(parts, total),
        **{f"match_{clip}": matches(truth, matched, clip) for clip in range(len(truth.sizes))},
        **gradient_outputs(case.outputs, by_weights, entries, inputs),
    }


@runner("stmixer", f"{DECODER}util/loss.py:HungarianMatcher,SetCriterion", fixed={"num_classes": 1})
def matcher_and_losses(case: Case) -> dict:
    config, truth = case.config, truth_of(case)
    weights = Weights(
        person=config["cost_class"],
        l1=config["cost_bbox"],
        giou=config["cost_giou"],
        background=config["background_weight"],
    )

    @jax.jit
    def run(*answers):
        def total(*answers):
            stages = Answers(*(each[None] for each in answers))
            matched = objective.match(stages, truth, weights)
            people = jnp.maximum(jnp.sum(truth.exists), 1)
            parts = objective.losses(stages, truth, matched, people, weights.background)
            cost = objective.costs(stages, truth, weights)
            return sum(jnp.sum(part) for part in parts), (parts, matched, cost)

        return jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*answers)

    names = ("pred_logits", "pred_actions", "pred_boxes")
    gradients, (parts, matched, cost) = run(*map(case.input, names))
    outputs = dict(zip(("grad_logits", "grad_actions", "grad_boxes"), gradients, strict=True))
    for clip in range(len(truth.sizes)):
        outputs[f"match_{clip}"] = matches(truth, matched, clip)[0]
        outputs[f"cost_{clip}"] = cost[0, clip, :, : int(truth.exists[clip].sum())]
    return outputs | {
        "loss_ce": parts.person[0],
        "loss_bce": parts.action[0],
        "loss_bbox": parts.l1[0],
        "loss_giou": parts.giou[0],
    }


@runner("stmixer", f"{HEAD}.forward (eval branch)")
def postprocess(case: Case) -> dict:
    sizes = case.input("whwh")
    names = ("pred_logits", "pred_actions", "pred_boxes")
    answers = Answers(*(jnp.asarray(case.input(name))[None] for name in names))
    choice = Choice(case.config["person_threshold"], case.config["fallback_top_k"])
    found = detect(Answers(*(each[-1] for each in answers)), sizes)
    return {"person_scores": found.person, **detections_of(answers, sizes, choice)}
