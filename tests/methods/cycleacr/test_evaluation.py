"""What an evaluation says of the people that it asked about, and of those it did not."""

import jax.numpy as jnp
import numpy as np

from jaxvision.data.actions.ava_files import rows_of_people
from jaxvision.methods.cycleacr.evaluation import Truth, frame_map
from jaxvision.metrics.action_frames import FrameBoxes
from jaxvision.training.task import KeptOutputs

BOX, SCORES = np.array([[0.1, 0.1, 0.6, 0.9]]), np.array([[0.9]])


class Found:
    """A second stage that has answered."""

    def run(self, variables, kept, moments):
        return [(moment, BOX, SCORES) for each in moments for moment in each]


def test_people_without_room_are_counted_over_all_buckets():
    moments = {"32x32": [("a", 0), ("a", 1)], "32x48": [("b", 0)]}
    numbers = {moment: n for n, moment in enumerate(m for each in moments.values() for m in each)}
    rows = [FrameBoxes(*rows_of_people(BOX, np.ones((1, 1)), n, 0.5)) for n in numbers.values()]
    truth = Truth(FrameBoxes(*map(np.concatenate, zip(*rows, strict=True))), numbers.get)
    evaluation = frame_map(
        None, {}, {}, moments=moments, stage=Found(), truth=truth, labels=[1], names=["walk"]
    )
    # The third row pads its bucket.
    beyond = {"32x32": [4, 0, 0], "32x48": [2]}
    total = {
        name: KeptOutputs({"beyond": jnp.array(each)}, len(moments[name]))
        for name, each in beyond.items()
    }
    results = evaluation.finish(total, {})
    assert (results["map"], results["people_per_second"], results["people_left_out"]) == (100, 1, 2)
