import jax
import pytest

from jaxvision.errors import InputError
from jaxvision.training.mesh import make_mesh, resolve


@pytest.mark.parametrize(
    ("axes", "expected"),
    [((-1, 1, 1), (8, 1, 1)), ((2, -1, 2), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))],
)
def test_minus_one_takes_what_is_left(axes, expected):
    sizes = dict(zip(("data", "fsdp", "tensor"), axes, strict=True))
    mesh = make_mesh(sizes)
    assert tuple(mesh.shape.values()) == expected
    assert mesh.axis_names == ("data", "fsdp", "tensor")
    assert len(set(mesh.devices.flat)) == len(jax.devices()) == 8


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ((16, 1, 1), "mesh data=16, fsdp=1, tensor=1 needs 16 devices or a divisor of 8; 8 found"),
        ((-1, 3, 1), "mesh data=-1, fsdp=3, tensor=1 needs 3 devices or a divisor of 8; 8 found"),
        ((-1, -1, 1), "one of them may be -1"),
        ((0, 1, 1), "sizes must be at least 1"),
    ],
)
def test_a_mesh_the_machine_cannot_fill_is_refused(axes, message):
    with pytest.raises(InputError, match=message):
        resolve(dict(zip(("data", "fsdp", "tensor"), axes, strict=True)), 8)
