"""The verb on a small recipe, under the real TPU compiler."""

import json

import pytest
from PIL import Image

from jaxvision.cli.main import main
from jaxvision.planning import topologies
from jaxvision.planning.compile import exhausted

DEMO = ["plan", "--config=videomae/demo"]
# Too wide for one chip of 16 GB, and for eight where each holds all of the state.
WIDE = ["--config.model.width=6144", "--config.model.heads=48", "--config.train.batch_size=8"]
pytestmark = pytest.mark.xdist_group("tpu_compiler")


def planned(capsys, *options):
    assert main([*DEMO, *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *options):
    assert main([*DEMO, *options]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_a_plan_as_json_and_as_a_picture(capsys, tmp_path):
    options = ["--topology=v5e:2x4", "--config.mesh.fsdp=4", "--price=1.2", "--decode-rate=4000"]
    (plan,) = planned(capsys, *options, f"--picture={tmp_path / 'memory.png'}")
    assert plan["fits"]
    assert plan["mesh"] == {"data": 2, "fsdp": 4, "tensor": 1}
    assert plan["peak"] == pytest.approx(sum(plan["memory"].values()))
    # Four bytes a parameter, over four chips (but for a mask token and biases).
    assert plan["memory"]["parameters"] == pytest.approx(plan["parameters"], rel=0.02)
    assert plan["compiled_flops"] * 8 == pytest.approx(plan["executed_flops"], rel=0.01)
    gather, scatter = (
        next(c for c in plan["collectives"] if c["kind"] == kind)
        for kind in ("all-gather", "reduce-scatter")
    )
    assert gather["axes"] == scatter["axes"] == ["fsdp"]
    # Every block's kernels in bfloat16, forward and backward; their gradients in float32.
    assert gather["bytes"] == pytest.approx(2 * 2 * plan["parameters"], rel=0.1)
    assert scatter["bytes"] == pytest.approx(4 * plan["parameters"], rel=0.1)
    assert plan["seconds"] == max(plan["times"].values())
    assert plan["days"] * 86400 == pytest.approx(800 * plan["seconds"])
    assert plan["price"] == pytest.approx(plan["days"] * 24 * 8 * 1.2)
    assert plan["cores_per_host"] == pytest.approx(32 / plan["seconds"] / 4000)
    assert Image.open(tmp_path / "memory.png").size[0] == 960


def test_slices_are_joined_by_their_network(capsys):
    (plan,) = planned(capsys, "--topology=2xv5e:2x2", "--host-network=1")
    between = [c for c in plan["collectives"] if c["axes"] == ["slices"]]
    # Each chip of a slice sends its quarter of the gradient and gets the other slice's.
    sent = sum(c["crossing"] for c in between)
    assert sent == pytest.approx(4 * plan["parameters"] / 4, rel=0.25)
    assert plan["times"]["network"] == pytest.approx(sent * 8 / 1e9)


def test_what_does_not_fit_is_answered_with_what_does(capsys):
    (plan,) = planned(capsys, "--topology=v5e:2x4", *WIDE)
    assert not plan["fits"]
    assert plan["peak"] > plan["capacity"]
    assert plan["remedy"]["mesh.fsdp"] == -1


def test_a_search_ranks_what_fits(capsys):
    assert main([*DEMO, "--topology=v5e:2x2", "--search=2", "--config.train.batch_size=8"]) == 0
    out = capsys.readouterr().out
    assert "model.remat=none" in out
    assert "bound by" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology=v5e:3x3"], "no such v5e; nearest: v5e:2x4"),
        (
            ["--topology=v5e:2x2", "--config.mesh.fsdp=3"],
            "topology 'v5e:2x2': mesh data=-1, fsdp=3, tensor=1 needs 3 devices",
        ),
        (
            ["--topology=v5e:2x2", "--config.train.batch_size=6"],
            "a batch of 6 (bucket 'clips') does not divide over data x fsdp = 4",
        ),
        (
            ["--topology=v5e:2x4", "--config.train.accumulate=8"],
            "a micro-batch of 32/8 does not divide over data x fsdp = 8",
        ),
        (
            ["--topology=2xv5e:2x2", "--config.mesh.data=1", "--config.mesh.fsdp=8"],
            "mesh.data=1 does not divide over 2 slices",
        ),
    ],
)
def test_bad_input_is_one_line(options, message, capsys):
    assert message in refused(capsys, *options)


def test_gpus_without_their_compiler_name_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(topologies, "find_spec", lambda name: None)
    assert "pip install 'jaxvision[cuda]'" in refused(capsys, "--topology=h200:8")


def test_the_compilers_words_for_too_much():
    words = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space "
        "hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G."
    )
    assert exhausted(words) == (20.5 * 2**30, 15.75 * 2**30)
    assert exhausted("RESOURCE_EXHAUSTED: something else") == (0.0, 0.0)
