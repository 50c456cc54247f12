"""The same batches for any number of workers, hosts and restarts."""

import threading
from dataclasses import dataclass, field

import grain.python as grain
import numpy as np
import pytest

from jaxvision.data.loader import EvaluationBatches, Schedule, TrainingBatches, batches
from jaxvision.data.source import Source
from jaxvision.data.timeout import Stalled, with_timeout
from jaxvision.errors import InputError


@dataclass(frozen=True)
class Numbers:
    count: int
    broken: tuple[int, ...] = ()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.broken:
            raise OSError(f"number {index} is damaged")
        return index

    def name(self, index):
        return f"number {index}"


def noisy(record, rng, bucket):
    return {"number": np.int64(record), "noise": rng.normal(size=3)}


def training(count=23, size=4, steps=13, shares=((0.0, 1.0),), broken=()):
    source = Source(Numbers(count, broken), size, noisy)
    return TrainingBatches({"all": source}, Schedule.single("all", steps), 5, shares)


def read(data, **options):
    with batches(data, **options) as iterator:
        return [batch.arrays for batch in iterator]


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_do_not_change_batches(workers):
    assert_same(read(training(), workers=workers), read(training(), workers=0, threads=3))


@pytest.mark.parametrize("start", [1, 5, 6, 12])
def test_restart_continues_the_same_batches(start):
    assert_same(read(training(), start=start), read(training())[start:])


def test_every_epoch_is_a_fresh_shuffle_of_all_records():
    data = training(count=12, size=4, steps=6)
    numbers = np.concatenate([batch["number"] for batch in read(data)]).reshape(2, 12)
    np.testing.assert_array_equal(np.sort(numbers, axis=1), [np.arange(12)] * 2)
    assert (numbers[0] != numbers[1]).any()


@pytest.mark.parametrize(("count", "seed"), [(4, 0), (6, 7), (61, 2**32 - 1)])
def test_the_order_is_the_one_of_grains_shuffle(count, seed):
    order = grain.MapDataset.range(count).shuffle(seed=seed).repeat()
    steps = 3 * (count // 4)  # an epoch's remainder is left out
    data = TrainingBatches(
        {"all": Source(Numbers(count), 4, noisy)}, Schedule.single("all", steps), seed
    )
    found = np.concatenate([data[step].arrays["number"] for step in range(steps)])
    wanted = [order[e * count + row] for e in range(3) for row in range(count // 4 * 4)]
    np.testing.assert_array_equal(found, wanted)


def test_hosts_share_a_global_batch():
    whole = read(training())
    parts = [read(training(shares=(share,))) for share in ((0.0, 0.5), (0.5, 1.0))]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*parts, strict=True)
    ]
    assert_same(joined, whole)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_a_run_goes_on_with_another_number_of_hosts(hosts):
    """As it was stopped on 1, 2 or 4 hosts, and goes on with 4, 2 or 1: the same samples follow."""

    def part(host, count, broken):
        return training(shares=((host / count, (host + 1) / count),), broken=broken)

    def joined(count, start, broken):
        parts = [read(part(host, count, broken), start=start) for host in range(count)]
        steps = zip(*parts, strict=True)
        return [{k: np.concatenate([p[k] for p in step]) for k in step[0]} for step in steps]

    for broken in ((), (3, 7)):
        whole, stopped = read(training(broken=broken)), 5
        before = joined(hosts, 0, broken)[:stopped]
        assert_same(before + joined(4 // hosts, stopped, broken), whole)


def test_replacement_of_an_unreadable_record_is_the_same_everywhere():
    data = training(broken=(3, 7))
    with batches(data) as iterator:
        found = list(iterator)
    replaced = [item for batch in found for item in batch.replaced]
    assert ("number 3", "number 3 is damaged") in replaced
    numbers = np.concatenate([batch.arrays["number"] for batch in found])
    assert not np.isin(numbers, (3, 7)).any()
    # Only the damaged records' places differ from what an undamaged set gives.
    whole = np.concatenate([batch["number"] for batch in read(training())])
    np.testing.assert_array_equal(numbers == whole, ~np.isin(whole, (3, 7)))
    assert_same(read(data, workers=2), [batch.arrays for batch in found])


def test_a_source_of_only_damaged_records_is_refused():
    with pytest.raises(InputError, match="8 records in a row cannot be read; last number"):
        read(training(count=8, broken=tuple(range(8))))


@pytest.mark.parametrize("error", [ValueError, MemoryError, SyntaxError, KeyError])
def test_a_record_whose_decoding_raises_anything_is_replaced(error):
    """As decoders do over a wrong length, too many pixels or another size in mid-file."""

    def decoded(record, rng, bucket):
        if record == 3:
            raise error("of a library\nmore")
        return noisy(record, rng, bucket)

    source = Source(Numbers(23), 4, decoded)
    with batches(TrainingBatches({"all": source}, Schedule.single("all", 6), 5)) as iterator:
        found = list(iterator)
    (item,) = [item for batch in found for item in batch.replaced]
    assert item[0] == "number 3"
    assert item[1].startswith(error.__name__)
    assert item[1].isprintable()
    assert not (np.concatenate([batch.arrays["number"] for batch in found]) == 3).any()


def test_a_transform_that_always_fails_is_a_programming_error():
    def wrong(record, rng, bucket):
        return record.shape

    data = TrainingBatches({"all": Source(Numbers(23), 4, wrong)}, Schedule.single("all", 6), 5)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'shape'"):
        data[0]


def test_an_unreadable_evaluation_record_is_refused_or_left_out():
    source = Source(Numbers(10, (0, 4)), 4, noisy)
    with pytest.raises(InputError, match="number 0: number 0 is damaged"):
        read(EvaluationBatches(source, "all"))
    with batches(EvaluationBatches(source, "all", incomplete=True)) as iterator:
        found = list(iterator)
    assert [batch.replaced for batch in found] == [
        [("number 0", "number 0 is damaged")],
        [("number 4", "number 4 is damaged")],
        [],  # its padding is the unreadable first record's place
    ]
    arrays = [batch.arrays for batch in found]
    assert all(len(batch["number"]) == 4 for batch in arrays)
    numbers = np.concatenate([batch["number"][batch["valid"]] for batch in arrays])
    np.testing.assert_array_equal(numbers, [1, 2, 3, 5, 6, 7, 8, 9])
    source = Source(Numbers(2, (0, 1)), 2, noisy)
    with pytest.raises(InputError, match="none of the 2 records can be read"):
        read(EvaluationBatches(source, "all", incomplete=True))


def test_fewer_records_than_a_batch_are_refused():
    with pytest.raises(InputError, match=r"fewer than one batch of 4; expected .* at most 3"):
        training(count=3)


def test_buckets_of_one_source_share_its_order():
    source = Source(Numbers(20), 2, noisy)
    pattern = [0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
    schedule = Schedule.of(lambda n: ["ab"[p] for p in pattern[:n]], {"a": source, "b": source}, 10)
    data = TrainingBatches({"a": source, "b": source}, schedule, 5)
    numbers = np.concatenate([batch["number"] for batch in read(data)])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(20))
    assert [data[s].bucket for s in range(10)] == ["ab"[p] for p in pattern]


def test_buckets_of_different_sources_have_orders_of_their_own():
    sources = {"a": Source(Numbers(6), 2, noisy), "b": Source(Numbers(4), 2, noisy)}
    schedule = Schedule.of(lambda n: "ab" * (n // 2), sources, 6)
    data = TrainingBatches(sources, schedule, 5)
    for bucket, count in (("a", 6), ("b", 4)):
        numbers = [data[s].arrays["number"] for s in range(6) if data[s].bucket == bucket]
        np.testing.assert_array_equal(np.sort(np.concatenate(numbers)[:count]), np.arange(count))


def test_evaluation_reads_every_record_once_and_marks_padding():
    data = EvaluationBatches(Source(Numbers(10), 4, noisy), "all")
    found = read(data, workers=2)
    numbers = np.concatenate([batch["number"] for batch in found])
    valid = np.concatenate([batch["valid"] for batch in found])
    index = np.concatenate([batch["index"] for batch in found])
    np.testing.assert_array_equal(numbers[valid], np.arange(10))
    np.testing.assert_array_equal(index[valid], np.arange(10))
    assert valid.sum() == 10
    assert len(valid) == 12


def test_several_samples_of_a_record_stay_together():
    def twice(record, rng, bucket):
        return [{"number": np.int64(record)}] * 2

    source = Source(Numbers(8), 2, twice)
    data = TrainingBatches({"all": source}, Schedule.single("all", 4), 5)
    for batch in read(data):
        np.testing.assert_array_equal(batch["number"][::2], batch["number"][1::2])
        assert batch["number"].shape == (4,)


def test_repeats_come_in_a_row_and_are_interleaved_over_the_groups_of_a_batch():
    source = Source(Numbers(26), 8, noisy, record_repeats=3, interleave_groups=2)
    data = TrainingBatches({"all": source}, Schedule.single("all", 6), 5)
    read_ = read(data)
    for first in (0, 3):  # an epoch is three steps, however often a record comes
        rows = np.stack([batch["number"] for batch in read_[first : first + 3]])
        in_turn = rows.reshape(3, 2, 4).swapaxes(1, 2).ravel()
        assert len(set(in_turn)) == 8
        assert [int(n) for n in np.repeat(in_turn[::3], 3)[:24]] == in_turn.tolist()
    assert len({noise.tobytes() for batch in read_ for noise in batch["noise"]}) == 48


def test_a_batch_that_does_not_divide_into_the_groups_is_refused():
    source = Source(Numbers(26), 9, noisy, interleave_groups=2)
    with pytest.raises(InputError, match="a batch of 9 does not divide into 2 groups"):
        TrainingBatches({"all": source}, Schedule.single("all", 6), 5)


@dataclass(frozen=True)
class Stuck(Numbers):
    """Number 2 does not come before it is let go."""

    let_go: threading.Event = field(default_factory=threading.Event)

    def __getitem__(self, index):
        if index == 2:
            self.let_go.wait()
        return index


def test_a_reader_that_hangs_is_named_with_its_records():
    records = Stuck(6)
    data = EvaluationBatches(Source(records, 2, noisy), "all")
    with pytest.raises(Stalled) as caught:
        read(data, patience=0.5)
    records.let_go.set()
    assert str(caught.value) == (
        "the data's reader hangs at batch 1 (number 2, number 3): nothing for 0.5 s"
    )


def test_patience_does_not_change_batches():
    assert_same(read(training(), patience=60.0), read(training()))


def test_an_iterators_own_timeout_is_no_stall():
    def failing():
        yield 1
        raise TimeoutError("the disk's own")

    with pytest.raises(TimeoutError, match="the disk's own"):
        list(with_timeout(failing(), 60, str))


def test_names_are_known_before_records_are_read():
    data = training(shares=((0.0, 0.25), (0.5, 0.75)))
    for step in (0, 7):
        assert data.names(step) == data[step].names
