"""One golden case: its weights and inputs by the published rule, and how outputs are compared."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np


class Config(dict):
    """A case's `config`, or a table in it, that knows which of its keys were read.

    Tests of `in` read nothing; whole iterations read all. Equal tables of one component share what
    was read of them, and are one key of a cache: what a cached function reads counts for all.
    """

    _read_of: ClassVar[dict[tuple[str, str], set[str]]] = {}

    def __init__(self, table: Mapping[str, Any], component: str):
        super().__init__((key, _known(value, component)) for key, value in table.items())
        self._identity = (component, json.dumps(table, sort_keys=True))
        self._read = self._read_of.setdefault(self._identity, set())

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._identity == other._identity

    def __iter__(self) -> Iterator[str]:  # without it `dict(config)` reads behind our back
        return super().__iter__()

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401

    def items(self):
        return [(key, self[key]) for key in self]

    def values(self):
        return [self[key] for key in self]

    def unread(self) -> list[str]:
        """ "a" of every key that was not read, "a.b" of those in tables that were."""
        missed = []
        for key in self:
            value = dict.__getitem__(self, key)
            if key not in self._read:
                missed.append(key)
                continue
            within = enumerate(value) if isinstance(value, list) else [("", value)]
            for number, table in within:
                if isinstance(table, Config):
                    place = f"{key}.{number}." if number != "" else f"{key}."
                    missed += [place + name for name in table.unread()]
        return missed


def _known(value: Any, component: str) -> Any:
    if isinstance(value, dict):
        return Config(value, component)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [_known(item, component) for item in value]
    return value


class Case:
    """A `<method>/<case>.npz` in the documented format (tests/goldens/README.md)."""

    def __init__(self, path: Path):
        self.path = path
        with np.load(path, allow_pickle=False) as stored:
            self._arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(self._arrays.pop("meta").tobytes().decode())
        self.method: str = meta["method"]
        self.component: str = meta["component"]
        self.config = Config(meta["config"], self.component)
        self.tolerance: float = meta["tolerance"]
        self.notes: str = meta.get("notes", "")
        self.outputs: dict[str, dict] = meta["outputs"]
        self.weight_shapes: dict[str, tuple[int, ...]] = {
            name: tuple(shape) for name, shape in meta.get("weights", {}).items()
        }
        self._salt: str = meta["salt"]
        self._rule_inputs: dict[str, dict] = meta.get("rule_inputs", {})

    @staticmethod
    def read_meta(path: Path) -> dict | None:
        """The case's meta, or None for an npz that is no golden case."""
        with np.load(path, allow_pickle=False) as stored:
            if "meta" not in stored.files:
                return None
            return json.loads(stored["meta"].tobytes().decode())

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(zlib.crc32((self._salt + name).encode())))

    def weight(self, name: str) -> np.ndarray:
        """The official tensor `name`, by the weight rule or as overridden."""
        if f"override/{name}" in self._arrays:
            return self._arrays[f"override/{name}"]
        shape, last = self.weight_shapes[name], name.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            return np.zeros(shape, np.int64)
        n = self._generator(name).standard_normal(shape)
        if last == "running_var":
            n = 1 + 0.1 * np.abs(n)
        elif last == "running_mean":
            n = 0.1 * n
        elif len(shape) >= 2:
            n = n / np.sqrt(np.prod(shape[1:]))
        elif last == "weight":
            n = 1 + 0.1 * n
        else:
            n = 0.1 * n
        return np.asarray(n, np.float32)

    def state_dict(self) -> dict[str, np.ndarray]:
        """All official tensors, in the reference's order."""
        return {name: self.weight(name) for name in self.weight_shapes}

    def has_input(self, name: str) -> bool:
        return f"input/{name}" in self._arrays or name in self._rule_inputs

    def input_names(self) -> list[str]:
        stored = [n.removeprefix("input/") for n in self._arrays if n.startswith("input/")]
        return stored + list(self._rule_inputs)

    def input(self, name: str) -> np.ndarray:
        """The input `name`, stored or by the input rule. KeyError where the case has none."""
        if f"input/{name}" in self._arrays:
            return self._arrays[f"input/{name}"]
        rule = self._rule_inputs[name]
        generator = self._generator("input:" + name)
        if rule["kind"] == "normal":
            return generator.standard_normal(rule["shape"]).astype(np.float32)
        low, high = rule.get("low", 0.0), rule.get("high", 1.0)
        return (low + (high - low) * generator.random(rule["shape"])).astype(np.float32)

    def expected(self, name: str) -> np.ndarray:
        """A stored output: for what a case tells of its inputs by its outputs alone."""
        return self._arrays[f"output/{name}"]

    def check(self, answers: Mapping[str, object]) -> None:
        """Compare `answers` with every output of the case; AssertionError names all that differ."""
        wrong = list(self._differences(answers))
        assert not wrong, f"{self.path.name}: " + "; ".join(wrong)

    def _differences(self, answers: Mapping[str, object]) -> Iterator[str]:
        for name, expected in self.outputs.items():
            if name not in answers:
                yield f"{name}: the runner gives no such output"
                continue
            got = np.asarray(answers[name])
            if list(got.shape) != list(expected["shape"]):
                yield f"{name}: shape {got.shape}, expected {tuple(expected['shape'])}"
                continue
            if f"output/{name}" in self._arrays:
                want = self._arrays[f"output/{name}"]
            else:
                want = self._arrays[f"sample/{name}"]
                if problem := self._compare(
                    np.linalg.norm(got.astype(np.float64)), np.float64(expected["l2"]), "float64"
                ):
                    yield f"{name} (l2 of the whole): {problem}"
                got = got.ravel()[:: expected["stride"]]
            if problem := self._compare(got, want, expected["dtype"]):
                yield f"{name}: {problem}"

    def _compare(self, got: np.ndarray, want: np.ndarray, dtype: str) -> str | None:
        if want.dtype == np.uint8 and want.ndim >= 3 and want.shape[-1] == 3:  # pictures
            off = np.abs(got.astype(np.int64) - want.astype(np.int64)).max(initial=0)
            return f"pixels differ by up to {off}" if off > 1 else None
        if not np.issubdtype(np.dtype(dtype), np.floating):
            return None if np.array_equal(got, want) else "not equal"
        if not np.isfinite(got.astype(np.float64)).all():
            return "not finite"
        scale = np.linalg.norm(want.astype(np.float64)) or 1.0
        error = np.linalg.norm(got.astype(np.float64) - want.astype(np.float64)) / scale
        return (
            f"relative error {error:.2e} > {self.tolerance:.0e}" if error > self.tolerance else None
        )


Answer = Callable[[Case], Mapping[str, object]]


class Runner(NamedTuple):
    """answer: the outputs of a case.  fixed: {config key: the one value that this project knows}.
    ignores: {config key, or a pattern such as "calls.*.note": why it says nothing to a runner}."""

    answer: Answer
    fixed: Mapping[str, Any]
    ignores: Mapping[str, str]

    def check(self, case: Case) -> None:
        """AssertionError where an answer differs, or the runner overlooked a key of the config."""
        for key in self.fixed.keys() & case.config.keys():
            value, known = (json.dumps(x[key], sort_keys=True) for x in (case.config, self.fixed))
            assert value == known, f"{case.path.name}: config {key} is {value}, we know {known}"
        case.check(self.answer(case))
        missed = [
            key
            for key in case.config.unread()
            if not any(fnmatchcase(key, pattern) for pattern in self.ignores)
        ]
        assert not missed, (
            f"{case.path.name}: the runner of {case.component!r} read no {', '.join(missed)} of "
            "the config: read it, or name it in `fixed` or `ignores`"
        )


RUNNERS: dict[tuple[str, str], Runner] = {}


def runner(
    method: str,
    *components: str,
    fixed: Mapping[str, Any] | None = None,
    ignores: Mapping[str, str] | None = None,
) -> Callable[[Answer], Answer]:
    """Register a function that answers every case of these components of a method."""

    def register(answer: Answer) -> Answer:
        for component in components:
            RUNNERS[method, component] = Runner(answer, fixed or {}, ignores or {})
        return answer

    return register
