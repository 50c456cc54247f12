"""Compiled text as XLA writes it, in small."""

# Lines as long as XLA writes them.
# ruff: noqa: E501

import re

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from jaxvision.planning.collectives import axes_of, collectives, groups_of
from jaxvision.planning.hlo import arrays, parse
from jaxvision.planning.traffic import bytes_moved

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%all-reduce-scatter.1 (input: f32[8,128]) -> f32[2,128] {
  %input = f32[8,128]{1,0} parameter(0)
  %reduced = f32[8,128]{1,0} all-reduce(%input), channel_id=1, replica_groups={{0,1,2,3},{4,5,6,7}}, use_global_device_ids=true, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %part = f32[2,128]{1,0} dynamic-slice(%reduced, %zero, %zero), dynamic_slice_sizes={2,128}
}

%started (piece: bf16[16,32], a: bf16[64,32]) -> bf16[64,32] {
  %piece = bf16[16,32]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %a = bf16[64,32]{1,0} parameter(1)
  ROOT %gathered = bf16[64,32]{1,0} all-gather(%piece), channel_id=2, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}, frontend_attributes={chain_id="3"}
}

%continued (piece.1: bf16[16,32], a.1: bf16[64,32]) -> bf16[64,32] {
  %piece.1 = bf16[16,32]{1,0} parameter(0)
  %a.1 = bf16[64,32]{1,0} parameter(1)
  ROOT %gathered.1 = bf16[64,32]{1,0} all-gather(%piece.1), channel_id=2, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}, frontend_attributes={chain_id="3"}
}

%body (carried: (s32[], f32[8,128], bf16[16,32], bf16[64,32])) -> (s32[], f32[8,128], bf16[16,32], bf16[64,32]) {
  %carried = (s32[], f32[8,128]{1,0}, bf16[16,32]{1,0}, bf16[64,32]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%carried), index=0
  %f = f32[8,128]{1,0} get-tuple-element(%carried), index=1
  %p = bf16[16,32]{1,0} get-tuple-element(%carried), index=2, frontend_attributes={kernel_metadata={
"block": "256"
}}, metadata={op_name="kernel"}
  %w = bf16[64,32]{1,0} get-tuple-element(%carried), index=3
  %scattered = f32[2,128]{1,0} fusion(%f), kind=kCustom, calls=%all-reduce-scatter.1
  %begin = bf16[64,32]{1,0} fusion(%p, %w), kind=kCustom, calls=%started
  %end = bf16[64,32]{1,0} fusion(%p, %begin), kind=kCustom, calls=%continued
  %one = s32[] constant(1)
  %next = s32[] add(%i, %one)
  ROOT %out = (s32[], f32[8,128]{1,0}, bf16[16,32]{1,0}, bf16[64,32]{1,0}) tuple(%next, %f, %p, %end)
}

%condition (carried.1: (s32[], f32[8,128], bf16[16,32], bf16[64,32])) -> pred[] {
  %carried.1 = (s32[], f32[8,128]{1,0}, bf16[16,32]{1,0}, bf16[64,32]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%carried.1), index=0
  %end.1 = s32[] constant(10)
  ROOT %less = pred[] compare(%i.1, %end.1), direction=LT
}

ENTRY %main (first: (s32[], f32[8,128], bf16[16,32], bf16[64,32])) -> f32[8,128] {
  %first = (s32[], f32[8,128]{1,0}, bf16[16,32]{1,0}, bf16[64,32]{1,0}) parameter(0)
  %loop = (s32[], f32[8,128]{1,0}, bf16[16,32]{1,0}, bf16[64,32]{1,0}) while(%first), condition=%condition, body=%body
  %result = f32[8,128]{1,0} get-tuple-element(%loop), index=1
  %begun = f32[8,128]{1,0} all-reduce-start(%result), channel_id=4, replica_groups=[4,2]<=[2,4]T(1,0), use_global_device_ids=true, to_apply=%add
  ROOT %done = f32[8,128]{1,0} all-reduce-done(%begun)
}
"""


@pytest.fixture
def mesh():
    devices = np.array(jax.devices()[:8]).reshape(2, 4, 1)
    return Mesh(devices, ("data", "fsdp", "tensor"))


def test_collectives_by_axis_with_loops_multiplied(mesh):
    found = {c.kind: c for c in collectives(parse(PROGRAM), mesh)}
    scatter, gather, reduce = (
        found[kind] for kind in ("reduce-scatter", "all-gather", "all-reduce")
    )
    assert (scatter.axes, scatter.count, scatter.dtype) == (("fsdp",), 10, "f32")
    assert scatter.moved == 10 * 8 * 128 * 4 * 3 / 4
    # Spread over two fusions of the loop's body, and one collective all the same.
    assert (gather.axes, gather.count, gather.dtype) == (("fsdp",), 10, "bf16")
    assert gather.bytes == 10 * 64 * 32 * 2
    assert (reduce.axes, reduce.count) == (("data",), 1)
    assert reduce.moved == 2 * 8 * 128 * 4 / 2


def test_loops_are_counted_by_the_compilers_word_or_their_condition():
    assert parse(PROGRAM).executions()["body"] == 10
    told = PROGRAM.replace(
        "body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}'
    )
    assert parse(told).executions()["body"] == 7
    unrolled = PROGRAM.replace(
        "%next = s32[] add(%i, %one)",
        "%second = s32[] add(%i, %one)\n  %next = s32[] add(%second, %one)",
    )
    assert parse(unrolled).executions()["body"] == 5


def test_parts_of_tuples_may_be_written_without_an_instruction(mesh):
    parts = re.findall(r"  %(\S+) = \S+ get-tuple-element\((%\S+)\), index=(\d)", PROGRAM)
    short = PROGRAM
    for name, whole, place in parts:
        short = re.sub(rf"%{name}(?![\w.])(?! =)", f"{whole}#{place}", short)
    short = re.sub(r"\n  %\S+ = \S+ get-tuple-element\([^\n]*", "", short)
    assert len(parts) == 6
    assert "get-tuple-element" not in short
    assert "%carried#3" in short
    assert bytes_moved(parse(short)) == bytes_moved(parse(PROGRAM))
    assert collectives(parse(short), mesh) == collectives(parse(PROGRAM), mesh)
    assert parse(short).executions() == parse(PROGRAM).executions()
    nested = """\
ENTRY %main (p: (f32[2], (f32[4,8], s32[3]))) -> f32[4,8] {
  %p = (f32[2]{0}, /*index=1*/(f32[4,8]{1,0:T(8,128)}, s32[3]{0})) parameter(0)
  ROOT %r = f32[4,8]{1,0} add(%p#1#0, %p#1#0)
}
"""
    assert bytes_moved(parse(nested)) == 3 * 4 * 4 * 8
    with pytest.raises(ValueError, match=r"no part of a tuple: %p#\{1"):
        parse(nested.replace("%p#1#0", "%p#{1,0}"))


def test_the_order_of_the_text_does_not_matter(mesh):
    head, *parts = PROGRAM.split("\n\n")
    backwards = "\n\n".join([head, *(part.strip("\n") for part in parts[::-1])]) + "\n"
    assert collectives(parse(backwards), mesh) == collectives(parse(PROGRAM), mesh)
    assert bytes_moved(parse(backwards)) == bytes_moved(parse(PROGRAM)) > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{0,4},{1,5},{2,6},{3,7}}", ("data",)),
        ("[2,4]<=[8]", ("fsdp",)),
        ("[1,8]<=[8]", ("data", "fsdp")),
        ("[4,2]<=[2,4]T(1,0)", ("data",)),
        ("mesh['a'=2,'b'=4] {'a'}", ("data",)),
        ("mesh['a'=2,'b'=4] {'b':(1)2}", ("fsdp",)),
        ("mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'c'}", ("data",)),
        ("mesh['a'=2,'b'=4] {'a','b'}", ("data", "fsdp")),
    ],
)
def test_every_way_to_write_groups(text, expected, mesh):
    line = f"  %r = f32[4]{{0}} all-reduce(%x), channel_id=1, replica_groups={text}, metadata={{}}"
    program = "ENTRY %main () -> f32[4] {\n" + line + "\n}\n"
    (instruction,) = parse(program).computations["main"].values()
    assert axes_of(groups_of(instruction, 8), mesh) == expected


def test_permutations_name_the_axis_they_go_along(mesh):
    program = (
        "ENTRY %main () -> f32[4] {\n  ROOT %r = f32[4]{0} collective-permute(%x), channel_id=1, "
        "source_target_pairs={{0,1},{1,2},{2,3},{3,0},{4,5},{5,6},{6,7},{7,4}}\n}\n"
    )
    (found,) = collectives(parse(program), mesh)
    assert (found.axes, found.moved) == (("fsdp",), 16)


def test_shapes():
    parts = arrays("(bf16[1,512]{1,0:T(2,128)(2,1)S(1)}, f32[]{:T(128)}, s4[8]{0:T(8)})")
    assert [(p.dtype, p.bytes, p.on_chip) for p in parts] == [
        ("bf16", 1024, True),
        ("f32", 4, False),
        ("s4", 4, False),
    ]


def test_bytes_of_slices_and_of_updates_in_place():
    program = """\
%slice (table: f32[100,64], at: s32[]) -> f32[1,64] {
  %table = f32[100,64]{1,0} parameter(0)
  %at = s32[]{:S(6)} parameter(1)
  ROOT %row = f32[1,64]{1,0} dynamic-slice(%table, %at, %at), dynamic_slice_sizes={1,64}
}

%update (all: f32[100,64], row.1: f32[1,64], at.1: s32[]) -> f32[100,64] {
  %all = f32[100,64]{1,0} parameter(0)
  %row.1 = f32[1,64]{1,0} parameter(1)
  %at.1 = s32[]{:S(6)} parameter(2)
  ROOT %new = f32[100,64]{1,0} dynamic-update-slice(%all, %row.1, %at.1, %at.1)
}

ENTRY %main (t: f32[100,64], i: s32[]) -> f32[100,64] {
  %t = f32[100,64]{1,0} parameter(0)
  %i = s32[]{:S(6)} parameter(1)
  %r = f32[1,64]{1,0} fusion(%t, %i), kind=kLoop, calls=%slice
  %e = f32[1,64]{1,0:S(1)} exponential(%r)
  ROOT %u = f32[100,64]{1,0} fusion(%t, %e, %i), kind=kLoop, calls=%update
}
"""
    row = 64 * 4
    assert bytes_moved(parse(program)) == (row + row) + row + row
