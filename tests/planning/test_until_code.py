"""Compilations that end when memory is assigned, and what a compiler writes of it."""

import dataclasses
import os

import pytest

from jaxvision.errors import InputError
from jaxvision.planning.compile import abstract_program
from jaxvision.planning.topologies import describe, parse
from jaxvision.planning.until_code import allocated, build_until_code
from jaxvision.registry import load_config, make_task
from processes import SMALL

ASSIGNED = """BufferAssignment:
allocation 0: size 4096, page 0, parameter 641, shape |f32[32,32]| at ShapeIndex {}, maybe-live-out:
 value: <33957 param.693 @0> (size=4096,offset=0): f32[32,32]{1,0:T(8,128)}
allocation 1: size 512, page 0, parameter 2, shape |f32[128]| at ShapeIndex {}:
allocation 2: size 16, page 0, thread-local:
allocation 3: size 1024, page 0, color 1, preallocated-temp:
allocation 6: size 256, page 0, constant:
allocation 4: size 8, page 0, maybe-live-out:
allocation 5: size 65536, page 0, preallocated-temp:
 value: <37240 fusion.1 @0> (size=9999,offset=0): f32[32,32]{1,0:T(8,128)}
"""


def test_what_lies_in_a_devices_memory_is_counted():
    assert allocated(ASSIGNED, "tpu") == (4608, 65544)
    # A GPU's colours are all of its one memory.
    assert allocated(ASSIGNED, "cuda") == (4608, 65544 + 1024)
    with pytest.raises(ValueError, match="no argument"):
        allocated(ASSIGNED.replace("parameter", "argument"), "tpu")


def ending(config):
    """Called in the compiler's process."""
    os._exit(3)


@pytest.mark.xdist_group("tpu_compiler")
def test_a_compiler_that_ends_its_process_is_one_line():
    config = load_config("videomae/demo", [option.removeprefix("--config.") for option in SMALL])
    machine = parse("v5e:1x1")
    program = abstract_program(config, make_task, machine, describe(machine))
    program = dataclasses.replace(program, make_task=ending)
    with pytest.raises(InputError, match=r"'v5e:1x1': the compiler ended.*exit status 3"):
        build_until_code(program, program.buckets[0])
