"""Evaluations whose outputs stay on the devices."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import array as jax_array

from jaxvision.data.source import Source
from jaxvision.errors import InputError
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.mesh import make_mesh
from jaxvision.training.state import unboxed_init
from jaxvision.training.stored_outputs import StoredOutputs
from jaxvision.training.task import Evaluation
from training.toy import FEATURES, Points, ToyTask, jitter, toy_config

QUERIES, ITEMS, VIEWS = 22, 37, 2


def twice(record, rng, bucket):
    """Two samples of a record: itself, and its opposite."""
    return [{"x": sign * record["x"]} for sign in (1, -1)]


def one(record, rng, bucket):
    return {"x": record["x"]}


@dataclass(frozen=True)
class RetrievalTask(ToyTask):
    """Finds for each query the item most like it; every item has two views."""

    batch: int = 16

    def evaluations(self):
        sources = {
            "items": Source(Points(ITEMS), self.batch // VIEWS, twice),
            "queries": Source(Points(QUERIES), self.batch, one),
        }
        fields = {"x": jax.ShapeDtypeStruct((self.batch, FEATURES), jnp.float32)}

        def outputs(variables, batch, rng):
            return {"feature": batch["x"], "norm": jnp.sum(batch["x"] ** 2, axis=-1)}

        @jax.jit
        def search(queries, items):
            match = queries["feature"] @ items["feature"].T
            real = jnp.arange(items["norm"].shape[0]) < ITEMS * VIEWS
            return jnp.argmax(jnp.where(real, match, -jnp.inf), axis=1)

        def finish(total, variables):
            queries, items = total["queries"], total["items"]
            assert (queries.samples, items.samples) == (QUERIES, ITEMS * VIEWS)
            assert not jax.sharding.get_abstract_mesh().empty
            parts = len(jax.sharding.get_mesh().devices.flat)
            for kept in total.values():
                for leaf in jax.tree.leaves(kept.rows):
                    assert leaf.addressable_shards[0].data.shape[0] == leaf.shape[0] // parts
                    assert len(leaf) - kept.samples < parts
            found = jax.device_get(search(queries.rows, items.rows))[:QUERIES]
            return {
                "sum": found.sum(),
                "norms": jnp.sum(items.rows["norm"]),
                "queries": queries.samples,
            }

        specs = {"items": fields, "queries": fields}
        return {
            "retrieval": Evaluation(
                source=sources,
                batch_specs=specs,
                outputs=outputs,
                accumulate=None,
                finish=finish,
            )
        }


def by_hand():
    items = np.stack([sign * Points()[n]["x"] for n in range(ITEMS) for sign in (1, -1)])
    queries = np.stack([Points()[n]["x"] for n in range(QUERIES)])
    return {
        "sum": np.argmax(queries @ items.T, axis=1).sum(),
        "norms": np.sum(items**2),
        "queries": QUERIES,
    }


def evaluate(batch=16, devices=1, **axes):
    config = toy_config()
    task = RetrievalTask(config, batch=batch)
    mesh = make_mesh({"data": 1, "fsdp": 1, "tensor": 1, **axes}, jax.devices()[:devices])
    evaluator = Evaluator(task, mesh)
    variables = jax.device_put(
        unboxed_init(task, jax.random.key(0)),
        jax.NamedSharding(mesh, jax.sharding.PartitionSpec()),
    )
    evaluator.compile(variables)
    return evaluator, variables


@pytest.mark.parametrize(
    ("batch", "axes"), [(16, {}), (8, {}), (16, {"data": 8}), (8, {"data": 2, "fsdp": 4})]
)
def test_every_record_has_its_row_whatever_the_batch_and_the_mesh(batch, axes):
    evaluator, variables = evaluate(batch, int(np.prod([*axes.values(), 1])), **axes)
    results, _ = evaluator.run(variables)
    expected = by_hand()
    assert results["retrieval/sum"] == expected["sum"]
    assert results["retrieval/queries"] == expected["queries"]
    np.testing.assert_allclose(results["retrieval/norms"], expected["norms"], rtol=1e-6)
    again, _ = evaluator.run(variables)
    assert again == results


def test_no_host_reads_an_output(monkeypatch):
    evaluator, variables = evaluate()
    fetched = []
    fetch = jax_array.ArrayImpl._value

    def value(self):
        fetched.append(self.shape)
        return fetch.fget(self)

    monkeypatch.setattr(jax_array.ArrayImpl, "_value", property(value))
    evaluator.run(variables)
    # What `finish` asks for itself, and nothing of a batch or a buffer.
    assert (QUERIES,) in fetched, "the watch sees what it should see"
    assert set(fetched) <= {(), (QUERIES,)}


def test_writing_a_batch_copies_no_buffer():
    config = toy_config()

    @dataclass(frozen=True)
    class Large(RetrievalTask):
        def evaluations(self):
            def outputs(variables, batch, rng):
                return jnp.tile(batch["x"], (1, 64))

            fields = {"x": jax.ShapeDtypeStruct((8, FEATURES), jnp.float32)}
            source = Source(Points(8000), 8, jitter)
            return {
                "large": Evaluation(
                    source=source,
                    batch_specs={"all": fields},
                    outputs=outputs,
                    accumulate=None,
                    finish=lambda *_: {},
                )
            }

    task = Large(config)
    mesh = make_mesh({"data": 8, "fsdp": 1, "tensor": 1}, jax.devices()[:8])
    evaluator = Evaluator(task, mesh)
    evaluator.compile(jax.eval_shape(lambda: unboxed_init(task, jax.random.key(0))))
    analysis = evaluator._keepers["large"]["all"].write.memory_analysis()
    buffer = 8000 * FEATURES * 64 * 4 // 8
    assert analysis.alias_size_in_bytes >= buffer
    assert analysis.temp_size_in_bytes < buffer / 4


def test_shards_of_it_are_refused(tmp_path):
    mesh = make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    evaluator = Evaluator(RetrievalTask(toy_config()), mesh)
    with pytest.raises(InputError, match="retrieval: its outputs stay on the devices"):
        evaluator.store({"params": {}}, StoredOutputs([tmp_path]), lambda steps: steps)
