"""The contract between a method and the engine.

A `Task` is made from a config and holds no state: everything it does is a pure function of its
arguments. docs/architecture.md says why each part is as it is.
"""

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.labels import naming
from jaxvision.data.source import Source
from jaxvision.errors import InputError

# {"params": ..., "batch_stats": ..., "memory": ..., "constants": ...}; nested dicts of arrays.
Variables = Mapping[str, Any]
Batch = Mapping[str, Any]
Outputs = Any
# Shapes over all hosts; the leading axis is split over the mesh's data and fsdp axes.
BatchSpecs = Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]


class Aux(NamedTuple):
    """What a loss reports beside its value.

    metrics: {name: (sum, weight)}; the engine reports sum/weight over micro-batches and steps.
    state: new values of the leaves of collections that the loss changed (batch_stats, memory);
        every other leaf stays.
    writes: {path in `memory`: (rows [n], values [n, ...])}, written after the step, in place: a
        loss sees none of them. Of equal rows the last wins; row -1 is padding and is not written;
        any other outside the memory is dropped and counted (refused when debugging).
    Neither happens where the loss is not finite.
    """

    metrics: Mapping[str, tuple[Array, Array]]
    state: Variables = MappingProxyType({})
    writes: Mapping[str, tuple[Array, Array]] = MappingProxyType({})


class Group(NamedTuple):
    """How the optimizer treats one parameter leaf.

    train, decay, lr: each one value for the leaf, or one per layer of a stacked leaf (its leading
        axis). train: False means no gradient, no moments, no average, saved once.  decay: factor on
        the weight decay.  lr: factor on the learning rate.
    schedule: which of `config.optim.schedules` is the leaf's learning rate; "": `learning_rate`.
    bounds: (low, high) that the leaf is clamped to before each training step's forward pass; the
        update after it may leave them until the next.
    """

    train: bool | np.ndarray = True
    decay: float | np.ndarray = 1.0
    lr: float | np.ndarray = 1.0
    schedule: str = ""
    bounds: tuple[float, float] | None = None


class KeptOutputs(NamedTuple):
    """Every output of a bucket, on the devices.

    rows: the tree that `outputs` gives, with one row a sample in the order of the records (their
        samples side by side), split over the mesh's data and fsdp axes.
    samples: rows that hold one; those behind, zeros, let the axes divide.
    """

    rows: Outputs
    samples: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One protocol of one benchmark.

    source, batch_specs: as for training (one source a bucket where frame sizes differ), but read
        once in order, bucket by bucket; every batch carries `valid` (bool: not padding) and `index`
        (int32: the record's number in its source), per sample.
    outputs(variables, batch, rng): jitted on the mesh; arrays with a leading batch axis. `rng` is
        the same for every batch: `sample_keys` tells records apart.
    accumulate(total, outputs, index, bucket): on the host with NumPy, on every host alike, padding
        already removed; `total` is None at first. Keep what makes the result independent of batch
        size and order: exact sums, or records by `index` (of the bucket's source).
        None: the outputs stay on the devices, and `total` is {bucket: KeptOutputs}.
    finish(total, variables): {name: number}; may run jitted code, which runs on the mesh.
    render(total): pictures of the result, by name.
    tables(total): {name: rows {column: value}} of every record, every class; of host outputs alone.
    worst(total): pictures of what was answered worst. `jaxvision evaluate` asks for both, a
        training does not.
    """

    source: Source | Mapping[str, Source]
    batch_specs: BatchSpecs
    outputs: Callable[[Variables, Batch, PRNGKeyArray], Outputs]
    accumulate: Callable[[Any, Outputs, np.ndarray, str], Any] | None
    finish: Callable[[Any, Variables], Mapping[str, float]]
    render: Callable[[Any], Mapping[str, np.ndarray]] | None = None
    tables: Callable[[Any], Mapping[str, Sequence[Mapping[str, Any]]]] | None = None
    worst: Callable[[Any], Mapping[str, np.ndarray]] | None = None


@dataclass(frozen=True)
class Task(abc.ABC):
    """A method as the engine sees it.

    trained_names: of the classes, as they came with weights that are there already; () takes those
        of the data.
    training_only: collections that nothing but the loss reads: evaluations and predictions neither
        load nor see them.
    input_suffixes: of the files that `predict_files` reads; () takes any.
    beside_endings: of files it reads beside an input: "_people.json" is NAME_people.json.
    contrasts_in_batch: the loss compares samples of a batch with each other, so that micro-batches
        would make another loss: `train.accumulate` above 1 is refused.
    """

    config: ConfigDict
    trained_names: tuple[str, ...] = field(default=(), kw_only=True)
    training_only: ClassVar[tuple[str, ...]] = ("memory",)
    contrasts_in_batch: ClassVar[bool] = False
    input_suffixes: ClassVar[tuple[str, ...]] = ()
    beside_endings: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of every class, in the order of the outputs; () where a task has none."""
        return self.trained_names or self.names_in_data()

    def names_in_data(self) -> tuple[str, ...]:
        """Of the classes, as the data of the config have them. InputError says what is lacking."""
        return ()

    def names_from(self) -> str:
        """Which setting or file `names_in_data` has them from, for messages."""
        return naming(self.config.data, "labels", "train")

    @abc.abstractmethod
    def init(self, rng: PRNGKeyArray) -> Variables:
        """Fresh variables; leaves may be boxed with logical axis names."""

    @abc.abstractmethod
    def source(self, split: str) -> Source | Mapping[str, Source]:
        """Where data comes from: one source for every bucket, or one by bucket's name."""

    @abc.abstractmethod
    def batch_specs(self, split: str) -> BatchSpecs:
        """{bucket: {field: shape and dtype}} of everything a step may be given."""

    @abc.abstractmethod
    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        """The scalar to minimise over one (micro-)batch, already prepared."""

    def bucket(self, step: int) -> str:
        """The bucket of a step: a function of the global step alone, so that all hosts agree.

        Any of them at random here; `data.loader.permuted_bucket` takes every batch once an epoch.
        """
        names = sorted(self.batch_specs("train"))
        if len(names) == 1:
            return names[0]
        return names[np.random.default_rng((self.config.seed, 11, step)).integers(len(names))]

    def bucket_names(self, steps: int) -> Sequence[str]:
        """`bucket` of the first `steps` steps: what a run asks, once."""
        return [self.bucket(step) for step in range(steps)]

    def supervised(self, arrays: Mapping[str, np.ndarray]) -> int | None:
        """How many targets of a host's training batch the loss compares anything with; None where
        it needs none. A run in which there are none at all is refused: its loss would say nothing.

        Here those of `label` that name a class.
        """
        return int(np.sum(arrays["label"] >= 0)) if "label" in arrays else None

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """On the device, before the loss: normalise, mix, draw masks."""
        return batch

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        """The optimizer group of the parameter `path` ("encoder/stack/blocks/mlp/up/kernel")."""
        return Group()

    def adapt(self, path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A value from other weights, in the shape of its place here: 2D kernels inflated, position
        tables resized. Asked by links of `config.init` with "adapt", for values that do not fit.

        path: of the place, with its collection ("params/encoder/positions").
        """
        raise InputError(
            f"{type(self).__name__} cannot adapt {path} {tuple(value.shape)} to {shape}"
        )

    def resumed(self, collections: Variables) -> Mapping[str, np.ndarray]:
        """Leaves of a checkpoint's `collections`, by path ("memory/bank"), that a run which goes on
        from it has other values of. InputError where they are of other data than the run's."""
        return {}

    def before_training(
        self, variables: Variables, mesh: Mesh, say: Callable[[str], None]
    ) -> "Task":
        """The task that a run trains, once its weights are there and before anything is read: of
        the same variables and as many records, it may read what these weights made of them.

        say: a line for the person watching. A run that goes on asks again.
        """
        return self

    def flops(self, split: str) -> float | None:
        """Counted floating-point operations of one training step (a multiply-add is two)."""
        return None

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> Outputs:
        """The method's answer to a batch that has been prepared with train=False."""
        raise InputError(f"{type(self).__name__} has no answer to batches")

    def evaluations(self) -> Mapping[str, Evaluation]:
        """The protocols this method is judged by."""
        return {}

    def render(self, batch: Batch, outputs: Outputs) -> Mapping[str, np.ndarray]:
        """Pictures (uint8 [height, width, 3]) of one batch and its outputs, on the host."""
        return {}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """Answer files with files (pictures, tables); returns what was written."""
        raise InputError(f"{type(self).__name__} has no answer to files")
