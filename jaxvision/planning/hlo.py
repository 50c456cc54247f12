"""A compiled program's text: instructions, what calls what, and how often each part runs."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# Bits of an element.
BITS = {
    **{"pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16},
    **{"f16": 16, "bf16": 16, "s32": 32, "u32": 32, "f32": 32, "s64": 64, "u64": 64, "f64": 64},
    **{"c64": 64, "c128": 128, "f8e5m2": 8, "f8e4m3fn": 8, "f8e4m3": 8, "f8e4m3b11fnuz": 8},
}
ARRAY = re.compile(r"\b(" + "|".join(sorted(BITS, key=len, reverse=True)) + r")\[([\d,<=]*)\]")
HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|branch_computations|called_computations)="
    r"(\{[^}]*\}|%?[\w.\-]+)"
)
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# Newer compilers write part 2 of a tuple as `%name#2`, without a get-tuple-element.
OPERAND = re.compile(r"%([\w.\-]+(?:#[^\s,)]*)?)")
# An `async` operation names its computation three times.
LATER = ("async-update", "async-done")


class Array(NamedTuple):
    """One array of a shape: element type, sides, and whether it lies in fast memory on the chip."""

    dtype: str
    sides: tuple[int, ...]
    on_chip: bool = False

    @property
    def bytes(self) -> float:
        return math.prod(self.sides) * BITS[self.dtype] / 8


def arrays(shape: str) -> list[Array]:
    """The arrays of a (possibly tuple) shape as HLO writes it."""
    found = []
    for match in ARRAY.finditer(shape):
        sides = tuple(int(side.lstrip("<=")) for side in match[2].split(",") if side)
        layout = re.match(r"\{[^}]*\}", shape[match.end() :])
        on_chip = layout is not None and re.search(r"S\([1-9]", layout[0]) is not None
        found.append(Array(match[1], sides, on_chip))
    return found


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """name = shape opcode(operands), attributes."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    root: bool
    arguments: str  # between the parentheses, as written

    @property
    def arrays(self) -> list[Array]:
        return arrays(self.shape)

    @property
    def called(self) -> list[str]:
        names = []
        for match in CALLED.finditer(self.attributes):
            names += re.findall(r"[\w.\-]+", match[1])
        return names

    def attribute(self, name: str) -> str:
        """`{...}` or a word after `name=`; empty where there is none."""
        match = re.search(rf"\b{name}=(\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|[^,\s]+)", self.attributes)
        return match[1] if match else ""


@dataclass
class Module:
    """computations: {name: instructions by name, in order}.  entry: where the program starts."""

    computations: dict[str, dict[str, Instruction]] = field(default_factory=dict)
    entry: str = ""

    def executions(self) -> dict[str, float]:
        """How often each computation runs in one run of the program.

        A loop whose length is unknown counts once.
        """
        times: dict[str, float] = defaultdict(float)
        times[self.entry] = 1.0
        for name in self._callers_first():
            for instruction in self.computations[name].values():
                if instruction.opcode in LATER:
                    continue
                factor = times[name]
                if instruction.opcode == "while":
                    factor *= self.trips(instruction)
                for called in instruction.called:
                    times[called] += factor
        return dict(times)

    def _callers_first(self) -> list[str]:
        """Computations that the program reaches, each after all that call it."""
        order: list[str] = []
        seen: set[str] = set()

        def visit(name: str) -> None:
            seen.add(name)
            for instruction in self.computations.get(name, {}).values():
                for called in instruction.called:
                    if called not in seen and called in self.computations:
                        visit(called)
            order.append(name)

        visit(self.entry)
        return order[::-1]

    def trips(self, loop: Instruction) -> int:
        """How often a loop runs: as the compiler says, else from its counter, which starts at 0.

        1 where neither says.
        """
        known = TRIPS.search(loop.attributes)
        if known:
            return int(known[1])
        condition = self.computations.get(loop.attribute("condition").lstrip("%"), {})
        body = self.computations.get(loop.attribute("body").lstrip("%"), {})
        bounds = [i for i in condition.values() if i.opcode == "constant" and i.arguments.isdigit()]
        if len(bounds) != 1:
            return 1
        root = next(i for i in condition.values() if i.root)
        counters = [condition[name] for name in root.operands if condition[name] != bounds[0]]
        place = counters[0].attribute("index") if counters else ""
        result = next((i for i in body.values() if i.root and i.opcode == "tuple"), None)
        step = 1
        # A loop that the compiler has unrolled counts on by more than one.
        if result is not None and place.isdigit():
            step = max(_increment(body, result.operands[int(place)]), 1)
        return -(-int(bounds[0].arguments) // step)

    def running(self) -> Iterator[tuple[Instruction, str, float]]:
        """(instruction, its computation's name, how often it runs) of everything that runs."""
        times = self.executions()
        for name, instructions in self.computations.items():
            if times.get(name):
                for instruction in instructions.values():
                    yield instruction, name, times[name]

    def fused(self) -> set[str]:
        """Computations that are bodies of fusions or reductions, not a sequence of work."""
        return {
            called
            for instructions in self.computations.values()
            for instruction in instructions.values()
            if instruction.opcode not in ("while", "conditional", "call", "async-start", *LATER)
            for called in instruction.called
        }


def _increment(body: dict[str, Instruction], name: str) -> int:
    """By how much the counter `name` is greater than what the body began with."""
    total = 0
    while True:
        instruction = body[name]
        constants = [
            int(body[operand].arguments)
            for operand in instruction.operands
            if operand in body and body[operand].opcode == "constant"
        ]
        if instruction.opcode == "add" and len(constants) == 1:
            total += constants[0]
            name = next(o for o in instruction.operands if body[o].opcode != "constant")
        elif instruction.opcode in ("copy", "bitcast"):
            name = instruction.operands[0]
        else:
            return total


def parse(text: str) -> Module:
    """The module that `compiled.as_text()` describes."""
    module = Module()
    current: dict[str, Instruction] | None = None
    for line in text.splitlines():
        header = HEADER.match(line)
        if header:
            current = module.computations.setdefault(header[2], {})
            if header[1]:
                module.entry = header[2]
        elif line == "}" or line.startswith("}, execution_thread"):
            current = None  # other lines that begin so go on with an attribute
        elif current is not None:
            match = INSTRUCTION.match(line)
            if match:
                instruction = _instruction(match[2], match[3], bool(match[1]))
                for operand in instruction.operands:
                    if "#" in operand:
                        _add_part(current, operand)
                current[instruction.name] = instruction
    return module


def _add_part(scope: dict[str, Instruction], name: str) -> None:
    """The get-tuple-element that `name` ("whole#2") stands for."""
    whole, _, place = name.rpartition("#")
    if not place.isdigit():
        raise ValueError(f"no part of a tuple: %{name}")
    if name not in scope:
        if "#" in whole:
            _add_part(scope, whole)
        shape = _parts(scope[whole].shape)[int(place)]
        text = f"{shape} get-tuple-element(%{whole}), index={place}"
        scope[name] = _instruction(name, text, root=False)


def _parts(shape: str) -> list[str]:
    """The shapes within the tuple "(f32[8]{0}, (s32[], s32[]), /*index=2*/pred[])"."""
    parts, start, depth = [], 1, 0
    for place in range(1, len(shape)):
        if depth == 0 and shape[place] in ",)":
            parts.append(re.sub(r"/\*.*?\*/", "", shape[start:place]).strip())
            start = place + 1
        depth += (shape[place] in "([{") - (shape[place] in ")]}")
    return parts


def _instruction(name: str, text: str, root: bool) -> Instruction:
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    shape, rest = text[:end], text[end:].lstrip()
    start = rest.index("(")
    stop = _closing(rest, start)
    arguments = rest[start + 1 : stop - 1]
    return Instruction(
        name=name,
        shape=shape,
        opcode=rest[:start],
        operands=tuple(OPERAND.findall(arguments)),
        attributes=rest[stop:].lstrip(", "),
        root=root,
        arguments=arguments,
    )


def _closing(text: str, start: int) -> int:
    """The place after the parenthesis that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place + 1
    raise ValueError(f"unbalanced: {text[:80]}")
