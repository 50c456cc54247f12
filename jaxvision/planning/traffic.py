"""Bytes that a compiled program moves to and from a chip's memory, and its multiply-adds there.

XLA counts a loop's body once; here it counts as often as it runs.
"""

import math
import re

from jaxvision.planning.collectives import KINDS, transferred
from jaxvision.planning.flops import valid_places
from jaxvision.planning.hlo import Array, Instruction, Module

# These name memory, or wait for what another operation has started; they move nothing.
FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("call", "after-all", "partition-id", "replica-id", "opt-barrier", "domain", "iota"),
    *("async-update", "add-dependency"),
}
SLICES = ("dynamic-slice", "slice", "gather")


def bytes_moved(module: Module) -> float:
    """Bytes read and written in the chip's main memory by one run, per chip.

    Each operation outside a fusion reads its operands and writes its result once. Arrays that the
    compiler keeps in fast memory are free. Of what is only sliced the slice counts.
    """
    fused = module.fused()
    times = module.executions()
    total = 0.0
    for name, instructions in module.computations.items():
        if name in fused or not times.get(name):
            continue
        moved = sum(_moved(i, instructions, module) for i in instructions.values())
        total += times[name] * moved
    return total


def _moved(instruction: Instruction, scope: dict[str, Instruction], module: Module) -> float:
    opcode = instruction.opcode
    if opcode in FREE or opcode.endswith("-done"):
        return 0.0
    operands = [scope[name] for name in instruction.operands if name in scope]
    if opcode.endswith("-start"):
        # Its shape is (what it reads, what it will have written, numbers to wait by).
        written = transferred(instruction)
        size = sum(part.bytes for part in written)
        from_memory = any(not part.on_chip for operand in operands for part in operand.arrays)
        return in_memory(written) + size * from_memory
    results = instruction.arrays
    if opcode == "custom-call":
        results = [part for part in results if part.dtype != "s8"]  # cuBLAS's workspace
    written_bytes = in_memory(results)
    if opcode == "fusion":
        body = module.computations[instruction.called[0]]
        read = sum(
            min(in_memory(operand.arrays), read_of(body, number, module))
            for number, operand in enumerate(operands)
        )
        return read + min(written_bytes, written_by(body))
    read = sum(in_memory(operand.arrays) for operand in operands)
    if opcode in SLICES:
        read = min(read, written_bytes)
    elif opcode == "dynamic-update-slice" and len(operands) > 1:
        read = written_bytes = in_memory(operands[1].arrays)
    return read + written_bytes


def in_memory(parts: list[Array]) -> float:
    return sum(part.bytes for part in parts if not part.on_chip)


def read_of(body: dict[str, Instruction], number: int, module: Module) -> float:
    """Bytes a fusion reads of its operand `number`; infinite where it reads all."""
    for parameter in body.values():
        if parameter.opcode == "parameter" and parameter.arguments == str(number):
            break
    else:
        return math.inf
    total = 0.0
    for user, name in readers(body, parameter.name):
        if user.opcode in SLICES and user.operands[0] == name:
            total += sum(part.bytes for part in user.arrays)
        elif user.opcode == "fusion":
            inner = module.computations[user.called[0]]
            places = [n for n, operand in enumerate(user.operands) if operand == name]
            total += sum(read_of(inner, place, module) for place in places)
        elif user.opcode == "dynamic-update-slice" and user.operands[0] == name:
            continue  # written in place
        elif (user.opcode == "tuple" and user.root) or user.opcode in KINDS:
            continue  # handed on, or sent while the fusion computes
        else:
            return math.inf
    return total


def readers(body: dict[str, Instruction], name: str) -> list[tuple[Instruction, str]]:
    """(instruction that reads `name`, name it reads by); bitcasts are seen through."""
    found = []
    for user in body.values():
        if name in user.operands:
            found += readers(body, user.name) if user.opcode == "bitcast" else [(user, name)]
    return found


def written_by(body: dict[str, Instruction]) -> float:
    """Bytes of main memory a fusion writes: of an update in place, the update."""
    root = next((i for i in body.values() if i.root), None)
    if root is None:
        return math.inf
    results = [root.name] if root.opcode != "tuple" else list(root.operands)
    total = 0.0
    for name in results:
        result = body[name]
        while result.opcode == "bitcast":
            result = body[result.operands[0]]
        if result.opcode == "dynamic-update-slice":
            total += sum(part.bytes for part in body[result.operands[1]].arrays)
        elif result.opcode != "parameter" and result.opcode not in KINDS:
            total += in_memory(result.arrays)
    return total


def multiply_adds(module: Module) -> float:
    """Floating-point operations (two per multiply-add) of the matrix products and convolutions of
    one run, per chip: what the compiler made of them, recomputation and replication included."""
    total = 0.0
    for instruction, name, times in module.running():
        scope = module.computations[name]
        if instruction.opcode == "dot":
            total += times * _dot(instruction, scope)
        elif instruction.opcode == "convolution":
            total += times * _convolution(instruction, scope)
    return total


def _sides(scope: dict[str, Instruction], name: str) -> tuple[int, ...]:
    return scope[name].arrays[0].sides


def _dot(instruction: Instruction, scope: dict[str, Instruction]) -> float:
    left = _sides(scope, instruction.operands[0])
    contracted = re.findall(r"\d+", instruction.attribute("lhs_contracting_dims"))
    out = math.prod(instruction.arrays[0].sides)
    return 2.0 * out * math.prod(left[int(d)] for d in contracted)


def _convolution(instruction: Instruction, scope: dict[str, Instruction]) -> float:
    left, right = (_sides(scope, name) for name in instruction.operands[:2])
    out = instruction.arrays[0].sides
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    assert labels is not None, instruction
    lhs, rhs, result = labels.groups()
    window = _window(instruction.attribute("window"))
    places = 1
    for side in (c for c in lhs if c.isdigit()):
        number = int(side)
        places *= valid_places(
            left[lhs.index(side)],
            right[rhs.index(side)],
            out[result.index(side)],
            stride=window["stride"][number],
            padding=window["pad"][number],
            input_dilation=window["lhs_dilate"][number],
            kernel_dilation=window["rhs_dilate"][number],
        )
    taken = right[rhs.index("i")]
    return 2.0 * out[result.index("b")] * out[result.index("f")] * taken * places


class _WindowDefaults(dict):
    def __missing__(self, key: str) -> list[int]:
        return [0 if key == "pad" else 1] * 16


def _window(text: str) -> dict[str, list[int]]:
    """{"size": [...], "stride": [...], "pad": [low ...], ...} of `{size=3x3 pad=1_1x1_1}`."""
    found = _WindowDefaults()
    for name, values in re.findall(r"(\w+)=([\d_x\-]+)", text):
        found[name] = [int(value.split("_")[0]) for value in values.split("x")]
    return found
