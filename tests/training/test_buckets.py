"""Buckets whose batches differ in size, taken by one permutation an epoch."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxvision.data.loader import permuted_bucket
from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.training.run import prepare_run
from training.toy import Points, ToyTask, jitter, toy_config

# Batches an epoch: 40 // 16 pictures, 26 // 4 videos.
BATCHES = {"pictures": 2, "videos": 6}


@dataclass(frozen=True)
class TwoMedia(ToyTask):
    """Pictures by sixteen and videos by four, as UMT's second stage has them."""

    def source(self, split):
        return {
            "pictures": Source(Points(40), 16, jitter),
            "videos": Source(Points(26), 4, jitter),
        }

    def batch_specs(self, split):
        (fields,) = super().batch_specs(split).values()

        def of(size):
            return {
                k: jax.ShapeDtypeStruct((size, *s.shape[1:]), s.dtype) for k, s in fields.items()
            }

        return {"pictures": of(16), "videos": of(4)}

    def bucket(self, step):
        return permuted_bucket(step, BATCHES, self.config.seed)


def prepared(**settings):
    config = toy_config(**settings)
    return prepare_run(TwoMedia(config), config, jax.devices()[:1])


def test_an_epoch_takes_every_batch_once_in_an_order_of_its_own():
    run = prepared(**{"train.steps": 0, "train.epochs": 3.0})
    assert run.steps_per_epoch == 8
    assert run.steps == 24
    buckets = np.array([run.task.bucket(step) for step in range(24)]).reshape(3, 8)
    assert all(Counter(epoch) == BATCHES for epoch in buckets)
    assert len({tuple(epoch) for epoch in buckets}) > 1
    assert [run.data[step].bucket for step in range(24)] == buckets.ravel().tolist()


def test_each_source_gives_its_records_once_an_epoch():
    run = prepared(**{"train.steps": 16})
    for epoch in (range(8), range(8, 16)):
        for bucket, size in (("pictures", 16), ("videos", 4)):
            names = [n for s in epoch if run.task.bucket(s) == bucket for n in run.data.names(s)]
            assert len(set(names)) == len(names) == BATCHES[bucket] * size


def test_the_bucket_is_a_function_of_the_step_alone():
    late = permuted_bucket(1000, BATCHES, 3)
    everything = [permuted_bucket(step, BATCHES, 3) for step in range(1001)]
    assert everything[-1] == late
    other = [permuted_bucket(step, BATCHES, 4) for step in range(1001)]
    assert everything != other


def test_a_resumed_run_goes_on_in_its_epoch(tmp_path):
    def run(workdir):
        config = toy_config(
            **{"train.steps": 12, "checkpoint.every_steps": 5, "log.every_steps": 1}
        )
        loop.train(TwoMedia(config), config, workdir, None, jax.devices()[:1])
        rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
        return {row["step"]: row["loss"] for row in rows if "loss" in row}

    whole = run(tmp_path)
    for step in (10, 12):
        shutil.rmtree(Checkpoints(tmp_path).path(step))
    (tmp_path / "metrics.jsonl").unlink()
    resumed = run(tmp_path)
    assert min(resumed) == 6
    assert resumed == {step: loss for step, loss in whole.items() if step > 5}


def test_micro_batches_must_divide_every_bucket():
    message = r"train.accumulate=8 does not divide a batch of 4 \(bucket 'videos'\)"
    with pytest.raises(InputError, match=message):
        prepared(**{"train.accumulate": 8})
