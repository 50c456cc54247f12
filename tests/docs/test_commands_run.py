"""Commands of the pages, run in their order through `main(argv)`, in one process, with small
networks on small files of the kinds that they name (page_table.py says which).

A training does all that comes before its first compilation: settings, files, its first batch.
Instead of its steps it leaves a workdir with a checkpoint of made-up weights, which the page's next
commands evaluate and answer with (small_networks.py). What is not run here is parsed, with all it
names, by test_commands.py.
"""

import gc
import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.page_table import ELSEWHERE, RUN, Page
from docs.small_networks import fitted, publish, put_in_place
from docs.test_commands import PAGES, ROOT, commands
from jaxvision.cli.main import main


def commands_of(name: str) -> Iterator[list[str]]:
    """The words of every command of a page that is run, in order; page.names in their place."""
    page = RUN[name]

    def here(word: str) -> str:
        key, sign, value = word.rpartition("=")
        return page.names.get(word, key + sign + page.names.get(value, value))

    for words in asked_by(name):
        if not any(matches(pattern, words) for pattern in page.run_by):
            yield [here(word) for word in words if word != "..."]


def asked_by(name: str) -> Iterator[list[str]]:
    """The words of a page's commands, without those that are left."""
    page = RUN[name]
    for words, mentioned in commands((ROOT / name).read_text()):
        if mentioned and not page.everywhere:
            continue
        if not any(matches(pattern, words) for pattern, _ in page.left):
            yield words


def matches(pattern: str, words: list[str]) -> bool:
    return re.search(pattern, " ".join(words)) is not None


def run(words: list[str], page: Page, capsys: pytest.CaptureFixture) -> None:
    for file, network in page.weights.items():
        if any(file in word for word in words) and not Path(file).exists():
            publish(file, network, page)
    capsys.readouterr()
    if words[0] == "train":  # a page may call another run the same
        shutil.rmtree(words[words.index("--workdir") + 1], ignore_errors=True)
    status = main(fitted(words, page))
    said = capsys.readouterr()
    assert status == 0, f"jaxvision {' '.join(words)}: {said.out}{said.err}"


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Tracing makes many objects beside many that stay, which each search for garbage goes over."""
    gc.disable()
    yield
    gc.enable()


# XLA compiles tests called "emavfi" with care, which takes its time (conftest.py).
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("name", RUN, ids=lambda name: name.replace("emavfi", "interpolation"))
def test_the_commands_of_a_page_run(name, tmp_path, monkeypatch, capsys):
    page, listed = RUN[name], list(commands_of(name))
    asked = {word for words in listed if words[0] != "train" for word in words}
    monkeypatch.chdir(tmp_path)
    put_in_place(monkeypatch, page, asked)
    page.make()
    given = [
        ["train", "--config", page.runs[workdir], "--workdir", workdir] for workdir in page.runs
    ]
    for words in (*given, *listed):
        run(words, page, capsys)
    assert listed


def test_every_page_is_run_or_says_why_not():
    asked = [p for p in PAGES if not all(said for _, said in commands((ROOT / p).read_text()))]
    asked += [page for page in PAGES if page.startswith("docs/from_authors/")]
    unknown = [p for p in asked if p not in RUN and not p.startswith(tuple(ELSEWHERE))]
    assert not unknown
    assert set(RUN) <= set(asked)


@pytest.mark.parametrize("name", [name for name, page in RUN.items() if page.run_by])
def test_what_is_run_elsewhere_is_run_there(name):
    """A command of the same verb and recipe, with these options and settings or more."""
    for pattern, page in RUN[name].run_by.items():
        mine = [form for words, form in forms(name) if matches(pattern, words)]
        away = tuple(RUN[page].run_by)
        there = [f for words, f in forms(page) if not any(matches(one, words) for one in away)]
        assert mine
        for verb, recipe, options in mine:
            assert any((v, r) == (verb, recipe) and options <= o for v, r, o in there), page


def forms(name: str) -> Iterator[tuple[list[str], tuple[str, str, set[str]]]]:
    """Every command of a page with its verb, its recipe or its run's, its options and settings."""
    recipes = dict(RUN[name].runs)
    for words in asked_by(name):
        given = dict(itertools.pairwise(words))
        workdir = given.get("--workdir", "")
        recipe = given.get("--config") or recipes.get(workdir, "")
        if words[0] == "train":
            recipes[workdir] = recipe
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        yield words, (words[0], recipe.partition(":")[0], options)
