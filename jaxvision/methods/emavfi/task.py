"""EMA-VFI as the engine sees it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data import camera_clips
from jaxvision.data.normalisation import to_unit
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.methods.emavfi import evaluation, flops, inputs, objective, prediction
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.methods.emavfi.variants import HEAD_DIM, NetworkConfig
from jaxvision.tasks import dispatch
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables


def build_model(model: ConfigDict, dtype: str) -> InterpolationNetwork:
    """The network a recipe's `model` table describes."""
    if model.width % (HEAD_DIM // 8):
        raise InputError(f"model.width: {model.width} is no multiple of {HEAD_DIM // 8}")
    for stage in (3, 4):
        width, depth = model.width * 2**stage, model.depths[stage]
        heads = width // HEAD_DIM
        if width % depth or (width // depth) % heads:
            raise InputError(
                f"model.depths: {depth} blocks of stage {stage + 1} do not share {width} motion "
                f"channels over {heads} heads"
            )
    return InterpolationNetwork(
        NetworkConfig(
            width=model.width,
            window=model.window,
            depths=tuple(model.depths),
            mlp_ratio=model.mlp_ratio,
            unet_ratio=model.unet_ratio,
            remat=model.remat,
            dtype=jnp.dtype(dtype),
        )
    )


class InterpolationTask(Task):
    """The frame between two frames. Batches hold `frames`, uint8 [b, 3, h, w, 3] BGR (first,
    target, last), and `time`, float32 [b]: where the target lies between them."""

    input_suffixes = camera_clips.SUFFIXES

    @cached_property
    def model(self) -> InterpolationNetwork:
        return build_model(self.config.model, self.config.dtype)

    def init(self, rng: PRNGKeyArray) -> Variables:
        return self.model.init(rng, jnp.zeros((1, 2, 64, 64, 3)), 0.5)

    def source(self, split: str) -> Source:
        return inputs.training_source(self.config, split)

    def batch_specs(self, split: str) -> BatchSpecs:
        return inputs.training_specs(self.config)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds `pair` and `target`, [0, 1]."""
        if "frames" not in batch:
            return batch
        frames = to_unit(batch["frames"])
        pair = jnp.stack([frames[:, 0], frames[:, -1]], axis=1)
        return {**batch, "pair": pair, "target": frames[:, 1]}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        answer = self.model.apply(variables, batch["pair"], batch["time"])
        refined, merged = objective.interpolation_losses(answer, batch["target"])
        error = jnp.mean(jnp.square(answer.frame - batch["target"]), axis=(1, 2, 3))
        size = jnp.float32(len(error))
        return refined + self.config.task.merged_weight * sum(merged), Aux(
            {
                "laplacian": (refined * size, size),
                "laplacian_coarse": (merged[0] * size, size),
                "psnr": (jnp.sum(-10 * jnp.log10(error + 1e-10)), size),
            }
        )

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        """The published optimizer decays everything, biases and norms included."""
        return Group()

    def flops(self, split: str) -> float:
        """Of the largest crop."""
        sizes = inputs.crops(self.config).values()
        forward = max(flops.forward_flops(self.model.config, *size) for size in sizes)
        return 3.0 * self.config.train.batch_size * forward

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`frame`, `blend` (before refinement), [0, 1]; `flow`, pixels; `mask`, frame 0's share."""
        answer = self.model.apply(variables, batch["pair"], batch["time"])
        motion = answer.motion[-1]
        return {
            "frame": answer.frame,
            "blend": answer.merged[-1],
            "flow": motion.flow,
            "mask": jax.nn.sigmoid(motion.mask),
        }

    def evaluations(self) -> Mapping[str, Evaluation]:
        return evaluation.evaluations(self.config, self.model)

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"interpolation": prediction.batch_picture(batch["frames"], outputs)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        return prediction.predict_files(self.config, self.model, variables, paths, outdir)


TASKS = {"interpolation": InterpolationTask}


def make_task(config: ConfigDict) -> Task:
    """The task of a recipe."""
    return dispatch.make(TASKS, config)
