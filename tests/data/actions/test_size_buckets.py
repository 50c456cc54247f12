"""Frame sizes of clips: few, large enough, and the rare ones padded up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision.data.actions.size_buckets import size_buckets
from jaxvision.errors import InputError

sides = st.integers(1, 400)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=30), st.integers(1, 8))
def test_every_clip_fits_its_bucket(clips, most):
    found = size_buckets(clips, 32, most)
    assert len(found.sizes) <= most
    own = [tuple(-(-side // 32) * 32 for side in clip) for clip in clips]
    chosen = [found.sizes[bucket] for bucket in found.bucket]
    assert all(size[0] >= h and size[1] >= w for size, (h, w) in zip(chosen, own, strict=True))
    assert all(side % 32 == 0 for size in found.sizes for side in size)
    assert found.padded_up == sum(a != b for a, b in zip(chosen, own, strict=True))
    if len(set(own)) <= most:
        assert found.padded_up == 0


def test_rare_sizes_are_padded_up():
    clips = [(256, 340)] * 90 + [(340, 256)] * 9 + [(256, 352)] * 5 + [(250, 320)]
    found = size_buckets(clips, 32, 2)
    # Common shapes keep their own size; 320 wide joins 352 wide.
    assert found.sizes == ((256, 352), (352, 256))
    assert found.padded_up == 1
    np.testing.assert_array_equal(found.bucket, [0] * 90 + [1] * 9 + [0] * 6)


def test_what_is_refused():
    with pytest.raises(InputError, match="no clips"):
        size_buckets([], 32)
    with pytest.raises(InputError, match="0, 5"):
        size_buckets([(3, 4), (0, 5)], 32)


def test_sizes_of_too_few_clips_join_others():
    clips = [(32, 64)] * 5 + [(32, 96)] + [(64, 96)] * 4
    found = size_buckets(clips, 32, least=4)
    assert found.sizes == ((32, 64), (64, 96))
    assert found.padded_up == 1
    assert size_buckets(clips[:1], 32, least=4).sizes == ((32, 64),)
