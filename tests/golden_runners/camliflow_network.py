"""Golden runners of CamLiFlow's six networks: flows, losses, gradients, running statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.camliflow import objective
from jaxvision.methods.camliflow.inverse_depth import (
    Sensors,
    flow_to_perspective,
    pixels_of_parallel,
    to_parallel,
    to_perspective,
)
from jaxvision.methods.camliflow.model import DomainShift, FlowInputs, FlowNetwork, Prediction
from jaxvision.methods.camliflow.parameter_groups import decays, of_point_branch
from jaxvision.methods.camliflow.variants import (
    NO_PWC_FUSION,
    NO_RAFT_FUSION,
    PARAMETERS,
    VARIANTS,
    PwcConfig,
    RaftConfig,
)
from jaxvision.methods.camliflow.weights import entries
from jaxvision.metrics.scene_flow import flow_2d_sums, flow_3d_sums
from jaxvision.weights import to_state_dict, to_variables

DESCRIPTIONS = {
    "image_size": "the images say it, and the points' networks take none",
    "n_points": "the clouds say it",
    "backbone.pretrained": "weights are given",
    "pwc2d.fixed": "everything is trained",
    "pwc3d.fixed": "everything is trained",
    "freeze_bn": "evaluation always uses running statistics",
    "n_iters_train": "the other mode's",
    "n_iters_eval": "the other mode's",
    "loss": "evaluation has none",
    "loss2d": "evaluation has none",
    "loss3d": "evaluation has none",
}
NORMED = ("feature_pyramid",)


def last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)


def first(x) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)


def check_norms(table: Config) -> None:
    """The norms that this project knows: batch norm of the encoders, none elsewhere."""
    for part, norm in table.items():
        assert norm == ("batch_norm" if part in NORMED else None), f"{part}: {norm}"


def config_of(config: Config) -> RaftConfig | PwcConfig:
    name = config["name"]
    points = name not in ("raft", "pwc")
    settings = {"images": not name.endswith("_l"), "points": points}
    if points:
        settings["pyramid"] = tuple(config["pyramid_points"])
    if "ids" in config:
        settings["inverse_depth"] = config["ids"]["enabled"]
    if "raft" in name:
        if settings["images"]:
            assert config["backbone"]["depth"] == 50
        if name != "camliraft":
            return RaftConfig(**settings, **NO_RAFT_FUSION)
        return RaftConfig(
            **settings,
            fuse_features=config["fuse_fnet"],
            fuse_context=config["fuse_cnet"],
            fuse_correlation=config["fuse_corr"],
            fuse_motion=config["fuse_motion"],
            fuse_hidden=config["fuse_hidden"],
        )
    images = config.get("pwc2d", config)
    if name != "camlipwc_l":
        settings |= {
            "lite": images["lite_estimator"],
            "max_displacement": images["max_displacement"],
        }
    for table in (images, config.get("pwc3d", {})):
        if "norm" in table:
            check_norms(table["norm"])
    if name != "camlipwc":
        return PwcConfig(**settings, **NO_PWC_FUSION)
    assert config["pwc3d"]["k"] == 16
    fused = config["fusion"]
    return PwcConfig(
        **settings,
        fuse_pyramid=fused["fuse_pyramid"],
        fuse_correlation=fused["fuse_correlation"],
        fuse_estimator=fused["fuse_estimator"],
    )


def variables_of(case: Case, config: RaftConfig | PwcConfig) -> tuple[list, dict]:
    """(entries, variables), through the converter and back."""
    listed, state = entries(config), case.state_dict()
    assert [entry.name for entry in listed] == list(state)
    variables, unused = to_variables(state, listed, case.path.name)
    back = to_state_dict(variables, listed, unused)
    assert list(back) == list(state)
    assert all(np.array_equal(back[name], value) for name, value in state.items())
    return listed, variables


def inputs_of(case: Case, config: RaftConfig | PwcConfig) -> FlowInputs:
    images = clouds = camera = shift = None
    if config.images:
        both = case.input("images")
        images = np.stack([last(both[:, :3]), last(both[:, 3:])], axis=1)
    if config.points:
        both = case.input("pcs")
        clouds = np.stack([last(both[:, :3]), last(both[:, 3:])], axis=1)
        camera = case.input("intrinsics")
    if case.has_input("src_mean"):
        names = ("src_mean", "src_std", "dst_mean", "dst_std")
        shift = DomainShift(*(case.input(name) for name in names))
    return FlowInputs(images, clouds, camera, shift)


@functools.cache
def forward(config: RaftConfig | PwcConfig, iterations: int):
    network = FlowNetwork(config)

    @jax.jit
    def run(variables, inputs):
        return network.apply(variables, inputs, iterations=iterations)

    return run


def answers_of(found: Prediction) -> dict:
    answers = {}
    for name, flows in (
        ("flow_2d_pred", found.flow_2d),
        ("flow_3d_pred", found.flow_3d),
        ("core_flow_3d_pred", found.in_network),
    ):
        answers |= {f"{name}{number}": first(flow) for number, flow in enumerate(flows)}
    if found.final_2d is not None:
        answers["flow_2d"] = first(found.final_2d)
    if found.final_3d is not None:
        answers["flow_3d"] = first(found.final_3d)
    return answers


@functools.cache
def training(config: RaftConfig | PwcConfig, table: Config):
    """A jitted (params, statistics, inputs, truth) -> ((loss, (parts, statistics, flows)), grads)
    of a case's config."""
    network = FlowNetwork(config)
    frozen = table.get("freeze_bn", False)
    iterations = table["n_iters_train"] if isinstance(config, RaftConfig) else 0

    def loss_table(dimension: str) -> Config:
        return table["loss"] if "loss" in table else table[f"loss{dimension}"]

    def loss(params, statistics, inputs, truth):
        found, changed = network.apply(
            {"params": params, **statistics},
            inputs,
            iterations=iterations,
            use_running=frozen,
            mutable=["batch_stats"],
        )
        parts = {}
        for dimension, flows in (("2d", found.flow_2d), ("3d", found.flow_3d)):
            if not flows:
                continue
            settings, true = loss_table(dimension), truth[dimension]
            if isinstance(config, RaftConfig):
                value = objective.sequence_loss(flows, true, settings["gamma"], settings["order"])
            elif dimension == "2d":
                value = objective.pyramid_loss_2d(
                    flows, true, settings["level_weights"], settings["order"]
                )
            else:
                levels = [found.samples[:, :n] for n in config.pyramid[:-1]]
                value = objective.pyramid_loss_3d(
                    flows, true, [None, *levels], settings["level_weights"], settings["order"]
                )
            parts[f"loss{dimension}"] = value
        return sum(parts.values()), (parts, changed, found.final_2d, found.final_3d)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def trained(case: Case, config: RaftConfig | PwcConfig) -> dict:
    listed, variables = variables_of(case, config)
    inputs = inputs_of(case, config)
    truth = {
        dimension: last(case.input(f"flow_{dimension}"))
        for dimension in ("2d", "3d")
        if case.has_input(f"flow_{dimension}")
    }
    if isinstance(config, RaftConfig) and not config.images:
        truth["3d"] = objective.every_point_valid(jnp.asarray(truth["3d"]))
    statistics = {"batch_stats": variables["batch_stats"]}
    run = training(config, case.config)
    (total, (parts, changed, flow_2d, flow_3d)), gradients = jax.device_get(
        run(variables["params"], statistics, inputs, truth)
    )
    answers = {"loss": total, "metric/loss": total}
    answers |= {f"metric/{name}": value for name, value in parts.items()}
    if flow_2d is not None:
        answers["flow_2d"] = first(flow_2d)
        true, valid = truth["2d"][..., :2], truth["2d"][..., 2] > 0
        answers |= metrics_of(flow_2d_sums(flow_2d, true, valid, margin=1e-5))
    if flow_3d is not None:
        answers["flow_3d"] = first(flow_3d)
        true, valid = truth["3d"][..., :3], truth["3d"][..., 3] > 0
        answers |= metrics_of(flow_3d_sums(flow_3d, true, valid))
    state = to_state_dict({"batch_stats": changed["batch_stats"]}, listed)
    answers |= {f"after_step/{name}": value for name, value in state.items()}
    return answers | gradient_outputs(case.outputs, {"params": gradients}, listed)


def metrics_of(sums: dict) -> dict:
    return {f"metric/{name}": total / count for name, (total, count) in sums.items()}


@runner(
    "camliflow",
    "models/camliraft.py:CamLiRAFT",
    "models/camliraft_l.py:CamLiRAFT_L",
    "models/raft.py:RAFT",
    "models/camlipwc.py:CamLiPWC",
    "models/camlipwc_l.py:CamLiPWC_L",
    "models/pwc.py:PWC",
    ignores=DESCRIPTIONS,
)
def networks(case: Case) -> dict:
    config = config_of(case.config)
    if case.config["mode"] == "train":
        return trained(case, config)
    _, variables = variables_of(case, config)
    iterations = case.config["n_iters_eval"] if isinstance(config, RaftConfig) else 0
    return answers_of(forward(config, iterations)(variables, inputs_of(case, config)))


@runner("camliflow", "models/losses.py")
def losses(case: Case) -> dict:
    config, orders = case.config, ("l2-norm", "l1", "robust")
    given = {
        name: case.input(name) if name.startswith("idx") else last(case.input(name))
        for name in case.input_names()
    }
    gamma, weights = config["gamma"], config["level_weights"]
    samples = [None, given.get("idx1"), given.get("idx2")]
    flows = {name: x for name, x in given.items() if name[0] in "pqs"}
    answers = {}
    for order in orders:
        short = order.removesuffix("-norm")

        def sequence(f, order=order):
            values = {}
            for kind, letter, target in (("2d", "p", "target2"), ("3d", "q", "target3")):
                listed = [f[f"{letter}{i}"] for i in range(3)]
                values[f"seq{kind}"] = objective.sequence_loss(listed, given[target], gamma, order)
                dense = given[target][..., :-1]
                values[f"seq{kind}_dense"] = objective.sequence_loss(listed, dense, gamma, order)
            return values["seq2d"] + values["seq3d"], values

        def pyramid(f, order=order):
            two = [f[f"s{i}"] for i in range(3)]
            three = [f["q0"], f["q1s"], f["q2s"]]
            values = {
                "pyr2d": objective.pyramid_loss_2d(two, given["target2"], weights, order),
                "pyr3d": objective.pyramid_loss_3d(
                    three, given["target3"], samples, weights, order=order
                ),
                "pyr3d_dense": objective.pyramid_loss_3d(
                    three, given["target3"][..., :-1], samples, weights, order=order
                ),
            }
            return values["pyr2d"] + values["pyr3d"], values

        for name, loss in (("seq", sequence), ("pyr", pyramid)):
            (_, values), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(flows)
            answers |= {f"{key}_{short}": value for key, value in values.items()}
            used = ("p0", "p1", "p2", "q0", "q1", "q2")
            used = used if name == "seq" else ("s0", "s1", "s2", "q0", "q1s", "q2s")
            for key in used:
                kind = "3d" if key.startswith("q") else "2d"
                answers[f"{name}{kind}_grad_{key[:2]}_{short}"] = first(grads[key])
    return answers


@runner("camliflow", "models/ids.py and models/utils.py:project_pc2image")
def inverse_depth(case: Case) -> dict:
    points = last(case.input("pc"))
    camera = np.stack([case.input(name) for name in ("f", "cx", "cy")], axis=-1)
    answers = {"sensor_hw": [Sensors.of(tuple(s), tuple(s)).parallel for s in case.config["sizes"]]}
    for name, size in case.config["sensors"].items():
        sensors = Sensors.of(tuple(size), tuple(size))

        @jax.jit
        def run(points, camera, sensors=sensors):
            parallel = to_parallel(points, camera, sensors)
            moved = jnp.full_like(parallel, 0.25)
            f, centre = camera[:, None, :1], camera[:, None, 1:]
            return {
                "parallel": parallel,
                "back": to_perspective(parallel, camera, sensors),
                "uv_parallel": pixels_of_parallel(parallel, sensors, sensors.parallel),
                "uv_perspective": centre + f / points[..., 2:] * points[..., :2],
                "flow_back": flow_to_perspective(parallel, moved, camera, sensors),
            }

        answers |= {f"{name}_{key}": first(x) for key, x in run(points, camera).items()}
    return answers


@runner(
    "camliflow",
    "factory.py:optimizer_factory",
    fixed={
        "groups": ["2d decay", "3d decay", "2d no-decay", "3d no-decay"],
        "columns": ["tensors", "elements"],
    },
)
def optimizer_groups(case: Case) -> dict:
    answers = {}
    for name, config in VARIANTS.items():
        listed = entries(config)
        groups = np.zeros((4, 2), np.int64)
        for entry in listed:
            if entry.path is None or not entry.path.startswith("params/"):
                continue
            fused = config.images and config.points
            of_points = fused and of_point_branch(entry.path.removeprefix("params/"))
            group = int(of_points) + 2 * (not decays(entry.path, entry.shape))
            groups[group] += 1, int(np.prod(entry.shape))
        assert groups[:, 1].sum() == PARAMETERS[name]
        answers |= {name: groups, f"{name}_n_state_entries": len(listed)}
    return answers
