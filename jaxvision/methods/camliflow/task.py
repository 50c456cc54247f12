"""CamLiFlow as the engine sees it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.source import Source
from jaxvision.errors import check_choice
from jaxvision.methods.camliflow import evaluation, inputs, objective, prediction
from jaxvision.methods.camliflow.model import FlowInputs, FlowNetwork, Prediction
from jaxvision.methods.camliflow.parameter_groups import decays, of_point_branch
from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig, build
from jaxvision.metrics.scene_flow import flow_2d_sums, flow_3d_sums
from jaxvision.tasks import dispatch
from jaxvision.tasks.answering import on_one_device
from jaxvision.training.loss_groups import mean_over_groups
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

MARGIN = 1e-5  # of training's outliers, as published
ENCODERS = ("image_features", "image_context")
RESNETS = tuple(f"{encoder}/{part}" for encoder in ENCODERS for part in ("stem", "stages"))
HEADS = ("image/flow_head/second", "points/flow_head/last")
POINT_SCHEDULE = "points"  # of `optim.schedules`: the learning rate of a fused network's points


class FlowTask(Task):
    """Flow of pixels and points. Batches: see `inputs.PairTransform`."""

    input_suffixes = prediction.SUFFIXES

    @cached_property
    def network(self) -> RaftConfig | PwcConfig:
        check_choice("unknown task.order", self.config.task.order, objective.ORDERS)
        config = self.config
        return build(config.model, config.train.norm_groups, config.dtype)

    @cached_property
    def model(self) -> FlowNetwork:
        return FlowNetwork(self.network)

    def init(self, rng: PRNGKeyArray) -> Variables:
        points = self.network.pyramid[0] + 1
        given = FlowInputs(
            jnp.zeros((1, 2, 128, 128, 3)), jnp.ones((1, 2, points, 3)), jnp.ones((1, 3))
        )
        variables = self.model.init(rng, given, iterations=1)
        return {**variables, "params": amplified(variables["params"], self.config.model.gain)}

    def source(self, split: str) -> Source:
        return inputs.training_source(self.config, self.network)

    def batch_specs(self, split: str) -> BatchSpecs:
        return inputs.training_specs(self.config, self.network)

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int | None:
        """Valid pixels and points."""
        found = (arrays[name][..., -1] for name in ("flow_2d", "flow_3d") if name in arrays)
        return sum(int(np.sum(valid > 0)) for valid in found)

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The published loss: of each of `train.loss_groups` a mean over its valid pixels and one
        over its valid points. Norms that see both frames are updated by one, then the other."""
        found, state = self.model.apply(
            variables,
            evaluation.inputs_of(batch),
            iterations=self.config.model.training_iterations,
            use_running=self.config.model.frozen_norms or not train,
            mutable=["batch_stats"],
        )
        truth = {name: batch[name] for name in ("flow_2d", "flow_3d") if name in batch}
        if isinstance(self.network, RaftConfig) and not self.network.images:
            truth["flow_3d"] = objective.every_point_valid(truth["flow_3d"])
        flows = {"flow_2d": found.flow_2d, "flow_3d": found.flow_3d, "samples": found.samples}
        parts = mean_over_groups(self.losses, self.config.train.loss_groups, flows, truth)
        size = jnp.float32(len(next(iter(truth.values()))))
        metrics = {name: (value * size, size) for name, value in parts.items()}
        return sum(parts.values()), Aux({**metrics, **training_measures(truth, found)}, state)

    def losses(self, flows: Mapping[str, Any], truth: Mapping[str, Array]) -> dict[str, Array]:
        """`loss_2d` and `loss_3d`, of a group of samples."""
        task, network, parts = self.config.task, self.network, {}
        if "flow_2d" in truth:
            if isinstance(network, RaftConfig):
                weight = task.gamma
                loss = objective.sequence_loss
                parts["loss_2d"] = loss(flows["flow_2d"], truth["flow_2d"], weight, task.order)
            else:
                parts["loss_2d"] = objective.pyramid_loss_2d(
                    flows["flow_2d"], truth["flow_2d"], task.level_weights, task.order
                )
        if "flow_3d" in truth:
            true = truth["flow_3d"]
            if isinstance(network, RaftConfig):
                parts["loss_3d"] = objective.sequence_loss(
                    flows["flow_3d"], true, task.gamma, task.order
                )
            else:
                levels = [flows["samples"][:, :n] for n in network.pyramid[:-1]]
                parts["loss_3d"] = objective.pyramid_loss_3d(
                    flows["flow_3d"], true, [None, *levels], task.level_weights, task.order
                )
        return parts

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        """Kernels decay. In a fused network the branch of points has a learning rate of its own,
        with a floor of its own: fusions learn at that of pixels."""
        fused = self.network.images and self.network.points
        schedule = POINT_SCHEDULE if fused and of_point_branch(path) else ""
        return Group(decay=float(decays(path, shape)), schedule=schedule)

    def forward(self, variables: Variables, given: FlowInputs) -> Prediction:
        """The answer of evaluations and predictions."""
        return self.model.apply(variables, given, iterations=self.config.model.iterations)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`flow_2d`, pixels, and `flow_3d`, metres, of the branches that the network has."""
        found = self.forward(variables, evaluation.inputs_of(batch))
        answers = {"flow_2d": found.final_2d, "flow_3d": found.final_3d}
        return {name: flow for name, flow in answers.items() if flow is not None}

    def evaluations(self) -> Mapping[str, Evaluation]:
        return evaluation.evaluations(self.config, self.network, self.forward)

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The first pair: its first frame, flow, true flow and error."""
        if "flow_2d" not in outputs:
            return {}
        truth, frame = np.asarray(batch["flow_2d"][0]), np.asarray(batch["images"][0, 0])
        return {"flow": prediction.comparison(frame, np.asarray(outputs["flow_2d"][0]), truth)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        run, alone = jax.jit(self.forward), on_one_device(variables)
        return prediction.predict_files(
            self.config, self.network, lambda given: run(alone, given), paths, outdir
        )


def amplified(params: Variables, gain: float) -> Variables:
    """Parameters whose kernels are `gain` times as large, but those of ResNets, which keep the
    variance of what passes anyway, and those that flow comes from: it begins small. PyTorch's
    kernels leave a sixth of the variance behind every ReLU."""

    def scaled(path: Any, kernel: Array) -> Array:
        name = "/".join(key.key for key in path if isinstance(key, jax.tree_util.DictKey))
        kept = any(part in name for part in (*RESNETS, *HEADS)) or "kernel" not in name
        return kernel if kept or gain == 1 else gain * kernel

    return jax.tree_util.tree_map_with_path(scaled, params)


def training_measures(
    truth: Mapping[str, Array], found: Prediction
) -> dict[str, tuple[Array, Array]]:
    """End-point errors and shares of a batch, without gradients."""
    sums: dict[str, tuple[Array, Array]] = {}
    for name, flow in (("flow_2d", found.final_2d), ("flow_3d", found.final_3d)):
        if flow is None or name not in truth:
            continue
        flow, true = jax.lax.stop_gradient(flow), truth[name][..., :-1]
        valid = truth[name][..., -1] > 0
        if name == "flow_2d":
            sums |= flow_2d_sums(flow, true, valid, margin=MARGIN)
        else:
            sums |= flow_3d_sums(flow, true, valid)
    return {name: (jnp.float32(a), jnp.float32(b)) for name, (a, b) in sums.items()}


TASKS = {"flow": FlowTask}


def make_task(config: ConfigDict) -> Task:
    """The task of a CamLiFlow recipe."""
    return dispatch.make(TASKS, config)
