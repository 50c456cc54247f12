"""Golden runners of PDPP: diffusion, losses, sampling and training steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.pdpp import diffusion, state, weights
from jaxvision.methods.pdpp.model import TemporalUNet
from jaxvision.methods.pdpp.planner import Sampler, noisy_actions, plan_loss, sample_actions
from jaxvision.methods.pdpp.state import StateLayout
from jaxvision.training import schedules
from jaxvision.training.config import base_config
from jaxvision.training.optimizer import make_optimizer
from jaxvision.training.state import TrainState
from jaxvision.training.step import average
from jaxvision.training.task import Group
from jaxvision.weights import to_state_dict, to_variables

LOSS = "model/diffusion.py:GaussianDiffusion.p_losses"
SAMPLE = "model/diffusion.py:GaussianDiffusion.p_sample_loop"
FIXED = {
    "state_order": ["class", "action", "observation"],
    "loss": "Weighted_MSE, weight 10 on first and last action, sum",
}


def planner(config: dict) -> tuple[TemporalUNet, Sampler]:
    layout = StateLayout(config["class_dim"], config["action_dim"], config["observation_dim"])
    model = TemporalUNet(
        layout, config["dim"], tuple(config["dim_mults"]), config.get("time_embedding", True)
    )
    published = config.get("sampler", "ddim10")  # "one model call" of the baselines
    name = config.get("baseline") or ("ddpm" if published == "ddpm" else "ddim")
    assert name != "ddim" or published == "ddim10"
    return model, Sampler(name, config["n_diffusion_steps"])


def planner_variables(case: Case, model: TemporalUNet):
    entries = weights.unet_entries(model, prefix="model.")
    return to_variables(case.state_dict(), entries)[0], entries


def task_rows(tasks, layout: StateLayout, horizon: int):
    return jnp.repeat(state.one_hot(tasks, layout.classes)[:, None], horizon, axis=1)


def noise_of(
    schedule: diffusion.Schedule,
    x: Float[Array, "b *rest"],
    t: Int[Array, " b"],
    clean: Float[Array, "b *rest"],
) -> Float[Array, "b *rest"]:
    """The noise that `x` at step `t` holds if `clean` is what it came from."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    scale = jnp.asarray(schedule.sqrt_recip_alphas_cumprod)[t].reshape(shape)
    spread = jnp.asarray(schedule.sqrt_recipm1_alphas_cumprod)[t].reshape(shape)
    return (scale * x - clean) / spread


@runner("pdpp", LOSS, LOSS + " (baseline)", fixed=FIXED)
def loss(case: Case) -> dict:
    model, sampler = planner(case.config)
    variables, entries = planner_variables(case, model)
    layout, horizon = model.layout, case.config["horizon"]
    frames, plan, tasks = (case.input(n) for n in ("frames", "labels", "tasks"))
    t = case.input("t") if case.has_input("t") else np.zeros(len(tasks), np.int64)
    shape = (len(tasks), horizon, layout.width)
    noise = case.input("noise") if case.has_input("noise") else np.zeros(shape, np.float32)

    @jax.jit
    def run(variables, start, goal, plan, tasks, t, noise):
        noise = noise[..., layout.action_part]
        task = state.one_hot(tasks, layout.classes)

        def total(variables):
            window = {"plan": plan, "task": task, "start": start, "goal": goal}
            errors, _ = plan_loss(model, variables, sampler, **window, t=t, noise=noise)
            return jnp.sum(errors)

        value, grads = jax.value_and_grad(total)(variables)
        rows = task_rows(tasks, layout, horizon)
        clean = state.one_hot(plan, layout.actions)
        whole = functools.partial(state.state_of, task=rows, start=start, goal=goal)
        shown = whole(noisy_actions(sampler, clean, t, noise))
        raw = model.apply(variables, shown, t if model.time_embedding else None)
        target = whole(clean)

        def published(raw):
            projected = state.project(raw, rows, start, goal, layout)
            return state.weighted_mse(projected, target, layout)

        grad_raw = jax.grad(published)(raw)
        answers = {"loss": value, "x_noisy_projected": shown, "pred_raw": raw}
        return answers | {"grad_pred_raw": grad_raw, "x_start": target}, grads

    answers, grads = run(variables, frames[:, 0], frames[:, -1], plan, tasks, t, noise)
    return answers | gradient_outputs(case.outputs, grads, entries)


@runner(
    "pdpp",
    SAMPLE,
    SAMPLE + " (baseline)",
    fixed=FIXED,
    ignores={"ddim_timesteps": "the case of the schedule's buffers has them"},
)
def sample(case: Case) -> dict:
    model, sampler = planner(case.config)
    variables, _ = planner_variables(case, model)
    layout, horizon = model.layout, case.config["horizon"]
    start, goal, tasks = (case.input(n) for n in ("obs_start", "obs_goal", "tasks"))
    shape = (1, len(tasks), horizon, layout.width)
    noise = case.input("noise") if case.has_input("noise") else np.zeros(shape, np.float32)

    @jax.jit
    def run(variables, start, goal, tasks, noise):
        task = state.one_hot(tasks, layout.classes)
        condition = model.apply(variables, task, start, goal, horizon, method="condition_terms")
        actions, trajectory = sample_actions(
            model,
            variables,
            sampler,
            condition,
            noise[0],
            draw=lambda k: noise[1 + k],
            trajectory=True,
        )
        rows = task_rows(tasks, layout, horizon)
        whole = functools.partial(state.state_of, task=rows, start=start, goal=goal)
        states = jax.vmap(whole)(jnp.concatenate([noise[:1], trajectory]))
        return {"x": whole(actions), "actions": jnp.argmax(actions, axis=-1)}, states

    answers, states = run(variables, start, goal, tasks, noise[..., layout.action_part])
    for name in case.outputs:
        if name.startswith("after_projection_"):
            answers[name] = states[int(name.rsplit("_", 1)[1])]
    return answers


@runner(
    "pdpp",
    "model/diffusion.py:GaussianDiffusion.__init__",
    fixed={"s": 0.008, "max_beta": 0.999, "ddim_discretisation": "uniform"},
)
def schedule_buffers(case: Case) -> dict:
    answers = {}
    for n in case.config["n_diffusion_steps"]:
        tables = diffusion.cosine_schedule(n).tables()
        answers |= {f"n{n}/{name}": table for name, table in tables.items()}
        answers[f"n{n}/ddim_steps_used"] = diffusion.ddim_sequence(n, case.config["ddim_steps"])
    for name in case.outputs:
        if name.startswith("ddim_sequence/n"):
            n = int(name.removeprefix("ddim_sequence/n"))
            stride = diffusion.ddim_sequence(n, case.config["ddim_steps"])[1]
            answers[name] = np.arange(0, n, stride)
    return answers


@runner("pdpp", "model/diffusion.py:GaussianDiffusion")
def diffusion_algebra(case: Case) -> dict:
    schedule = diffusion.cosine_schedule(case.config["n_diffusion_steps"])
    x0, xt, noise = (jnp.asarray(case.input(n)) for n in ("x0", "xt", "noise"))
    t, before = case.input("t"), case.input("t_prev")
    assert x0.shape[1] == case.config["horizon"]

    @jax.jit
    def step(coefficients, noise):
        clean, kept, added = (jnp.reshape(c, (-1, 1, 1)) for c in coefficients)
        return clean * x0 + kept * xt + added * noise

    ddpm = diffusion.ddpm_coefficients(schedule, t)
    answers = {
        "q_sample": jax.jit(lambda: diffusion.add_noise(schedule, x0, t, noise))(),
        "eps_from_x0": jax.jit(lambda: noise_of(schedule, xt, t, x0))(),
        "posterior_mean": step(ddpm, jnp.zeros_like(noise)),
        "p_sample": step(ddpm, noise),
        "posterior_variance": schedule.posterior_variance[t].reshape(-1, 1, 1),
        "posterior_log_variance_clipped": schedule.posterior_log_variance_clipped[t].reshape(
            -1, 1, 1
        ),
    }
    for name in case.outputs:
        if name.startswith("ddim_"):
            last, eta = "last" in name, float(name.rsplit("eta", 1)[1])
            here = np.zeros_like(t) if last else t
            previous = np.ones(len(t)) if last else schedule.alphas_cumprod[before]
            answers[name] = step(diffusion.ddim_coefficients(schedule, here, previous, eta), noise)
    return answers


@runner("pdpp", "model/helpers.py:condition_projection")
def projection(case: Case) -> dict:
    config = case.config
    layout = StateLayout(config["class_dim"], config["action_dim"], config["observation_dim"])
    run = jax.jit(functools.partial(state.project, layout=layout))
    return {
        f"y_t{t}": run(*(case.input(f"{name}_t{t}") for name in ("x", "task", "start", "goal")))
        for t in config["horizons"]
    }


@runner("pdpp", "model/helpers.py:Weighted_MSE", fixed={"weight": 10.0})
def weighted_mse(case: Case) -> dict:
    config = case.config
    layout = StateLayout(config["class_dim"], config["action_dim"], config["observation_dim"])
    run = jax.jit(jax.value_and_grad(functools.partial(state.weighted_mse, layout=layout)))
    assert case.input("pred").shape[1] == config["horizon"]
    value, gradient = run(case.input("pred"), case.input("target"))
    return {"loss": value, "grad_pred": gradient}


@runner(
    "pdpp",
    "utils/training.py:Trainer.train",
    fixed={**FIXED, "optimizer": "AdamW betas 0.9 0.999 eps 1e-8 weight_decay 0"},
)
def train_steps(case: Case) -> dict:
    config = case.config
    model, sampler = planner(config)
    variables, entries = planner_variables(case, model)
    layout, params = model.layout, variables["params"]
    assert case.input("labels").shape[-1] == config["horizon"]
    engine = base_config()
    engine.optim.learning_rate = published_rate(config["lr"], config["total_steps"])
    engine.ema.update(
        decay=config["ema_decay"],
        start_step=config["step_start_ema"],
        interval=config["update_ema_every"],
    )
    groups = jax.tree.map(lambda _: Group(), params)
    optimizer = make_optimizer(engine.optim, groups, 1, config["total_steps"], 1)
    run_state = TrainState(
        jnp.zeros((), jnp.int32),
        params,
        {},
        {},
        optimizer.transform.init(params),
        {"params": params},
    )

    @jax.jit
    def update(run_state, frames, plan, tasks, t, noise):
        def total(params):
            errors, _ = plan_loss(
                model,
                {"params": params},
                sampler,
                plan=plan,
                task=state.one_hot(tasks, layout.classes),
                start=frames[:, 0],
                goal=frames[:, -1],
                t=t,
                noise=noise[..., layout.action_part],
            )
            return jnp.sum(errors)

        value, grads = jax.value_and_grad(total)(run_state.params)
        updates, moments = optimizer.transform.update(
            grads, run_state.optimizer, run_state.params, step=run_state.step
        )
        after = jax.tree.map(jnp.add, run_state.params, updates)
        ema = average(run_state, after, {}, engine.ema)
        step = run_state.step + 1
        return run_state.replace(step=step, params=after, optimizer=moments, ema=ema), value

    losses = []
    inputs = (case.input(n) for n in ("frames", "labels", "tasks", "t", "noise"))
    for rows in zip(*inputs, strict=True):
        run_state, value = update(run_state, *rows)
        losses.append(float(value))
    answers = {"loss_per_step": np.array(losses), "loss_average": np.mean(losses)}
    start = to_state_dict({"params": params}, entries)
    for prefix, tree in (("delta", run_state.params), ("ema_delta", run_state.ema["params"])):
        after = to_state_dict({"params": tree}, entries)
        answers |= {f"{prefix}/{name}": after[name] - start[name] for name in start}
    return answers


def published_rate(peak: float, total: int) -> dict:
    """The published schedule of `total` updates: warm-up over 20/120, halved every 30/120."""
    return {
        "name": "decay_in_periods",
        "peak": peak,
        "warmup_steps": total * 20 / 120,
        "period_steps": total * 30 / 120,
    }


@runner(
    "pdpp",
    "model/helpers.py:get_lr_schedule_with_warmup",
    fixed={"warmup_fraction": "20/120", "decay_every_fraction": "30/120", "decay": 0.5},
)
def lr_schedule(case: Case) -> dict:
    answers = {}
    for total in case.config["totals"]:
        schedule = schedules.make(published_rate(1.0, total), total, 1)
        answers[f"factor_{total}"] = schedule(case.input(f"steps_{total}"))
    rate = schedules.make(published_rate(case.config["base_lr"], 100), 100, 1)
    answers["lr_at_update_0_to_99_total_100"] = rate(np.arange(100))
    return answers


@runner("pdpp", "utils/training.py:Trainer.step_ema, EMA")
def ema_update(case: Case) -> dict:
    settings = base_config().ema
    settings.decay = case.config["decay"]
    settings.start_step = case.config["step_start_ema"]
    settings.interval = case.config["update_ema_every"]
    values = case.input("weights")
    ema, after = {"params": {"w": jnp.asarray(values[0])}}, []
    for step, value in enumerate(values[1:]):
        run_state = TrainState(jnp.int32(step), {}, {}, {}, None, ema)
        ema = average(run_state, {"w": jnp.asarray(value)}, {}, settings)
        after.append(ema["params"]["w"])
    return {"ema_after": jnp.stack(after)}
