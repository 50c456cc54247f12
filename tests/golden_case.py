"""One golden case: its weights and inputs by the published rule, and how outputs are compared."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np


class Case:
    """A `<method>/<case>.npz` in the documented format (tests/goldens/README.md)."""

    def __init__(self, path: Path):
        self.path = path
        with np.load(path, allow_pickle=False) as stored:
            self._arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(self._arrays.pop("meta").tobytes().decode())
        self.method: str = meta["method"]
        self.component: str = meta["component"]
        self.config: dict = meta["config"]
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


Runner = Callable[[Case], Mapping[str, object]]
RUNNERS: dict[tuple[str, str], Runner] = {}


def runner(method: str, *components: str) -> Callable[[Runner], Runner]:
    """Register a function that answers every case of these components of a method."""

    def register(function: Runner) -> Runner:
        for component in components:
            RUNNERS[method, component] = function
        return function

    return register
