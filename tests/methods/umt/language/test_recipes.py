"""Every published script of videos with words is a recipe, and starts from what it started from."""

import re

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxvision.errors import InputError
from jaxvision.methods.umt.language import names, recipes, transfer
from jaxvision.methods.umt.task import make_task
from jaxvision.networks import official_model
from jaxvision.training import initialisation
from jaxvision.training.config import load_config
from jaxvision.weights import convert
from jaxvision.weights.mapping import flatten, unflatten
from methods.umt.language.small import made, recipe, with_questions

SIZES, DATA = ("b", "l"), recipes.DATA


def scripts():
    for size in SIZES:
        for data in DATA:
            yield f"stage2:size={size},data={data}"
            yield f"multiple_choice:size={size},data={data}"
            yield from (
                f"question_answering:set={name},size={size},data={data}"
                for name in recipes.QUESTIONS
            )
            for name, row in recipes.RETRIEVAL.items():
                yield f"retrieval:set={name},size={size},data={data}"
                if row.untuned_lengths:
                    yield f"retrieval:set={name},size={size},data={data},form=zero"


def test_every_published_script_is_reachable():
    """6 of stage 2, 6 of choices, 18 of questions, 42 of tuned retrieval, 30 of untuned."""
    found = {name: load_config(f"umt/{name}") for name in scripts()}
    assert len(found) == 102
    for name, config in found.items():
        gpus = config.train.draw_groups
        assert config.train.loss_groups == gpus
        assert gpus == (8 if "stage2" not in name else 16 if "size=b" in name else 32)
        assert config.train.batch_size == gpus * (128 if "stage2" in name else 32)
        assert (config.model.width, config.language.fusion_layers) == (
            (768, 3) if "size=b" in name else (1024, 5)
        )
    rate = found["retrieval:set=msrvtt,size=b,data=25m"].optim.learning_rate
    assert (rate.peak, rate.warmup_epochs) == (1e-5, 1)
    assert rate.floor == pytest.approx(1e-7)
    zero = found["retrieval:set=lsmdc,size=b,data=17m,form=zero"]
    assert (zero.task.text_length, zero.task.test_frames) == (64, 4)
    assert zero.init[0]["from"] == "b16_17m.pth"
    didemo = found["retrieval:set=didemo,size=l,data=5m"]
    assert didemo.data.paragraphs
    assert didemo.data.seconds == 30
    assert found["question_answering:set=anet,size=l,data=17m"].train.epochs == 12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("retrieval:set=msrvt", "recipe argument 'set' 'msrvt'; did you mean 'msrvtt'"),
        ("retrieval:data=25", "recipe argument 'data' '25'; did you mean '25m'"),
        ("retrieval:set=ssv2_label,form=zero", "no published script of ssv2_label without tuning"),
        ("retrieval:set=msvd,set=didemo", "recipe argument 'set' is given twice"),
        ("question_answering:size=h", "recipe argument 'size' 'h'"),
    ],
)
def test_what_no_script_is_called(name, message):
    with pytest.raises(InputError, match=message):
        load_config(f"umt/{name}")


def renamed(paths, link):
    """{path at the start: path here} of a link."""
    read = {path: np.zeros(0) for path in paths}
    everything = {path: np.zeros(0) for path in _targets(paths)}
    _, (report,) = initialisation.apply(
        unflatten(everything), [{"from": "", **link}], lambda _: unflatten(read)
    )
    kept = [path for path in paths if path not in report.dropped]
    return dict(zip(kept, report.loaded, strict=True))


def _targets(paths):
    for kind in ("retrieval", "answers"):
        entries = official_model(f"umt/language_b_{kind}").entries
        yield from (entry.path for entry in entries if entry.path)


def test_links_fill_what_the_published_program_filled():
    """The links' paths and the official names (which the reference's cases hold) agree."""
    start = official_model("umt/language_b_pretrain").entries
    path_of = {entry.name: entry.path for entry in start if entry.path}
    paths = list(dict.fromkeys(path_of.values()))
    encoder, decoder = transfer.to_question_answering()
    cases = {
        "retrieval": ([transfer.to_retrieval()], names.retrieval_names(path_of)),
        "answers": ([encoder, decoder], names.question_answering_names(path_of, 9)),
    }
    for kind, (links, expected) in cases.items():
        here = {e.name: e.path for e in official_model(f"umt/language_b_{kind}").entries if e.path}
        wanted = {(path_of[theirs], here[ours]) for ours, theirs in expected.items()}
        found = {pair for link in links for pair in renamed(paths, link).items()}
        assert found == wanted
        assert {path for _, path in found} == set(here.values())


FRESH = r"^params/(vision/pooled_norm|\w+_projection|matching|temperature)|/cross_attention/"


def test_stage2_starts_from_three_files_and_leaves_only_what_is_fresh():
    """By shapes alone: stage 1, Google's BERT and CLIP fill all but what the paper says is new."""
    config = load_config("umt/stage2")
    shapes = shapes_of(make_task(config))

    def read(source: str):
        network = {"b16": "vit_b_pretrain", "ber": "bert_b", "cli": "clip_b16"}[source[:3]]
        described = convert.our_shapes(official_model(f"umt/{network}").entries)
        return unflatten({path: np.empty(shape, bool) for path, shape in described.items()})

    _, reports = initialisation.apply(shapes, config.init, read, lambda *_: None)
    assert not any(report.dropped for report in reports)
    filled = {path for report in reports for path in report.loaded}
    left = flatten(shapes).keys() - filled
    assert left == {path for path in flatten(shapes) if re.search(FRESH, path)}


def shapes_of(task):
    return nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))


def test_a_tiny_pretrained_network_starts_the_tasks(tmp_path):
    made(tmp_path)
    # The decoder of answers looks at words where the text tower looked at a video: equal widths.
    wide = {"language.width": 32, "language.hidden": 64}
    start = make_task(recipe(tmp_path, "stage2", **wide))
    rng = np.random.default_rng(0)
    values = jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), shapes_of(start))
    question = make_task(with_questions(tmp_path, recipe(tmp_path, "question_answering", **wide)))
    for task, links in (
        (make_task(recipe(tmp_path, **wide)), (transfer.to_retrieval(),)),
        (question, transfer.to_question_answering()),
    ):
        chain = [{"from": "start", **link} for link in links]
        filled, _ = initialisation.apply(shapes_of(task), chain, lambda _: values)
        assert all(isinstance(leaf, np.ndarray) for leaf in flatten(filled).values())
    answer = flatten(filled)["params/answer/encoder/fusion/layers/self_attention/query/kernel"]
    text = flatten(values)["params/text/fusion/layers/self_attention/query/kernel"]
    np.testing.assert_array_equal(answer, text)


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("stage2", r"data\.train, data\.pictures: expected an annotation file"),
        ("question_answering", r"data\.train: expected questions"),
    ],
)
def test_batches_are_known_without_annotations_for_a_plan_and_no_training_begins(name, lacking):
    task = make_task(load_config(f"umt/{name}"))
    for fields in task.batch_specs("train").values():
        few = {k: jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype) for k, x in fields.items()}
        made = jax.eval_shape(lambda batch: task.prepare(batch, jax.random.key(0), True), few)
        assert made["input"].shape == few["video"].shape
    with pytest.raises(InputError, match=lacking):
        task.source("train")
