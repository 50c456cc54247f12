"""A classifier's head on a backbone that does not train: `task.name` "head".

The whole network is an ordinary classifier of its method, with the backbone's parameters frozen: so
it evaluates, predicts and exports. Trained it is on features of the backbone that are made once and
kept in `data.features`; where that is empty, on augmented pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from jaxvision.data.feature_files import (
    DTYPE,
    NAME,
    StoredFeatures,
    any_view,
    first_view,
)
from jaxvision.data.source import Records, Source
from jaxvision.errors import InputError
from jaxvision.ops.cross_entropy import smooth_one_hot
from jaxvision.stores.stored_path import folder_here
from jaxvision.tasks import classification
from jaxvision.training.config import config_of_run
from jaxvision.training.frozen_features import FeatureMaker, Frozen, ShowView
from jaxvision.training.layer_decay import decays
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

TASK = "head"
# What an augmentation of pixels is called, and its value where there is none.
_OF_PIXELS = {
    "rand_augment": "",
    "erase_probability": 0.0,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
}
# Settings of `model` that are the head's, or of a training of the backbone.
_OF_HEAD = ("pooling", "head_dropout", "drop_path")


def of_head(path: str) -> bool:
    """Whether a parameter is the head's; all others are the backbone's."""
    return path.startswith("head/")


def group(path: str) -> Group:
    """The head trains, the backbone does not."""
    return Group(train=of_head(path), decay=1.0 if decays(path) else 0.0)


class HeadedModel(Protocol):
    """`classify(keep(input))` is the network's answer."""

    def apply(self, variables: Variables, *inputs: Any, **more: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the backbone is shown of the data.

    records: of "train" or "validation".  labels: of their records.  show: a view of a record, as
    samples of the `whole` task have it.  validation: whether there is any.
    """

    records: Callable[[str], Records]
    labels: Callable[[Records], Sequence[int]]
    show: ShowView
    validation: bool


class Start(NamedTuple):
    """What `Task.before_training` is given."""

    variables: Variables
    mesh: Mesh
    say: Callable[[str], None]


def on_stored_features(whole: Task, model: HeadedModel, shown: Shown, start: Start) -> Task:
    """`whole` as it is trained: on features of its backbone, which are there when this returns;
    itself where `data.features` is empty.

    InputError for augmentations, which stored features cannot have.
    """
    config = whole.config
    if not config.data.features:
        return whole
    for name, none in _OF_PIXELS.items():
        if config.task[name] != none:
            raise InputError(
                f"task.{name}={config.task[name]!r}: stored features are not augmented; expected "
                f"{none!r}, or training from pixels (--config.data.features=)"
            )
    if config.task.views < 1:
        raise InputError(f"task.views={config.task.views}: expected at least 1")

    def features(variables: Variables, batch: Batch) -> Float[Array, "b n d"]:
        prepared = whole.prepare(batch, jax.random.key(0), False)
        return model.apply(variables, prepared["input"], method="keep").astype(jnp.float32)

    (specs,) = whole.batch_specs("train").values()
    fields = {
        name: jax.ShapeDtypeStruct(spec.shape[1:], spec.dtype)
        for name, spec in specs.items()
        if name != "label"
    }
    about = {
        "method": config.method,
        "model": {k: v for k, v in config.model.to_dict().items() if k != "head_dropout"},
        "dtype": config.dtype,
        "normalisation": config.data.get("normalisation", ""),
        "shown": repr(shown.show),
    }
    frozen = Frozen(features=features, fields=fields, show=shown.show, trains=of_head, about=about)
    maker = FeatureMaker(
        frozen=frozen,
        variables=start.variables,
        mesh=start.mesh,
        config=config,
        say=start.say,
        root=folder_here("data.features", config.data.features),
    )

    def stored(split: str, views: int) -> StoredFeatures:
        records = shown.records(split)
        return maker.stored(split, records, shown.labels(records), views)

    return FeatureTraining(
        config,
        trained_names=whole.class_names,
        whole=whole,
        model=model,
        train=stored("train", config.task.views),
        validation=stored("validation", 1) if shown.validation else None,
    )


@dataclass(frozen=True, kw_only=True)
class FeatureTraining(Task):
    """The head of `whole` on stored features. Batches hold `features`, float16 [b, n, d], and
    `label`, int32 [b]; evaluations also `number` and `view`."""

    whole: Task
    model: HeadedModel
    train: StoredFeatures
    validation: StoredFeatures | None

    def init(self, rng: PRNGKeyArray) -> Variables:
        return self.whole.init(rng)

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return self.whole.parameter_group(path, shape)

    def source(self, split: str) -> Source:
        return Source(self.train, self.config.train.batch_size, any_view)

    def batch_specs(self, split: str) -> BatchSpecs:
        return {NAME: self._fields(NAME, "label")}

    def _fields(self, *names: str) -> dict[str, jax.ShapeDtypeStruct]:
        rows = self.config.train.batch_size
        number = jax.ShapeDtypeStruct((rows,), jnp.int32)
        features = jax.ShapeDtypeStruct((rows, *self.train.store.shape), DTYPE)
        return {name: features if name == NAME else number for name in names}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Features as float32; in training also the soft `target`."""
        batch = {**batch, NAME: batch[NAME].astype(jnp.float32)}
        if not train:
            return batch
        smoothing = self.config.task.label_smoothing
        return {**batch, "target": smooth_one_hot(batch["label"], len(self.class_names), smoothing)}

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        return classification.loss(self._logits(variables, batch, train, rng), batch["target"])

    def _logits(
        self,
        variables: Variables,
        batch: Batch,
        train: bool = False,
        rng: PRNGKeyArray | None = None,
    ) -> Float[Array, "b classes"]:
        rngs = {"dropout": rng} if train else {}
        return self.model.apply(variables, batch[NAME], not train, method="classify", rngs=rngs)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` of each record."""
        return {"probabilities": jax.nn.softmax(self._logits(variables, batch))}

    def evaluations(self) -> Mapping[str, Evaluation]:
        """`validation`, as the whole network's."""
        if self.validation is None:
            return {}
        return {
            "validation": classification.evaluation(
                Source(self.validation, self.config.train.batch_size, first_view),
                {NAME: self._fields(NAME, "label", "number", "view")},
                self._logits,
                self.class_names,
            )
        }


# For recipes.


def set_up_training(config: ConfigDict) -> None:
    """A recipe of the method's classification becomes one of a head: no augmentation but drawn
    views, and settings of ours (the rate and the decay are those of V-JEPA's probes)."""
    config.dtype = "float32"
    for name in ("layer_decay", "features"):
        if name in config.task:
            del config.task[name]
    for name in ("crops_per_clip", "record_repeats"):
        if name in config.task:
            config.task[name] = 1
    config.task.update({"name": TASK, "views": 2, "label_smoothing": 0.1, **_OF_PIXELS})
    config.data.features = "features"
    config.optim.update({"batch_scaling": 0, "clip_norm": 0.0})
    config.optim.learning_rate = ConfigDict(
        {"name": "cosine", "peak": 1e-3, "end": 1e-6, "warmup_epochs": 2}
    )
    config.optim.weight_decay.value = 0.01
    config.train.update({"batch_size": 16, "epochs": 40.0, "draw_groups": 1, "accumulate": 1})
    config.evaluate.every_epochs = 5.0
    config.checkpoint.update({"best": "validation/top1", "every_minutes": 1.0})


def on_video_encoder(config: ConfigDict, weights: str, pooling: str) -> Mapping[str, Any]:
    """A recipe of clip classification becomes one of a head on the encoder of `weights`: a
    published file, or the workdir of a run, whose network it then is. Returns the run's `model`
    table, {} for a file."""
    set_up_training(config)
    for name in ("dropout", "attention_dropout", "init_scale"):
        del config.model[name]
    config.model.pooling = pooling
    # Classifiers, and the networks of pretraining, have their encoder in one place.
    config.init = ({"from": weights, "drop": (r"^(?!params/encoder/)",)},)
    return take_from_run(config, weights, ("task.sampling", "task.stride"))


def take_from_run(config: ConfigDict, weights: str, more: Sequence[str] = ()) -> Mapping[str, Any]:
    """Where `weights` is the workdir of a run, give `config` the network that was trained there:
    the run's own `model`, which is returned, and the settings `more`, as far as both have them."""
    file = Path(weights) / "config.json"
    if not file.is_file():
        return {}
    run = config_of_run(file)
    network = [f"model.{name}" for name in config.model if name not in _OF_HEAD]
    for key in (*network, *more):
        table, _, name = key.partition(".")
        if name in run.get(table, {}):
            old, new = config[table][name], run[table][name]
            config[table][name] = tuple(new) if isinstance(old, tuple) else new
    return run.model
