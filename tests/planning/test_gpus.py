"""A plan for GPU nodes, where the CUDA compiler is installed; no GPU is needed."""

import json

import pytest

from jaxvision.cli.main import main
from processes import SMALL


def test_two_nodes_are_compiled_for(capsys):
    pytest.importorskip("jax_cuda13_plugin", reason="the CUDA wheels are several GB")
    options = ["--topology=2xh100:4", "--config.mesh.fsdp=4", "--config.train.batch_size=32"]
    assert main(["plan", "--config=videomae/demo", *SMALL, *options, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["fits"]
    assert (plan["chips"], plan["hosts"]) == (8, 2)
    by_axes = {(c["kind"], *c["axes"]): c for c in plan["collectives"]}
    assert by_axes["all-gather", "fsdp"]["crossing"] == 0
    # Nodes are joined along data.
    reduced = by_axes["all-reduce", "data"]
    assert reduced["crossing"] == reduced["moved"] > 0
    assert plan["times"]["network"] > plan["times"]["links"] > 0
