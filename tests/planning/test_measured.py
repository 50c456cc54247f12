"""Runs beside plans, with no compiler: the workdirs are written as the engine writes them."""

import json
from pathlib import Path

import pytest

from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.planning.measured import MeasuredRun
from jaxvision.planning.plan import Plan
from jaxvision.planning.topologies import kind_of, parse
from jaxvision.training.config import as_json, load_config

RECIPE = "videomae/demo"
NODE = ["NVIDIA H100 80GB HBM3"] * 8


def workdir_of(path: Path, devices: list[str], *overrides: str, seconds: float = 0.5) -> Path:
    """A run that stopped, was started again at step 40 and took `seconds` a step from there."""
    starts = ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]
    again = 1767312000.0
    rows = [{"step": 20 * n, "time": again - 9999 + n, "loss": 1.0} for n in range(3)]
    rows += [
        {"step": step, "time": again + seconds * step, "loss": 1.0, "device_memory_peak": 2.0**30}
        for step in (41, 60, 80, 100)
    ]
    rows[-1]["time"] += 30  # an evaluation came between
    rows.insert(-1, {"step": 80, "time": again + 60, "evaluate/top1": 1.0})
    (path / "config.json").write_text(json.dumps(as_json(load_config(RECIPE, list(overrides)))))
    lines = [json.dumps({"time": time, "devices": devices}) for time in starts]
    (path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def plan(topology: str = "h100:8", **mesh: int) -> Plan:
    return Plan(
        topology=topology,
        mesh={"data": 8, "fsdp": 1, "tensor": 1} | mesh,
        bucket="clips",
        changes={},
        fits=True,
        parameters=1,
        chips=8,
        hosts=1,
        samples=32,
        memory={},
        peak=1.0,
        capacity=2.0,
        counted_flops=None,
        executed_flops=1.0,
    )


def test_the_last_start_is_measured_between_its_logs(tmp_path):
    run = MeasuredRun.read(workdir_of(tmp_path, NODE))
    assert (run.seconds, run.peak) == (pytest.approx(1.25), 2.0**30)  # 0.5 and 2.0
    found = run.compare(plan(), parse("h100:8"), load_config(RECIPE, ["log.every_steps=7"]))
    assert (found.measured_seconds, found.measured_peak) == (run.seconds, run.peak)


def test_a_chip_of_two_devices_has_the_memory_of_both(tmp_path):
    run = MeasuredRun.read(workdir_of(tmp_path, ["TPU7x"] * 8))
    assert run.compare(plan(), parse("tpu7x:2x2x1"), load_config(RECIPE)).measured_peak == 2.0**31


def test_another_machine_gets_nothing_and_must_not_be_the_only_one(tmp_path):
    run = MeasuredRun.read(workdir_of(tmp_path, NODE))
    assert run.compare(plan(), parse("h200:8"), load_config(RECIPE)) == plan()
    run.check_was_on_one_of([parse("h200:8"), parse("h100:8")])
    with pytest.raises(
        InputError, match="ran on 8 x NVIDIA H100 80GB HBM3, which is none of v5e:2x4"
    ):
        run.check_was_on_one_of([parse("v5e:2x4"), parse("2xh100:8")])


def test_another_step_is_refused_with_the_difference(tmp_path):
    run = MeasuredRun.read(workdir_of(tmp_path, NODE))
    with pytest.raises(InputError, match=r"not the planned step: train.batch_size: \d+ -> 96"):
        run.compare(plan(), parse("h100:8"), load_config(RECIPE, ["train.batch_size=96"]))
    with pytest.raises(InputError, match=r"mesh: .*'data': 8.* -> .*'fsdp': 8"):
        run.compare(plan(data=1, fsdp=8), parse("h100:8"), load_config(RECIPE))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run's workdir \(config.json is missing\)"):
        MeasuredRun.read(tmp_path)
    workdir = workdir_of(tmp_path, NODE)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    (workdir / "metrics.jsonl").write_text("\n".join(lines[:5]))
    with pytest.raises(InputError, match="logged less than three times"):
        MeasuredRun.read(workdir)


def test_a_search_is_refused_beside_a_run(capsys, tmp_path):
    options = ["--topology=v5e:2x4", "--search", f"--measured={tmp_path}"]
    assert main(["plan", f"--config={RECIPE}", *options]) == 2
    assert "--measured stands beside one plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("TPU v5", "v5p"),
        ("TPU v5 lite", "v5e"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 PCIe", "h100"),
        ("cpu", None),
    ],
)
def test_chips_by_the_name_that_jax_gives_them(device, kind):
    assert kind_of(device) == kind
