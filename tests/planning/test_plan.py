"""The verb on a small recipe, under the real TPU compiler."""

import json

import jax
import pytest
from PIL import Image

from jaxvision.cli.main import main
from jaxvision.planning import search, topologies
from jaxvision.planning.compile import exhausted
from processes import SMALL

DEMO = ["plan", "--config=videomae/demo", *SMALL, "--config.train.batch_size=32"]
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
    assert plan["memory"]["parameters"] == pytest.approx(plan["parameters"], rel=0.1)
    assert plan["compiled_flops"] * 8 == pytest.approx(plan["executed_flops"], rel=0.03)
    gathers = [c for c in plan["collectives"] if c["kind"] == "all-gather"]
    assert {tuple(c["axes"]) for c in gathers} == {("fsdp",)}
    # Kernels in bfloat16, forward and backward.
    in_half = sum(c["bytes"] for c in gathers if c["dtype"] == "bf16")
    assert 2 * plan["parameters"] < in_half < 4 * plan["parameters"]
    reduced = [c for c in plan["collectives"] if c["kind"] != "all-gather"]
    assert sum(c["moved"] for c in reduced) > 4 * plan["parameters"] * 3 / 4
    assert plan["seconds"] == max(plan["times"].values())
    assert plan["days"] * 86400 == pytest.approx(3000 * plan["seconds"])
    assert plan["price"] == pytest.approx(plan["days"] * 24 * 8 * 1.2)
    assert plan["cores_per_host"] == pytest.approx(32 / plan["seconds"] / 4000)
    assert Image.open(tmp_path / "memory.png").size[0] == 960


def test_slices_are_joined_by_their_network(capsys):
    options = ["--topology=2xv5e:2x2", "--config.mesh.fsdp=4", "--host-network=1"]
    (plan,) = planned(capsys, *options)
    # Each chip of a slice sends the gradient of its quarter of the parameters once (four bytes
    # each), in whole tiles, of which these small arrays fill a part.
    sent = sum(c["crossing"] for c in plan["collectives"] if c["axes"] == ["slices"])
    assert plan["parameters"] < sent < 4 * plan["parameters"]
    # Four chips share their host.
    assert plan["times"]["network"] == pytest.approx(sent * 4 / 1e9)
    assert plan["bound"] == "network"


def test_a_compiler_writes_its_program_as_jax_reads_it(capsys, monkeypatch):
    """JAX cannot read every program; where the compiler wrote it, it need not."""
    options = ["--topology=v5e:2x2", "--config.mesh.fsdp=2", "--code"]
    compile_ = jax.stages.Lowered.compile
    with monkeypatch.context() as without:
        without.setattr(jax.stages.Lowered, "compile", lambda self, _: compile_(self))
        (read,) = planned(capsys, *options)

    def unreadable(self):
        raise jax.errors.JaxRuntimeError("INTERNAL: RET_CHECK failure: async-update instruction")

    monkeypatch.setattr(jax.stages.Compiled, "as_text", unreadable)
    (written,) = planned(capsys, *options)
    assert read["hbm_bytes"]
    assert read["collectives"]
    assert written | {"compile_seconds": 0} == read | {"compile_seconds": 0}


def test_without_the_code_all_else_is_the_same(capsys):
    options = ["--topology=v5e:2x2", "--config.train.batch_size=16"]
    without, whole = (planned(capsys, *options, *more)[0] for more in ((), ("--code",)))
    assert whole["memory"].pop("program") > 0
    activations = [each["memory"].pop("activations and gradients") for each in (without, whole)]
    assert activations[0] == pytest.approx(activations[1], abs=2**14)
    assert without["peak"] == pytest.approx(sum(without["memory"].values()) + activations[0])
    for each in (without, whole):
        del each["peak"], each["compile_seconds"]
    assert without["hbm_bytes"] > 0
    assert without == whole


def test_out_of_memory_is_an_answer(capsys, monkeypatch):
    monkeypatch.setattr(search, "remedy", lambda planner, target, plan: plan)
    (plan,) = planned(capsys, "--topology=v5e:2x4", "--config.train.batch_size=4194304")
    assert not plan["fits"]
    assert plan["peak"] > plan["capacity"] > 15 * 2**30
    assert plan["memory"]["activations and gradients"] > plan["capacity"]
    assert plan["executed_flops"] > 1e12


def test_a_search_ranks_what_fits(capsys):
    assert main([*DEMO, "--topology=v5e:2x2", "--search=1"]) == 0
    printed = capsys.readouterr()
    assert "train.accumulate=1 model.remat=none" in printed.out
    assert "bound by" in printed.out
    assert "stopped after 1 compilations" in printed.err


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


@pytest.mark.parametrize(
    "words",
    [
        "XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
        "Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.",
        "E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (20.50G) exceeds available HBM (15.75G). HLO module: jit_step.",
    ],
)
def test_the_compilers_words_for_too_much(words):
    assert exhausted("RESOURCE_EXHAUSTED: " + words) == (20.5 * 2**30, 15.75 * 2**30)
    assert exhausted("RESOURCE_EXHAUSTED: something else") == (0.0, 0.0)
