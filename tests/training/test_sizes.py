"""Sizes that cannot be are one line in every method, whatever the verb: the task is not made."""

import pytest
from ml_collections import ConfigDict

from jaxvision import registry
from jaxvision.errors import InputError
from jaxvision.training.config import leaves, load_config, recipes
from jaxvision.training.sizes import Sizes, check_sizes, is_of_engine

# The demos, and recipes with settings that no demo has.
RECIPES = [name for name in sorted(recipes()) if "demo" in name] + [
    "comae/demo:stage=autoencoder",
    "umt/pretrain",
    "umt/finetune",
    "videomae/vit_s_k710_distill",
]


def changed(config: ConfigDict, key: str, value: object) -> ConfigDict:
    *tables, name = key.split(".")
    config = config.copy_and_resolve_references()
    table = config
    for part in tables:
        table = table[part]
    with config.unlocked(), config.ignore_type():
        table[name] = value
    return config


def whole_numbers(config: ConfigDict) -> dict[str, int | tuple]:
    """The method's own settings that are whole numbers, or tuples of them."""
    return {
        key: value
        for key, value in leaves(config.to_dict())
        if not is_of_engine(key)
        and all(type(n) is int for n in (value if isinstance(value, tuple) else (value,)))
        and value != ()
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_size_of_too_little_is_refused_by_its_key(recipe):
    config = load_config(recipe)
    sizes = registry.sizes_of(config.method)
    tried = 0
    for key, value in whole_numbers(config).items():
        lowest = sizes.least_of(key)
        if lowest is None:
            continue
        wrong = lowest - 1 if type(value) is int else (*value[:-1], lowest - 1)
        with pytest.raises(InputError) as refused:
            registry.make_task(changed(config, key, wrong))
        assert str(refused.value) == f"{key}={wrong}: expected at least {lowest}"
        tried += 1
    assert tried > 4


def test_answers_have_a_word_to_be_ranked_by():
    config = load_config("umt/question_answering")
    with pytest.raises(InputError, match=r"task\.answer_length=1: expected at least 2"):
        registry.make_task(changed(config, "task.answer_length", 1))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("data.seconds", (-1.0, float("nan"), float("inf"))),
        ("task.loss_weights.vtm", (-1.0, float("nan"))),
        ("task.word_mask_ratio", (-0.1, 1.5, float("nan"))),
    ],
)
def test_numbers_below_nothing_and_shares_above_all_are_refused_by_their_key(key, wrong):
    config = load_config("umt/stage2")
    for value in wrong:
        with pytest.raises(InputError, match=rf"{key}={value}: expected a (finite number|share)"):
            registry.make_task(changed(config, key, value))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_size_that_does_not_divide_is_refused_by_both_keys(recipe):
    config = load_config(recipe)
    settings = dict(leaves(config.to_dict()))
    for key, whole in registry.sizes_of(config.method).divisors.items():
        if key not in settings or whole not in settings:
            continue
        size = settings[whole]
        number = size[-1] if isinstance(size, tuple) else size
        with pytest.raises(InputError) as refused:
            registry.make_task(changed(config, key, number + 1))
        message = f"{whole} by {key}: {number} does not divide by {number + 1}"
        assert str(refused.value) == message


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_tuple_has_as_many_numbers_as_there_are_places(recipe):
    config = load_config(recipe)
    settings = dict(leaves(config.to_dict()))
    for key, length in registry.sizes_of(config.method).lengths.items():
        if key in settings:
            with pytest.raises(InputError, match=rf"^{key}=\(1,\): expected {length} numbers$"):
                registry.make_task(changed(config, key, (1,)))


def test_numbers_that_must_be_above_zero():
    config = ConfigDict({"model": {"ratio": 0.0}, "train": {"batch_size": 1}})
    check_sizes(config, Sizes())
    with pytest.raises(InputError, match=r"^model\.ratio=0\.0: expected a number above 0$"):
        check_sizes(config, Sizes(positive=("model.ratio",)))


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_published_size_can_be(name):
    config = load_config(name)
    check_sizes(config, registry.sizes_of(config.method))
    with pytest.raises(InputError, match=r"^train\.batch_size=0: expected at least 1$"):
        check_sizes(changed(config, "train.batch_size", 0), registry.sizes_of(config.method))
