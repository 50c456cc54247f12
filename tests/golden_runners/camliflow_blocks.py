"""Golden runners of CamLiFlow's parts: fusion, encoders, update blocks, estimators."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.camliflow_network import first, last
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.camliflow import estimators, pwc
from jaxvision.methods.camliflow.encoders import ImagePyramid, PointPyramid, ResNetEncoder
from jaxvision.methods.camliflow.fusion import FUSIONS, Fusion, correspond
from jaxvision.methods.camliflow.layers import offsets_of
from jaxvision.methods.camliflow.update_blocks import SELF_NEIGHBOURS, ImageBlocks, PointBlocks
from jaxvision.methods.camliflow.variants import VARIANTS
from jaxvision.methods.camliflow.weight_layers import fusion
from jaxvision.methods.camliflow.weights import entries
from jaxvision.nn.convolution import Conv
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.weights import to_variables


@functools.cache
def entries_of(model: str, lite: bool = False) -> tuple:
    config = VARIANTS[model]
    if lite:
        config = type(config)(lite=True)
    return tuple(entries(config))


def variables_of(case: Case, lite: bool = False) -> dict:
    """Those of the whole network that the case has, by module: {"image_features": variables}."""
    state = case.state_dict()
    listed = [e for e in entries_of(case.config["model"], lite) if e.name in state]
    variables, _ = to_variables(state, listed, case.path.name)
    return {
        module: {kind: tree["core"].get(module, {}) for kind, tree in variables.items()}
        for tree in variables.values()
        for module in tree["core"]
    }


def channels_first(answers: Mapping) -> dict:
    return {name: first(value) for name, value in answers.items()}


@runner("camliflow", "models/clfm.py:CLFM")
def bidirectional_fusion(case: Case) -> dict:
    config, state, answers = case.config, case.state_dict(), {}
    normed = config["norm"] == "batch_norm"
    assert normed or config["norm"] is None
    kinds = config["fusion_fn"]
    single = isinstance(kinds, str)
    uv, f2, f3, g2, g3 = (last(case.input(name)) for name in ("uv", "f2", "f3", "g2", "g3"))
    widths = config["in_channels_2d"], config["in_channels_3d"]
    for kind in [kinds] if single else kinds:
        assert kind in FUSIONS
        module = Fusion(*widths, normed, kind=kind)
        prefix = "" if single else f"{kind}."
        listed = list(fusion(prefix, "params/fusion", *widths, normed, kind=kind))
        mine = {n: v for n, v in state.items() if n.startswith(prefix)}
        assert [entry.name for entry in listed] == list(mine)
        variables, _ = to_variables(mine, listed, case.path.name)
        given = {collection: tree["fusion"] for collection, tree in variables.items()}
        statistics = {"batch_stats": given["batch_stats"]} if normed else {}

        @jax.jit
        def run(params, f2, f3, module=module, statistics=statistics):
            pairs = correspond(uv, f2.shape[1:3])

            def loss(params, f2, f3):
                found = module.apply({"params": params, **statistics}, f2, f3, pairs)
                return jnp.sum(found[0] * g2) + jnp.sum(found[1] * g3), found

            take = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
            (_, found), grads = take(params, f2, f3)
            bound = {"params": params, **statistics}
            of_points = module.apply(bound, f3, pairs, method="interpolated")
            of_image = module.apply(bound, f2, pairs, method="sampled")
            return found, grads, of_points, of_image

        (out2, out3), (grads, by_f2, by_f3), interpolated, sampled = jax.device_get(
            run(given["params"], f2, f3)
        )
        if not single:
            answers |= channels_first({f"{kind}_2d": out2, f"{kind}_3d": out3})
            continue
        tree = {"params": {"fusion": grads}}
        answers |= gradient_outputs(case.outputs, tree, listed)
        answers |= channels_first(
            {
                "out2d": out2,
                "out3d": out3,
                "interp": interpolated,
                "sampled": sampled,
                "grad_f2": by_f2,
                "grad_f3": by_f3,
            }
        )
    return answers


@runner(
    "camliflow",
    "models/raft_core.py:Encoder2D (backbone: ResNet-50 stages 1-2, stride on the 3x3)",
    fixed={"depth": 50},
)
def image_encoder(case: Case) -> dict:
    variables = variables_of(case)["image_features"]
    encoder = ResNetEncoder()

    @jax.jit
    def run(image):
        stem, layer1, layer2 = encoder.apply(variables, image, method="maps")
        out = encoder.apply(variables, image)
        return {"stem": stem, "layer1": layer1, "layer2": layer2, "out": out}

    return channels_first(run(last(case.input("image"))))


def prefixes(xyz: np.ndarray, counts: list[int]) -> tuple:
    return tuple(xyz[:, :count] for count in counts)


@runner("camliflow", "models/camliraft_l_core.py:Encoder3D", fixed={"k": 16})
def point_encoder(case: Case) -> dict:
    assert tuple(case.config["channels"]) == VARIANTS["camliraft"].point_widths
    variables = variables_of(case)["point_features"]
    clouds = prefixes(last(case.input("xyz")), case.config["pyramid"])
    encoder = PointPyramid(VARIANTS["camliraft"].point_widths)
    found = jax.jit(lambda clouds: encoder.apply(variables, clouds, True))(clouds)
    return channels_first({f"feat{level}": x for level, x in enumerate(found)})


@runner(
    "camliflow",
    "models/pwc_core.py:FeaturePyramid2D and models/camlipwc_l_core.py:FeaturePyramid3D",
)
def pyramids(case: Case) -> dict:
    variables = variables_of(case)
    clouds = prefixes(last(case.input("xyz")), case.config["pyramid"])
    image = last(case.input("image"))
    pixels, points = ImagePyramid(pwc.WIDTHS), PointPyramid(pwc.WIDTHS)

    @jax.jit
    def run(image, clouds):
        return (
            pixels.apply(variables["image_features"], image, True),
            points.apply(variables["point_features"], clouds, True),
        )

    maps, features = run(image, clouds)
    answers = {f"feat2d_{level}": x for level, x in enumerate(maps)}
    return channels_first(answers | {f"feat3d_{level}": x for level, x in enumerate(features)})


@runner("camliflow", "models/raft_core.py and models/camliraft_l_core.py")
def update_blocks(case: Case) -> dict:
    variables = variables_of(case)
    given = {name: last(case.input(name)) for name in case.input_names()}

    def image_part(blocks: ImageBlocks, flow2, corr2, h2, x2):
        given, moved = jnp.split(x2, 2, axis=-1)
        hidden = blocks.gru(h2, moved, blocks.gru.shares(given))
        return {
            "motion2d": blocks.motion(flow2, corr2),
            "gru2d": hidden,
            "flow_head2d": blocks.flow_head(h2),
            "up2d": blocks.upsampler(h2, flow2),
        }

    def point_part(blocks: PointBlocks, xyz, flow3, corr3, h3, x3):
        near, _ = k_nearest_neighbours(xyz, xyz, SELF_NEIGHBOURS)
        weights = blocks.weights(offsets_of(xyz, xyz, near))
        return {
            "motion3d": blocks.motion(flow3, corr3, weights.motion, near),
            "gru3d": blocks.gru(h3, x3, weights.gru, near),
            "flow_head3d": blocks.flow_head(h3, weights.head, near),
        }

    @jax.jit
    def run(given):
        two = {name: given[name] for name in ("flow2", "corr2", "h2", "x2")}
        three = {name: given[name] for name in ("xyz", "flow3", "corr3", "h3", "x3")}
        return {
            **ImageBlocks().apply(variables["image"], **two, method=image_part),
            **PointBlocks().apply(variables["points"], **three, method=point_part),
        }

    return channels_first(run(given))


@runner(
    "camliflow",
    "models/pwc_core.py and models/camlipwc_l_core.py",
    "models/pwc_core.py:FlowEstimatorLite2D",
)
def flow_estimators(case: Case) -> dict:
    lite = case.config["lite_estimator"]
    variables = variables_of(case, lite)
    given = {name: last(case.input(name)) for name in case.input_names()}

    @jax.jit
    def run(given):
        features, _ = estimators.ImageEstimator(lite).apply(
            variables["image_estimator"], given["x2"]
        )
        context, flow = estimators.ContextNetwork().apply(
            variables["context_network"], jnp.concatenate([features, given["flow"]], axis=-1)
        )
        head = Conv(2, torch_default=True).apply(variables["image_head"], features)
        found = {"context_feat": context, "context_flow": flow, "last2d": head}
        if lite:
            return {"lite": features, **{f"lite_{name}": x for name, x in found.items()}}
        found |= {"dense": features}
        found["up_mask"] = pwc.ConvexUpsampler(4, 64).apply(
            variables["upsampler"], context, method="mask"
        )
        near, _ = k_nearest_neighbours(given["xyz"], given["xyz"], pwc.NEIGHBOURS)
        found["est3d"], _ = estimators.PointEstimator().apply(
            variables["point_estimator"], given["xyz"], given["x3"], near
        )
        return found

    return channels_first(run(given))
