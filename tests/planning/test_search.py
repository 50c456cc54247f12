"""What is tried, and in what order, under a compiler of one line."""

import jax
import pytest

from jaxvision.errors import InputError
from jaxvision.planning.plan import Assumptions, Plan, Planner, Target
from jaxvision.planning.search import largest_part, meshes, remedy, search
from jaxvision.planning.topologies import parse
from jaxvision.registry import make_task
from jaxvision.training.config import load_config

GIB = 2**30
RECOMPUTED = {"none": 1.0, "dots": 0.6, "full": 0.25}


class Arithmetic(Planner):
    """Memory by a formula: state / fsdp, and activations / micro-batches by the remat policy."""

    def __init__(self, state, activations):
        config = load_config("videomae/demo", ["train.batch_size=128", "model.remat=none"])
        super().__init__(config, make_task, Assumptions())
        self.state, self.activations, self.tried = state * GIB, activations * GIB, []

    def plans(self, target, changes):
        self.compiled += 1
        self.tried.append(changes)
        mesh = self.program(target, changes).mesh.shape
        policy = changes.get("model.remat", "none")
        micro_batches = changes.get("train.accumulate", 1)
        memory = {
            "parameters": self.state / 4 / mesh["fsdp"],
            "optimizer": self.state * 3 / 4 / mesh["fsdp"],
            "activations and gradients": self.state / 4 / mesh["fsdp"]
            + self.activations * RECOMPUTED[policy] / micro_batches,
        }
        peak = sum(memory.values())
        yield Plan(
            topology=target.topology.name,
            mesh=dict(mesh),
            bucket="clips",
            changes=changes,
            fits=peak <= 16 * GIB,
            parameters=0,
            chips=8,
            hosts=1,
            samples=128,
            memory=memory,
            peak=peak,
            capacity=16 * GIB,
            counted_flops=None,
            executed_flops=0.0,
            # Recomputing costs a third, and every micro-batch gathers the state again.
            seconds={"none": 3.0, "dots": 3.2, "full": 4.0}[policy]
            + 0.1 * micro_batches * (mesh["fsdp"] > 1),
        )


@pytest.fixture
def target():
    return Target(parse("v5e:2x4"), jax.devices()[:8])


@pytest.mark.parametrize(
    ("state", "activations", "expected"),
    [
        # 2 + 0.5 stay: 40/4 does with the rest, 40/2 does not.
        (2, 40, {"train.accumulate": 4}),
        # One clip a chip is too much until blocks are recomputed.
        (2, 400, {"model.remat": "full", "train.accumulate": 8}),
        # The state alone is too much until it is split.
        (
            *(40, 60),
            {
                "model.remat": "full",
                "mesh.data": 1,
                "mesh.fsdp": -1,
                "mesh.tensor": 1,
                "train.accumulate": 2,
            },
        ),
        (400, 60, {}),
    ],
)
def test_the_remedy_is_the_least_that_fits(state, activations, expected, target):
    planner = Arithmetic(state, activations)
    (failed,) = planner.plans(target, {})
    assert not failed.fits
    answer = remedy(planner, target, failed)
    assert answer.remedy == expected
    assert not answer.fits


def test_the_fastest_of_what_fits_comes_first(target):
    found = search(Arithmetic(4, 60), target, 100)
    assert [plan.seconds for plan in found] == sorted(plan.seconds for plan in found)
    assert all(plan.fits for plan in found)
    best = found[0]
    assert (best.mesh["fsdp"], best.changes["model.remat"]) == (1, "none")
    assert best.changes["train.accumulate"] == 8


def test_a_search_stops(target):
    planner = Arithmetic(4, 60)
    search(planner, target, 3)
    assert planner.compiled <= 5  # it finishes the mesh and policy it is at


def test_meshes_that_cannot_hold_the_state_are_not_tried(target):
    planner = Arithmetic(1, 1)
    tried = [tuple(mesh.values()) for mesh in meshes(planner, target)]
    assert tried == [(-1, 1, 1), (-1, 4, 1), (-1, 1, 2), (-1, 4, 2)]


def test_a_batch_that_is_too_small_is_planned_on_the_part_over_which_it_divides(monkeypatch):
    monkeypatch.setattr("jaxvision.planning.search.describe", lambda part: devices(part.chips))
    planner = Arithmetic(state=1, activations=1)
    assert largest_part(planner, parse("v5e:2x4")).topology.name == "v5e:2x4"
    planner.config.train.batch_size = 4
    assert largest_part(planner, parse("v5e:2x4")).topology.name == "v5e:2x2"
    planner.config.mesh.fsdp = 3
    with pytest.raises(InputError, match="v5e:2x4"):
        largest_part(planner, parse("v5e:2x4"))


@pytest.mark.parametrize("recipe", ["videomae/vit_b_k400_finetune", "comae/finetune"])
def test_classes_are_taken_for_granted_where_no_data_names_them(
    recipe, target, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = []
    planner = Planner(load_config(recipe), make_task, Assumptions(), said.append)
    assert planner.program(target, {}).task.class_names[-1] == "class 999"
    planner.program(target, {})
    assert len(said) == 1
    assert "1,000 classes are taken for granted" in said[0]
    planner.config.mesh.fsdp = 3  # what is wrong beside that is still said
    with pytest.raises(InputError, match="topology 'v5e:2x4'"):
        planner.program(target, {})


def devices(count):
    return jax.devices()[:count]
