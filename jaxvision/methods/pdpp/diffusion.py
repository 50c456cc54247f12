"""The cosine diffusion of PDPP: tables, noising, and reverse steps as affine maps (section 3.3).

The network predicts the clean state itself, so a DDPM or DDIM step is
`clean * x0 + state * x + noise * z` with coefficients known beforehand: a sampler is one
`lax.scan` over rows of coefficients. Nothing is ever clamped, as published.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError

COSINE_OFFSET = 0.008
MAX_BETA = 0.999


@dataclass(frozen=True, eq=False, kw_only=True)
class Schedule:
    """Float32 tables over diffusion steps 0..n-1, under the names of the published buffers."""

    betas: np.ndarray
    alphas_cumprod: np.ndarray
    alphas_cumprod_prev: np.ndarray
    sqrt_alphas_cumprod: np.ndarray
    sqrt_one_minus_alphas_cumprod: np.ndarray
    log_one_minus_alphas_cumprod: np.ndarray
    sqrt_recip_alphas_cumprod: np.ndarray
    sqrt_recipm1_alphas_cumprod: np.ndarray
    posterior_variance: np.ndarray
    posterior_log_variance_clipped: np.ndarray
    posterior_mean_coef1: np.ndarray
    posterior_mean_coef2: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.betas)

    def tables(self) -> dict[str, np.ndarray]:
        """Every table by its published name, in the published order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@functools.cache
def cosine_schedule(steps: int) -> Schedule:
    """The tables of `steps` diffusion steps.

    Betas in float64, rounded once; the cumulative product accumulates in float64 and rounds every
    entry; everything after it is float32 arithmetic.
    """
    u = np.arange(steps + 1) / steps
    f = np.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi / 2) ** 2
    survival = f / f[0]
    betas = np.clip(1 - survival[1:] / survival[:-1], 0, MAX_BETA).astype(np.float32)
    one = np.float32(1)
    alphas = one - betas
    product = np.cumprod(alphas.astype(np.float64)).astype(np.float32)
    previous = np.concatenate([[one], product[:-1]])
    variance = betas * (one - previous) / (one - product)
    return Schedule(
        betas=betas,
        alphas_cumprod=product,
        alphas_cumprod_prev=previous,
        sqrt_alphas_cumprod=np.sqrt(product),
        sqrt_one_minus_alphas_cumprod=np.sqrt(one - product),
        log_one_minus_alphas_cumprod=np.log(one - product),
        sqrt_recip_alphas_cumprod=np.sqrt(one / product),
        sqrt_recipm1_alphas_cumprod=np.sqrt(one / product - one),
        posterior_variance=variance,
        posterior_log_variance_clipped=np.log(np.maximum(variance, np.float32(1e-20))),
        posterior_mean_coef1=betas * np.sqrt(previous) / (one - product),
        posterior_mean_coef2=(one - previous) * np.sqrt(alphas) / (one - product),
    )


def add_noise(
    schedule: Schedule,
    clean: Float[Array, "b *rest"],
    t: Int[Array, " b"],
    noise: Float[Array, "b *rest"],
) -> Float[Array, "b *rest"]:
    """sqrt(abar_t) clean + sqrt(1 - abar_t) noise."""
    shape = (-1,) + (1,) * (clean.ndim - 1)
    signal = jnp.asarray(schedule.sqrt_alphas_cumprod)[t].reshape(shape)
    spread = jnp.asarray(schedule.sqrt_one_minus_alphas_cumprod)[t].reshape(shape)
    return signal * clean + spread * noise


class Coefficients(NamedTuple):
    """A reverse step at each of some diffusion steps: clean * x0 + state * x + noise * z."""

    clean: np.ndarray
    state: np.ndarray
    noise: np.ndarray


def ddpm_coefficients(schedule: Schedule, t: np.ndarray) -> Coefficients:
    """The ancestral step t -> t-1 (posterior mean, clipped log-variance, no noise at t = 0)."""
    noise = np.exp(np.float32(0.5) * schedule.posterior_log_variance_clipped[t])
    return Coefficients(
        schedule.posterior_mean_coef1[t], schedule.posterior_mean_coef2[t], noise * (t > 0)
    )


def ddim_coefficients(
    schedule: Schedule, t: np.ndarray, previous: np.ndarray, eta: float
) -> Coefficients:
    """The DDIM step from t to a step whose cumulative alpha is `previous` (1 = clean)."""
    here = schedule.alphas_cumprod[t].astype(np.float64)
    scale = schedule.sqrt_recip_alphas_cumprod[t].astype(np.float64)
    spread = schedule.sqrt_recipm1_alphas_cumprod[t].astype(np.float64)
    previous = previous.astype(np.float64)
    sigma = eta * np.sqrt((1 - previous) / (1 - here)) * np.sqrt(1 - here / previous)
    # The direction's factor times eps = (scale x - x0) / spread.
    direction = np.sqrt(1 - previous - sigma**2) / spread
    return Coefficients(
        (np.sqrt(previous) - direction).astype(np.float32),
        (direction * scale).astype(np.float32),
        (sigma * (t > 0)).astype(np.float32),
    )


def ddim_sequence(diffusion_steps: int, steps: int = 10) -> np.ndarray:
    """The first `steps` of 0, s, 2s, ..., s = n // steps; ascending.

    The chain starts from unit noise at the last of them, not at n - 1: the published numbers come
    from this.
    """
    if diffusion_steps < steps:
        raise InputError(f"{steps} sampling steps need as many diffusion steps, {diffusion_steps}")
    return np.arange(0, diffusion_steps, diffusion_steps // steps)[:steps]


def reverse(
    denoise: Callable[[Array, Any], Array],
    start: Float[Array, "b t a"],
    coefficients: Coefficients,
    tables: Any,
    draw: Callable[[Int[Array, ""]], Float[Array, "b t a"]] | None,
    *,
    trajectory: bool = False,
) -> tuple[Float[Array, "b t a"], Float[Array, "n b t a"] | None]:
    """Reverse diffusion from `start` as one scan; also the state after every step where asked.

    denoise(x, row): the clean actions; `row` is this step's row of `tables` (a tree of arrays with
    one row per step).  draw(k): unit noise of the k-th step, or None where no step adds any.
    """

    def step(x: Array, scanned: tuple) -> tuple[Array, Array | None]:
        number, row, factors = scanned
        after = factors.clean * denoise(x, row) + factors.state * x
        if draw is not None:
            after = after + factors.noise * draw(number)
        return after, after if trajectory else None

    numbers = jnp.arange(len(coefficients.clean))
    rows = jax.tree.map(jnp.asarray, coefficients)
    return jax.lax.scan(step, start, (numbers, tables, rows))
