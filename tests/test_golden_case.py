"""A runner that overlooks a part of a case's config fails by its name."""

import functools
import json

import numpy as np
import pytest

from golden_case import Case, Config, Runner

CONFIG = {"width": 8, "calls": {"plain": {"times": [0.5], "tta": None}}, "samples": [{"a": 1}]}


def case_of(tmp_path, config: dict) -> Case:
    meta = {
        "method": "toy",
        "component": "part",
        "config": config,
        "tolerance": 1e-6,
        "outputs": {"out": {"shape": [1], "dtype": "float32"}},
        "salt": "",
    }
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(tmp_path / "case.npz", meta=text, **{"output/out": np.ones(1, np.float32)})
    Config._read_of.clear()
    return Case(tmp_path / "case.npz")


def answer_after(read):
    def answer(case: Case) -> dict:
        read(case.config)
        return {"out": np.ones(1, np.float32)}

    return answer


@pytest.mark.parametrize(
    ("read", "missed"),
    [
        (lambda c: None, "width, calls, samples"),
        (lambda c: ("width" in c, list(c), c.keys()), "width, calls, samples"),
        (lambda c: (c["width"], c.get("calls"), c["samples"]), "calls.plain, samples.0.a"),
        (lambda c: (c["width"], c["calls"].items(), c["samples"][0]["a"]), "calls.plain.times, "),
        (lambda c: (c["width"], c["samples"][0].get("a"), c["calls"]["plain"]["tta"]), "times"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, read, missed):
    case = case_of(tmp_path, CONFIG)
    with pytest.raises(AssertionError, match=rf"case\.npz: .* read no .*{missed}"):
        Runner(answer_after(read), {}, {}).check(case)


def read_all(table: Config) -> None:
    for value in table.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Config):
                read_all(inner)


def test_what_is_read_fixed_or_ignored_passes(tmp_path):
    case = case_of(tmp_path, CONFIG)
    Runner(answer_after(read_all), {}, {}).check(case)
    case = case_of(tmp_path, CONFIG)
    ignores = {"calls.*.tta": "a toy", "samples": "a toy"}
    read = answer_after(lambda c: c["calls"]["plain"]["times"])
    Runner(read, {"width": 8, "elsewhere": 1}, ignores).check(case)
    case = case_of(tmp_path, CONFIG)
    with pytest.raises(AssertionError, match=r"config width is 8, we know 4"):
        Runner(read, {"width": 4}, ignores).check(case)


def test_a_cached_function_reads_for_all_equal_configs(tmp_path):
    @functools.cache
    def made_of(config: Config) -> int:
        return config["width"]

    for _ in range(2):
        config = case_of(tmp_path, {"width": 8}).config
        first, second = config, Config({"width": 8}, "part")
        assert made_of(first) == made_of(second)
        assert not second.unread()
        assert Config({"width": 8}, "other part").unread() == ["width"]
        made_of.cache_clear()


def test_a_copy_reads_all():
    Config._read_of.clear()
    config = Config({"a": 1, "b": 2}, "part")
    assert json.loads(json.dumps(config)) == {"a": 1, "b": 2}
    assert not config.unread()
    Config._read_of.clear()
    config = Config({"a": 1, "b": 2}, "part")
    assert dict(config) == {**config} == config | {} == {"a": 1, "b": 2}
    assert not config.unread()
