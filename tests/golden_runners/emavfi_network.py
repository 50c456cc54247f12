"""Golden runners of EMA-VFI: the whole network, inference and training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from golden_case import Case, Config, runner
from golden_runners.emavfi import FIXED, feature_outputs, first, last, network_config
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.emavfi import inference, objective, weights
from jaxvision.methods.emavfi.inference import InferenceSettings
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.variants import VARIANTS, NetworkConfig
from jaxvision.weights import to_state_dict, to_variables

PUBLISHED = {"ours": "base", "ours_small": "small", "ours_t": "base_t", "ours_small_t": "small_t"}


def network_of(case: Case) -> tuple[InterpolationNetwork, list, dict]:
    """(model, entries, variables) of a case about the whole network."""
    network = network_config(case.config)
    entries = weights.entries(network)
    state = case.state_dict()
    assert [entry.name for entry in entries] == list(state)
    if name := case.config.get("variant"):
        published = VARIANTS[PUBLISHED[name]]
        assert published.network == network
        assert sum(value.size for value in state.values()) == published.parameters
    variables, _ = to_variables(state, entries, case.path.name)
    back = to_state_dict(variables, entries)
    assert all(np.array_equal(back[key], value) for key, value in state.items())
    return InterpolationNetwork(network), entries, variables


def pair_of(case: Case) -> np.ndarray:
    return np.stack([last(case.input("img0")), last(case.input("img1"))], axis=1)


def settings_of(config: dict, down_scale: float = 1.0, augment: bool = False) -> InferenceSettings:
    """Frames are padded where `config` names a divisor, by a repeated edge."""
    assert config.get("pad", "replicate") == "replicate"
    return InferenceSettings(down_scale, augment, divisor=config.get("divisor", 0))


@functools.cache
def forward(network: NetworkConfig):
    """A jitted (variables, pair, t) -> (answer, features) of the whole network."""
    model = InterpolationNetwork(network)

    @jax.jit
    def run(variables, pair, t):
        return model.apply(variables, pair, t), model.apply(variables, pair, method="features")

    return run


def split(x: np.ndarray) -> np.ndarray:
    """Two frames along channels -> pairs, channels last."""
    return np.stack([last(x[:, :3]), last(x[:, 3:])], axis=1)


@runner("emavfi", "model/flow_estimation.py:MultiScaleFlow.forward", fixed=FIXED)
def whole_network(case: Case) -> dict:
    model, _, variables = network_of(case)
    pair = split(case.input("x"))
    padder = inference.padder_for(*pair.shape[2:4], settings_of(case.config))
    answer, features = forward(model.config)(variables, padder.pad(pair), case.config["timestep"])
    images = {"pred": answer.frame}
    for level, (merged, motion) in enumerate(zip(answer.merged, answer.motion, strict=True)):
        images[f"merged_{level}"] = merged
        images[f"flow_{level}"] = motion.flow
        images[f"mask_{level}"] = jax.nn.sigmoid(motion.mask)
    answers = {name: first(padder.unpad(image)) for name, image in images.items()}
    return answers | feature_outputs(features)


@runner("emavfi", "model/loss.py:LapLoss")
def laplacian(case: Case) -> dict:
    a, b, levels = last(case.input("a")), last(case.input("b")), case.config["levels"]
    assert a.shape[-1] == case.config["channels"]

    @jax.jit
    def run(a, b):
        def loss(a):
            distances = objective.laplacian_distances(a, b, levels)
            return jnp.sum(distances), distances

        (value, distances), grad = jax.value_and_grad(loss, has_aux=True)(a)
        return value, grad, distances, objective.laplacian_pyramid(a, levels)

    loss, grad, distances, pyramid = run(a, b)
    answers = {"loss": loss, "grad_a": first(grad), "per_level_l1": distances}
    return answers | {f"pyramid_a_{level}": first(band) for level, band in enumerate(pyramid)}


@functools.cache
def training(config: Config):
    """Jitted (variables, pair, target) -> loss, its parts and gradients; and the optimizer."""
    model = InterpolationNetwork(network_config(config))
    assert config["optimizer"] == "AdamW"
    optimizer = optax.adamw(
        config["lr"], *config["betas"], config["eps"], weight_decay=config["weight_decay"]
    )

    def loss(variables, pair, target):
        answer = model.apply(variables, pair, config["timestep"])
        refined, merged = objective.interpolation_losses(answer, target, config["lap_levels"])
        total = refined + config["warp_loss_weight"] * sum(merged)
        return total, (refined, jnp.stack(merged), answer.frame)

    @jax.jit
    def step(variables, state, pair, target):
        (total, parts), grads = jax.value_and_grad(loss, has_aux=True)(variables, pair, target)
        updates, state = optimizer.update(grads, state, variables)
        return optax.apply_updates(variables, updates), state, total, parts, grads

    return optimizer, step


@runner("emavfi", "Trainer.py:Model.update; model/loss.py:LapLoss", fixed=FIXED)
def train(case: Case) -> dict:
    _, entries, variables = network_of(case)
    optimizer, step = training(case.config)
    state, losses, answers = optimizer.init(variables), [], {}
    pair, target = split(case.input("x")), last(case.input("gt"))
    steps = case.outputs["loss_4_steps"]["shape"][0] if "loss_4_steps" in case.outputs else 1
    for number in range(steps):
        variables, state, total, (refined, merged, frame), grads = step(
            variables, state, pair, target
        )
        losses.append(total)
        if number == 0:
            answers = {
                "loss": total,
                "lap_pred": refined,
                "lap_merged": merged,
                "pred": first(frame),
            } | gradient_outputs(case.outputs, grads, entries)
    return answers | {"loss_4_steps": np.array(losses)}


interpolate = jax.jit(inference.interpolate, static_argnames=("model", "settings"))


@runner(
    "emavfi",
    "Trainer.py:Model.inference, hr_inference",
    "Trainer.py:Model.hr_inference, multi_inference",
    "Trainer.py:Model.multi_inference",
    fixed=FIXED,
    ignores={name: "each of the calls has its own" for name in ("timesteps", "multi_times")},
)
def calls(case: Case) -> dict:
    """Every call of `config.calls`; multi_inference answers the first sample only."""
    model, _, variables = network_of(case)
    answers = {}
    for name, call in case.config["calls"].items():
        multiple = call["call"] == "multi_inference"
        times = call["times"] if multiple else [call["timestep"]]
        settings = settings_of(
            case.config, call.get("down_scale", 1.0), augment=call["tta"] is not None
        )
        results = interpolate(model, variables, pair_of(case), tuple(times), settings)
        for number, (t, frame) in enumerate(zip(times, results, strict=True)):
            image = first(frame)
            answers[name.format(t=t, i=number)] = image[0] if multiple else image
    return answers


@runner(
    "emavfi",
    "Trainer.py:Model.inference; benchmark/utils/padder.py:InputPadder",
    fixed={**FIXED, "pad": "replicate"},
)
def padded(case: Case) -> dict:
    model, _, variables = network_of(case)
    pair, t = pair_of(case), (case.config["timestep"],)
    settings = settings_of(case.config)
    padder = inference.padder_for(*pair.shape[2:4], settings)
    as_they_are = InferenceSettings(divisor=0)
    (whole,) = interpolate(model, variables, padder.pad(pair), t, as_they_are)
    (frame,) = interpolate(model, variables, pair, t, settings)
    return {"padded_pred": first(whole), "pred": first(frame)}


def estimate_motion(model, variables, pair, t, settings):
    encoded = inference.encode_pair(model, variables, pair, settings)
    size = pair.shape[2:4]
    return inference.frame_at(model, variables, encoded, t, size=size, settings=settings)[1]


@runner(
    "emavfi",
    "Trainer.py:Model.multi_inference; model/flow_estimation.py:MultiScaleFlow.forward, "
    "calculate_flow",
    fixed=FIXED,
)
def timesteps(case: Case) -> dict:
    model, _, variables = network_of(case)
    pair, times, answers = pair_of(case), tuple(case.config["timesteps"]), {}
    settings = settings_of(case.config)
    results = interpolate(model, variables, pair, times, settings)
    estimate = jax.jit(estimate_motion, static_argnums=(0, 4))
    padder = inference.padder_for(*pair.shape[2:4], settings)
    for t, frame in zip(times, results, strict=True):
        answer, _ = forward(model.config)(variables, padder.pad(pair), t)
        motion = estimate(model, variables, pair, t, settings)
        answers |= {
            f"multi_t{t}": first(frame)[0],
            f"forward_flow_t{t}": first(padder.unpad(answer.motion[-1].flow)),
            f"forward_pred_t{t}": first(padder.unpad(answer.frame)),
            f"calc_flow_t{t}": first(motion.flow),
            f"calc_mask_logits_t{t}": first(motion.mask),
        }
    return answers


@runner("emavfi", "demo_2x.py; Trainer.py:Model.inference", fixed=FIXED)
def photographs(case: Case) -> dict:
    model, _, variables = network_of(case)
    config = case.config
    pair = np.stack([case.input("frame0_u8"), case.input("frame1_u8")])[None] / np.float32(255)
    settings = settings_of(config, augment=config["fast_tta"])
    (frame,) = interpolate(model, variables, pair, (config["timestep"],), settings)
    rounded = np.round(np.asarray(frame[0]) * 255).astype(np.uint8)
    return {"pred": first(frame)[0], "pred_u8_rounded": rounded}
