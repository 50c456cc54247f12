"""From observations to plans, and the training loss: everything on the action part alone."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.errors import check_choice
from jaxvision.methods.pdpp.diffusion import (
    Coefficients,
    add_noise,
    cosine_schedule,
    ddim_coefficients,
    ddim_sequence,
    ddpm_coefficients,
    reverse,
)
from jaxvision.methods.pdpp.model import ConditionTerms, TemporalUNet
from jaxvision.methods.pdpp.state import one_hot, weighted_squares
from jaxvision.training.task import Variables

SAMPLERS = ("ddim", "ddpm", "noise", "deterministic")
BASELINES = ("noise", "deterministic")


@dataclass(frozen=True)
class Sampler:
    """How a plan is drawn.

    name: "ddim" (`steps` of the n diffusion steps; the published test), "ddpm" (all of them; the
    published validation), or one network call on noise or on zeros (the paper's baselines).
    """

    name: str = "ddim"
    diffusion_steps: int = 200
    steps: int = 10
    eta: float = 0.0

    def __post_init__(self):
        check_choice("unknown sampler", self.name, SAMPLERS)

    @property
    def stochastic(self) -> bool:
        """Whether reverse steps add noise of their own."""
        return self.name == "ddpm" or (self.name == "ddim" and self.eta > 0)

    def reverse_steps(self) -> tuple[np.ndarray, Coefficients]:
        """Diffusion steps in the order they are visited, and what each does."""
        schedule = cosine_schedule(self.diffusion_steps)
        if self.name == "ddpm":
            t = np.arange(self.diffusion_steps)[::-1]
            return t, ddpm_coefficients(schedule, t)
        sequence = ddim_sequence(self.diffusion_steps, self.steps)
        previous = np.concatenate([[np.float32(1)], schedule.alphas_cumprod[sequence[:-1]]])
        return sequence[::-1], ddim_coefficients(schedule, sequence[::-1], previous[::-1], self.eta)


def sample_actions(
    model: TemporalUNet,
    variables: Variables,
    sampler: Sampler,
    condition: ConditionTerms,
    start: Float[Array, "b t a"],
    *,
    draw: Callable[[Int[Array, ""]], Float[Array, "b t a"]] | None = None,
    trajectory: bool = False,
) -> tuple[Float[Array, "b t a"], Float[Array, "n b t a"] | None]:
    """The action part of the final states, and of the state after every step where asked.

    condition: `model.condition_terms`, computed once however many steps and samples follow.
    start: unit noise (not read by "deterministic").  draw(k): unit noise of the k-th reverse step,
    for stochastic samplers.
    """
    if sampler.name in BASELINES:
        first = jnp.zeros_like(start) if sampler.name == "deterministic" else start
        actions = model.apply(variables, first, condition, None, method="predict_actions")
        return actions, actions[None] if trajectory else None
    t, coefficients = sampler.reverse_steps()
    # Time terms depend on the step alone: one row per reverse step and block, before the scan.
    times = model.apply(variables, jnp.asarray(t), method="time_terms")
    tables = jax.tree.map(lambda rows: rows[:, None], times)

    def denoise(x: Array, row: tuple) -> Array:
        return model.apply(variables, x, condition, row, method="predict_actions")

    draw = draw if sampler.stochastic else None
    return reverse(denoise, start, coefficients, tables, draw, trajectory=trajectory)


def plan_loss(
    model: TemporalUNet,
    variables: Variables,
    sampler: Sampler,
    *,
    plan: Int[Array, "b t"],
    task: Float[Array, "b k"],
    start: Float[Array, "b o"],
    goal: Float[Array, "b o"],
    t: Int[Array, " b"],
    noise: Float[Array, "b t a"],
) -> tuple[Float[Array, " b"], Float[Array, "b t a"]]:
    """(weighted squared error, predicted clean actions) per plan; the loss is the errors' sum.

    t, noise: the draws.  plan: action ids.
    """
    clean = one_hot(plan, model.layout.actions)
    noisy = noisy_actions(sampler, clean, t, noise)
    condition = model.apply(variables, task, start, goal, plan.shape[1], method="condition_terms")
    times = model.apply(variables, t, method="time_terms")
    predicted = model.apply(variables, noisy, condition, times, method="predict_actions")
    return weighted_squares(predicted, clean), predicted


def noisy_actions(
    sampler: Sampler,
    clean: Float[Array, "b t a"],
    t: Int[Array, " b"],
    noise: Float[Array, "b t a"],
) -> Float[Array, "b t a"]:
    """What the network is shown in training: noised actions, or a baseline's noise or zeros."""
    if sampler.name == "noise":
        return noise
    if sampler.name == "deterministic":
        return jnp.zeros_like(clean)
    return add_noise(cosine_schedule(sampler.diffusion_steps), clean, t, noise)
