"""Pairs by video: each wanted pair is weighed once, and each direction sees its own."""

import numpy as np
import pytest

from jaxvision.methods.umt.language.retrieval import UNRANKED, batches_of_pairs, best_pairs, rerank

RNG = np.random.default_rng(0)
SIMILARITY = RNG.standard_normal((7, 11)).astype(np.float32)


def test_best_pairs_are_the_highest_of_each_row():
    chosen = best_pairs(SIMILARITY, 3)
    assert (chosen.sum(axis=1) == 3).all()
    for row, of_row in zip(SIMILARITY, chosen, strict=True):
        assert row[of_row].min() > row[~of_row].max()


def test_fewer_candidates_than_asked_for_are_all_taken():
    assert best_pairs(SIMILARITY, 100).all()


@pytest.mark.parametrize(("videos", "texts"), [(1, 1), (2, 3), (4, 20)])
def test_batches_hold_every_wanted_pair_once(videos, texts):
    wanted = RNG.random((7, 11)) < 0.4
    counts = np.zeros(wanted.shape, int)
    for batch in batches_of_pairs(wanted, videos, texts):
        assert batch.texts.shape == (videos, texts)
        rows = np.broadcast_to(batch.videos[:, None], batch.texts.shape)
        np.add.at(counts, (rows[batch.used], batch.texts[batch.used]), 1)
    np.testing.assert_array_equal(counts, wanted)


def test_each_direction_has_scores_of_its_own_best_alone():
    truth = RNG.standard_normal(SIMILARITY.shape).astype(np.float32)
    weighed = []

    def score(videos, texts):
        weighed.append(texts.shape)
        return truth[np.asarray(videos)[:, None], np.asarray(texts)]

    answers = rerank(SIMILARITY, score, 3, videos=2, texts=4)
    for got, similarity, wanted in (
        (answers.by_video, SIMILARITY, truth),
        (answers.by_text, SIMILARITY.T, truth.T),
    ):
        best = best_pairs(similarity, 3)
        np.testing.assert_array_equal(got, np.where(best, wanted, np.float32(UNRANKED)))
    assert set(weighed) == {(2, 4)}
