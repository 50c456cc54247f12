"""Nothing compiles after the first step, and nothing waits for the device between log points."""

import contextlib
from dataclasses import dataclass

import jax
import numpy as np
import pytest
from jax._src import array as jax_array

from jaxvision.data.source import Source
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from training.toy import ToyTask, toy_config


@dataclass(frozen=True)
class TwoBuckets(ToyTask):
    """Batches of two shapes, in turn."""

    def source(self, split):
        whole = super().source(split)
        half = Source(whole.records, whole.batch_size // 2, whole.transform)
        return {"small": half, "whole": whole}

    def batch_specs(self, split):
        def resized(size):
            (fields,) = super(TwoBuckets, self).batch_specs(split).values()
            return {
                k: jax.ShapeDtypeStruct((size, *s.shape[1:]), s.dtype) for k, s in fields.items()
            }

        size = self.config.train.batch_size
        return {"small": resized(size // 2), "whole": resized(size)}

    def bucket(self, step):
        return ("small", "whole")[step % 2]


@dataclass
class Watch:
    """Where the loop is, and what was fetched or compiled there."""

    place: str = "start-up"
    fetched: list = None
    compiled: list = None


@contextlib.contextmanager
def watching(monkeypatch):
    watch = Watch(fetched=[], compiled=[])
    fetch = jax_array.ArrayImpl._value

    def value(self):
        watch.fetched.append(watch.place)
        return fetch.fget(self)

    monkeypatch.setattr(jax_array.ArrayImpl, "_value", property(value))

    def inside(owner, name):
        original = getattr(owner, name)

        def wrapped(self, *arguments, **options):
            before, watch.place = watch.place, name
            try:
                return original(self, *arguments, **options)
            finally:
                watch.place = before

        monkeypatch.setattr(owner, name, wrapped)

    for name in ("log", "evaluate", "draw", "save"):
        inside(loop.Loop, name)
    placed = loop.Loop.placed

    def first_step(self, host_batches):
        watch.place = "between"
        yield from placed(self, host_batches)

    monkeypatch.setattr(loop.Loop, "placed", first_step)

    def compiled(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            watch.compiled.append(watch.place)

    jax.monitoring.register_event_duration_secs_listener(compiled)
    try:
        yield watch
    finally:
        jax.monitoring.unregister_event_duration_listener(compiled)


def train(tmp_path, task=TwoBuckets):
    config = toy_config(**{"train.steps": 12, "log.every_steps": 4, "log.pictures_every_steps": 6})
    loop.train(task(config), config, tmp_path, None, jax.devices()[:1])


def test_no_fetch_and_no_compilation_between_log_points(tmp_path, monkeypatch):
    with watching(monkeypatch) as watch:
        train(tmp_path)
    assert "log" in watch.fetched, "the watch sees what it should see"
    assert "between" not in watch.fetched
    assert "start-up" in watch.compiled
    assert "between" not in watch.compiled
    assert not {"log", "evaluate", "draw"} & set(watch.compiled)


def test_the_watch_sees_a_fetch(tmp_path, monkeypatch):
    check = Checkpoints.check

    def wasteful(self):
        float(jax.device_put(np.float32(1)))
        check(self)

    monkeypatch.setattr(Checkpoints, "check", wasteful)
    with watching(monkeypatch) as watch:
        train(tmp_path)
    assert "between" in watch.fetched


def test_the_watch_sees_a_compilation(tmp_path, monkeypatch):
    check = Checkpoints.check

    def wasteful(self):
        jax.jit(lambda x: x * 3.21)(np.ones(7))
        check(self)

    monkeypatch.setattr(Checkpoints, "check", wasteful)
    with watching(monkeypatch) as watch:
        train(tmp_path)
    assert "between" in watch.compiled


@pytest.mark.parametrize("bucket", ["small", "whole"])
def test_each_bucket_has_its_steps(bucket):
    config = toy_config()
    task = TwoBuckets(config)
    from jaxvision.training.run import prepare_run

    data = prepare_run(task, config, jax.devices()[:1]).data
    step = ("small", "whole").index(bucket)
    assert data[step].bucket == bucket
    assert len(data[step].arrays["label"]) == {"small": 8, "whole": 16}[bucket]
