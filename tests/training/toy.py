"""Small tasks that use every power of the contract."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from jaxvision.data.source import Source
from jaxvision.nn.normalization import BatchNorm
from jaxvision.training.config import base_config
from jaxvision.training.task import Aux, Evaluation, Group, Task

FEATURES, CLASSES = 6, 3
rule = np.random.default_rng(0).normal(size=(FEATURES, CLASSES)).astype(np.float32)


@dataclass(frozen=True)
class Points:
    """Labelled points; records listed in `broken` cannot be read."""

    count: int = 40
    broken: tuple[int, ...] = ()
    poison: tuple[int, ...] = ()  # records whose values are not finite

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.broken:
            raise OSError(f"point {index} is damaged\nsecond line")
        x = np.random.default_rng(index).normal(size=FEATURES).astype(np.float32)
        label = int(np.argmax(x @ rule))
        if index in self.poison:
            x = x * np.nan
        return {"x": x, "label": label}

    def name(self, index):
        return f"point {index}"


def jitter(record, rng, bucket):
    return {
        "x": record["x"] + 0.01 * rng.normal(size=FEATURES).astype(np.float32),
        "label": np.int32(record["label"]),
    }


class Classifier(nn.Module):
    hidden: int = 16
    norm_groups: int = 1

    @nn.compact
    def __call__(self, x, train):
        def kernel(*names):
            return nn.with_logical_partitioning(nn.initializers.lecun_normal(), names)

        table = self.param("table", nn.initializers.ones, (FEATURES,))
        # No bias: before a norm its gradient is pure rounding, which Adam would blow up.
        up = nn.Dense(self.hidden, False, kernel_init=kernel("embed", "mlp"), name="up")
        x = up(x * table)
        x = BatchNorm(self.norm_groups, name="norm")(x, not train)
        return nn.Dense(CLASSES, kernel_init=kernel("mlp", "vocab"), name="head")(nn.relu(x))


@dataclass(frozen=True)
class ToyTask(Task):
    """Classification with batch norm, a frozen table, a memory of labels, noise in `prepare`."""

    points: Points = Points()

    @property
    def model(self):
        return Classifier(norm_groups=self.config.train.norm_groups)

    def init(self, rng):
        variables = self.model.init(rng, jnp.zeros((4, FEATURES)), False)
        return {
            **variables,
            "memory": {"seen": jnp.zeros((CLASSES,), jnp.int32)},
            "constants": {"offset": jnp.full((FEATURES,), 0.5)},
        }

    def source(self, split):
        return Source(self.points, self.config.train.batch_size, jitter)

    def batch_specs(self, split):
        size = self.config.train.batch_size
        return {
            "points": {
                "x": jax.ShapeDtypeStruct((size, FEATURES), jnp.float32),
                "label": jax.ShapeDtypeStruct((size,), jnp.int32),
            }
        }

    def prepare(self, batch, rng, train):
        x = batch["x"]
        if train:
            x = x + 0.01 * jax.random.normal(rng, x.shape)
        return {**batch, "x": x}

    def loss(self, variables, batch, rng, train):
        x = batch["x"] - variables["constants"]["offset"]
        logits, state = self.model.apply(
            {k: variables[k] for k in ("params", "batch_stats")}, x, train, mutable=["batch_stats"]
        )
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["label"][:, None], 1)
        right = jnp.sum(jnp.argmax(logits, -1) == batch["label"]).astype(jnp.float32)
        seen = variables["memory"]["seen"] + jnp.bincount(batch["label"], length=CLASSES)
        size = jnp.float32(len(logits))
        return -jnp.mean(picked), Aux(
            {"accuracy": (right, size)}, {**state, "memory": {"seen": seen}}
        )

    def parameter_group(self, path, shape):
        if path == "table":
            return Group(train=False)
        return Group(decay=0.0 if path.endswith("bias") else 1.0, lr=2.0 if "head" in path else 1.0)

    def predict(self, variables, batch, rng):
        x = batch["x"] - variables["constants"]["offset"]
        return self.model.apply({k: variables[k] for k in ("params", "batch_stats")}, x, False)

    def evaluations(self):
        source = Source(self.points, self.config.task.evaluation_batch, jitter)
        size = self.config.task.evaluation_batch
        specs = {
            "points": {
                "x": jax.ShapeDtypeStruct((size, FEATURES), jnp.float32),
                "label": jax.ShapeDtypeStruct((size,), jnp.int32),
            }
        }

        def outputs(variables, batch, rng):
            return {"logits": self.predict(variables, batch, rng), "label": batch["label"]}

        def accumulate(total, outputs, index, bucket):
            rows = dict(total or {})
            for row, number in enumerate(index):
                rows[int(number)] = (outputs["logits"][row], outputs["label"][row])
            return rows

        def finish(total, variables):
            assert sorted(total) == list(range(len(self.points)))
            right = [np.argmax(logits) == label for logits, label in total.values()]
            mean = np.mean([total[i][0] for i in sorted(total)], dtype=np.float64)
            return {"accuracy": np.mean(right), "records": len(total), "mean_logit": mean}

        return {
            "whole": Evaluation(
                source=source,
                batch_specs=specs,
                outputs=outputs,
                accumulate=accumulate,
                finish=finish,
            )
        }

    def render(self, batch, outputs):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[..., 0] = np.clip(100 * np.abs(outputs).mean(), 0, 255)
        return {"logits": picture}


def toy_config(**overrides) -> ConfigDict:
    """A resolved config of the toy task; `overrides` as {"train.steps": 5}."""
    config = base_config()
    config.method = "toy"
    config.task = ConfigDict({"evaluation_batch": 16})
    config.train.steps = 6
    config.train.batch_size = 16
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1e-2, "end": 1e-3, "warmup_steps": 2}
    )
    config.optim.weight_decay.value = 0.1
    config.checkpoint.every_steps = 2
    config.log.every_steps = 2
    config.mesh.data = 1
    for key, value in overrides.items():
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    return config.copy_and_resolve_references().lock()
