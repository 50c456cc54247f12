"""Counted operations against XLA's own count, where that can be believed, and by hand."""

import jax
import jax.numpy as jnp
import pytest

from jaxvision.planning.flops import count, valid_places
from jaxvision.planning.hlo import parse
from jaxvision.planning.traffic import multiply_adds


def gradients(function, *shapes):
    def loss(*arguments):
        return jnp.sum(jnp.square(function(*arguments)))

    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(jax.grad(loss, argnums=range(len(shapes)))).trace(*arguments)


def attention(x, w):
    q, k, v = jnp.split(jnp.einsum("bnd,de->bne", x, w), 3, axis=-1)
    scores = jnp.einsum("bnd,bmd->bnm", q, k)
    return jnp.einsum("bnm,bmd->bnd", jax.nn.softmax(scores), v)


def strided(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (2, 1), "SAME", rhs_dilation=(1, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def grouped(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (1,), [(1, 1)], feature_group_count=4, dimension_numbers=("NWC", "WIO", "NWC")
    )


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (attention, [(2, 96, 256), (256, 768)]),
        (strided, [(2, 20, 18, 64), (3, 3, 64, 128)]),
        (grouped, [(2, 32, 64), (3, 16, 64)]),
    ],
    ids=["attention", "strided", "grouped"],
)
def test_xla_counts_the_same(function, shapes):
    traced = gradients(function, *shapes)
    compiled = traced.lower().compile()
    # XLA adds elementwise work, of which these have under 2 %.
    assert compiled.cost_analysis()["flops"] == pytest.approx(count(traced.jaxpr), rel=0.02)


def test_the_compiled_text_counts_the_same():
    traced = gradients(attention, (2, 16, 32), (32, 96))
    text = traced.lower().compile(compiler_options={"xla_cpu_use_onednn": False}).as_text()
    assert multiply_adds(parse(text)) == count(traced.jaxpr)


def test_scans_count_by_their_length_and_recomputation_counts():
    def layer(x, w):
        return jnp.tanh(x @ w), None

    def network(remat, x, w):
        body = jax.checkpoint(layer) if remat else layer
        return jax.lax.scan(body, x, w)[0]

    shapes = (8, 16), (5, 16, 16)
    product = 2 * 5 * 8 * 16 * 16
    plain = gradients(lambda x, w: network(False, x, w), *shapes)
    assert count(plain.jaxpr) == 3 * product
    again = gradients(lambda x, w: network(True, x, w), *shapes)
    assert count(again.jaxpr) == 4 * product


def test_padding_and_dilation_meet_fewer_places():
    whole = dict(stride=1, padding=0, input_dilation=1, kernel_dilation=1)
    assert valid_places(5, 3, 3, **whole) == 9
    assert valid_places(5, 3, 5, **{**whole, "padding": 1}) == 13
    assert valid_places(3, 3, 5, **{**whole, "padding": 1, "input_dilation": 2}) == 3 + 4
