import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxvision.errors import InputError
from jaxvision.training.mesh import make_mesh
from jaxvision.training.sharding import check_batch, partition, place, rows_of_host


def spec(shape, names, **axes):
    mesh = make_mesh({"data": -1, "fsdp": 1, "tensor": 1, **axes})
    return partition("w", shape, names, mesh)


def test_axes_follow_the_table():
    found, fallbacks = spec((8, 6, 4), ("layers", "embed", "mlp"), fsdp=2, tensor=2)
    assert found == P(None, ("fsdp",), ("tensor",))
    assert not fallbacks


def test_an_axis_that_does_not_divide_moves_to_the_largest_that_does():
    # ViT-g's decoder: 2234 = 2 x 1117 does not divide by 4; its 512 inputs do.
    found, (fallback,) = spec((512, 2234), ("embed", "mlp"), tensor=4)
    assert found == P(("tensor",), None)
    assert str(fallback) == "w (512, 2234): mlp does not divide by 4; split on dimension 0"


def test_layers_are_never_split():
    found, (fallback,) = spec((4, 3), ("layers", "heads"), tensor=4)
    assert found == P(None, None)
    assert str(fallback).endswith("heads does not divide by 4; replicated")


def test_two_axes_never_share_a_dimension():
    found, fallbacks = spec((6, 8), ("embed", "mlp"), fsdp=4, tensor=2)
    assert found == P(None, ("tensor",))
    assert len(fallbacks) == 1


def test_batches_lie_by_row_over_data_and_fsdp():
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    array = np.arange(24).reshape(8, 3)
    placed = place({"x": array}, mesh, 8)["x"]
    np.testing.assert_array_equal(placed, array)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}
    assert rows_of_host(mesh, 8) == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_a_batch_the_mesh_does_not_divide_is_refused():
    mesh = make_mesh({"data": 4, "fsdp": 2, "tensor": 1})
    specs = {"clips": {"video": jax.ShapeDtypeStruct((12, 4), np.uint8)}}
    with pytest.raises(InputError, match=r"batch of 12 \(bucket 'clips'\) does not divide .* = 8"):
        check_batch(specs, mesh)
    specs["clips"] = {
        "video": jax.ShapeDtypeStruct((8,), np.uint8),
        "label": jax.ShapeDtypeStruct((4,), np.uint8),
    }
    with pytest.raises(InputError, match=r"leading axes differ: \{'video': 8, 'label': 4\}"):
        check_batch(specs, mesh)
