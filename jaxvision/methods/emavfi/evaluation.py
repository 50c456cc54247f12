"""Running a benchmark's protocol, and the demo's comparison with what needs no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxvision.data import pictures
from jaxvision.data.normalisation import to_unit
from jaxvision.data.source import RecordSubset, Repeated, Source
from jaxvision.methods.emavfi import inputs
from jaxvision.methods.emavfi.benchmarks import Protocol, protocol
from jaxvision.methods.emavfi.inference import InferenceSettings, interpolate
from jaxvision.methods.emavfi.inputs import CameraCrop
from jaxvision.methods.emavfi.model import InterpolationNetwork
from jaxvision.metrics.image_quality import psnr
from jaxvision.stores.stored_path import path_to
from jaxvision.training.task import Batch, Evaluation, Variables

# Random camera paths over each held-out photograph.
CAMERA_PATHS = 16


def evaluations(config: ConfigDict, model: InterpolationNetwork) -> dict[str, Evaluation]:
    """One per benchmark of `task.benchmarks` ({name: folder}, "" where it is not at hand), and
    `camera` where the training data is the built-in photographs."""
    found = {}
    if config.data.name == "camera" and not config.data.root:
        found["camera"] = camera_evaluation(config, model)
    for name, root in config.task.benchmarks.items():
        if root:
            chosen = protocol(name, config.model.any_time)
            found[name] = benchmark_evaluation(config, model, chosen, path_to(root))
    return found


@dataclass(frozen=True)
class Numbered:
    """A benchmark's records, each with its `number`."""

    records: Any

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.records[index], "number": np.int32(index)}

    def name(self, index: int) -> str:
        return self.records.name(index)


def benchmark_evaluation(
    config: ConfigDict, model: InterpolationNetwork, chosen: Protocol, root: Path
) -> Evaluation:
    """Every frame size is a bucket of its own, so that none is padded more than published."""
    records = chosen.records(root)
    by_size: dict[tuple[int, int], list[int]] = {}
    for index in range(len(records)):
        by_size.setdefault(records.size(index), []).append(index)
    size = config.task.evaluation_batch
    sources, specs = {}, {}

    def transform(record: Mapping[str, Any], rng: np.random.Generator, bucket: str) -> dict:
        frames = chosen.view(record["frames"])
        sample = {"pair": frames[[0, -1]], "targets": frames[1:-1], "number": record["number"]}
        return {**sample, "clip": record.get("clip", np.int32(0))}

    for (height, width), numbers in sorted(by_size.items()):
        bucket = f"{height}x{width}"
        sources[bucket] = Source(RecordSubset(Numbered(records), numbers), size, transform)
        seen = chosen.view(np.zeros((1, height, width, 3), np.uint8))
        shape, dtype = seen.shape[1:], seen.dtype
        specs[bucket] = {
            "pair": jax.ShapeDtypeStruct((size, 2, *shape), dtype),
            "targets": jax.ShapeDtypeStruct((size, chosen.targets, *shape), dtype),
            "number": jax.ShapeDtypeStruct((size,), jnp.int32),
            "clip": jax.ShapeDtypeStruct((size,), jnp.int32),
        }
    settings = chosen.settings(config.task.augment)

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        pair = batch["pair"]
        if pair.dtype == jnp.uint8:
            pair = to_unit(pair)
        frames = interpolate(model, variables, pair, chosen.times, settings)
        kept = {name: batch[name] for name in ("targets", "number", "clip")}
        return {**kept, "frames": jnp.stack(frames, axis=1)}

    def accumulate(
        total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
    ) -> Any:
        total = dict(total or {})
        for row, number in enumerate(outputs["number"]):
            total[int(number)] = (
                int(outputs["clip"][row]),
                [
                    chosen.measure(frame, truth)
                    for frame, truth in zip(
                        outputs["frames"][row], outputs["targets"][row], strict=True
                    )
                ],
            )
        return total

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        return means(total, chosen.by_clip)

    return Evaluation(
        source=sources,
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )


def means(
    measured: Mapping[int, tuple[int, list[Mapping[str, float]]]], by_clip: bool
) -> dict[str, float]:
    """Mean of every number over all images, or over clips of each clip's mean. measured: {record:
    (clip, one table per image)}."""
    groups: dict[int, list[Mapping[str, float]]] = {}
    for number in sorted(measured):
        clip, images = measured[number]
        groups.setdefault(clip if by_clip else 0, []).extend(images)
    names = next(iter(groups.values()))[0].keys()
    result = {
        name: float(np.mean([np.mean([image[name] for image in g]) for g in groups.values()]))
        for name in names
    }
    return {**result, "images": sum(len(g) for g in groups.values())}


def camera_evaluation(config: ConfigDict, model: InterpolationNetwork) -> Evaluation:
    """PSNR on photographs never trained on, beside two answers that need no network: the blend of
    both frames weighted by time, and the frame nearer in time."""
    size = config.train.batch_size
    crop = next(iter(inputs.crops(config).values()))
    camera = CameraCrop({}, config.model.any_time, config.data.speed)

    def transform(record: pictures.Pyramid, rng: np.random.Generator, bucket: str) -> dict:
        time = float(rng.uniform(0.1, 0.9)) if config.model.any_time else 0.5
        frames = camera.frames(record, rng, crop, time)
        return {"pair": frames[[0, 2]], "target": frames[1], "time": np.float32(time)}

    specs = {
        "pairs": {
            "pair": jax.ShapeDtypeStruct((size, 2, *crop, 3), jnp.uint8),
            "target": jax.ShapeDtypeStruct((size, *crop, 3), jnp.uint8),
            "time": jax.ShapeDtypeStruct((size,), jnp.float32),
        }
    }
    settings = InferenceSettings(augment=config.task.augment)

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Any]:
        pair = to_unit(batch["pair"])
        (frame,) = interpolate(model, variables, pair, (batch["time"],), settings)
        t = batch["time"][:, None, None, None]
        return {
            "network": frame,
            "blend": (1 - t) * pair[:, 0] + t * pair[:, 1],
            "nearest": jnp.where(t <= 0.5, pair[:, 0], pair[:, 1]),
            "target": to_unit(batch["target"]),
        }

    def accumulate(
        total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
    ) -> Any:
        total = dict(total or {})
        for row, number in enumerate(index):
            truth = outputs["target"][row]
            total[int(number)] = {
                name: psnr(outputs[name][row], truth) for name in ("network", "blend", "nearest")
            }
        return total

    def finish(total: Any, variables: Variables) -> dict[str, float]:
        rows = [total[number] for number in sorted(total)]
        network, blend, nearest = (
            float(np.mean([row[name] for row in rows])) for name in ("network", "blend", "nearest")
        )
        return {
            "psnr": network,
            "psnr_blend": blend,
            "psnr_nearest": nearest,
            "gain_over_blend": network - blend,
            "gain_over_nearest": network - nearest,
        }

    photographs = pictures.built_in("held_out")
    records = Repeated(photographs, CAMERA_PATHS * len(photographs))
    return Evaluation(
        source=Source(records, size, transform),
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
    )
