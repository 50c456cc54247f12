"""The memory of films: rows by moment, windows, fading, who is left out."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.methods.cycleacr.instances import InstanceConfig, chosen_slots
from jaxvision.methods.cycleacr.memory import (
    Memory,
    empty_memory,
    entries_to_write,
    fading,
    read_window,
    row_numbers,
    window_rows,
)

WINDOW = InstanceConfig(before=2, after=1, slots=2, features=3)


def test_rows_follow_film_and_time_and_seconds_that_are_not_there_have_none():
    rows = row_numbers([("b", 904), ("a", 902), ("b", 903), ("a", 905), ("b", 903)])
    assert rows == {("a", 902): 0, ("a", 905): 1, ("b", 903): 2, ("b", 904): 3}
    np.testing.assert_array_equal(window_rows(rows, "b", 904, WINDOW), [-1, 2, 3, -1])
    np.testing.assert_array_equal(window_rows(rows, "a", 904, WINDOW), [0, -1, -1, 1])
    two = InstanceConfig(before=1, after=1, step=3, slots=2, features=3)
    np.testing.assert_array_equal(window_rows(rows, "a", 902, two), [-1, 0, 1])


def test_more_people_than_slots_lose_some_and_none_that_does_not_exist_is_seen():
    values = jnp.arange(8.0).reshape(1, 4, 2) + 1
    exists = jnp.array([[True, False, True, True]])
    np.testing.assert_array_equal(chosen_slots(values, exists, 2)[0], [[1, 2], [5, 6]])
    draws = jnp.array([[0.9, 0.0, 0.2, 0.1]])
    np.testing.assert_array_equal(chosen_slots(values, exists, 2, draws)[0], [[7, 8], [5, 6]])
    # Room for all: draws change nothing, and the rest is zeros.
    found = chosen_slots(values, exists, 5, draws)[0]
    np.testing.assert_array_equal(found, [[1, 2], [5, 6], [7, 8], [0, 0], [0, 0]])


def test_a_window_is_of_its_rows_and_old_rows_fade():
    empty = [np.array(each) for each in empty_memory(3, 2, 3)]
    actors = jnp.arange(12.0).reshape(1, 4, 3) + 1
    exists = jnp.array([[False, True, True, True]])
    entry = entries_to_write(actors, exists, 2, jnp.array(4.0))
    for array, new in zip(empty, entry, strict=True):
        array[1] = new[0]
    memory = Memory(*empty)
    assert memory.people.tolist() == [0, 2, 0], "a third person finds no slot"
    rows = np.array([[1, -1, 0]])
    found = read_window(memory, rows, 2)
    np.testing.assert_array_equal(found[0, 0], [[4, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(found[0, 1:], 0)
    np.testing.assert_allclose(read_window(memory, rows, 2, jnp.array(1.0)), found / 4)


@pytest.mark.parametrize(
    ("tag", "current", "share"),
    [(2.0, 1.0, 0.5), (1.0, 2.0, 0.5), (3.0, 0.0, 0.0), (0.0, 0.0, 0.0)],
)
def test_the_smaller_loss_counts_over_the_larger(tag, current, share):
    assert fading(jnp.array(tag), jnp.array(current)) == share
