"""No page names what is not there: every command on every page has a verb, options, a recipe,
settings and networks that exist. Nothing is run."""

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from jaxvision.cli.main import VERBS, make_parser
from jaxvision.downloads.shipped import shipped_names
from jaxvision.errors import InputError
from jaxvision.networks import official_model, published
from jaxvision.registry import METHODS, load_config
from jaxvision.training.config import leaves, read_config, recipes

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md"),
    *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md"))),
    *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("jaxvision/methods/*/README.md"))),
]
# Of docs/adding_a_method.md, whose method exists only while its own test runs.
ELSEWHERE = ("perceptron",)
# `jaxvision VERB ...`, also behind a launcher; that of pods takes VERB ... alone.
COMMAND = re.compile(rf"(?:^|\s)(?:jaxvision|tpu_pod run .*? --) ((?:{'|'.join(VERBS)})\b.*)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words behind `jaxvision` of every command, "..." for what a page leaves out; and whether
    it is only mentioned in a sentence, which may leave out what a verb requires."""
    text = re.sub(r"\\\n\s*", " ", text)
    prose = FENCE.sub("", text)
    lines = [line for language, block in FENCE.findall(text) for line in block.splitlines()]
    lines += [line for line in prose.splitlines() if line.startswith("    ")]
    for line in lines:
        if found := COMMAND.search(line):
            yield shlex.split(found[1], comments=True), False
    for span in re.findall(r"`([^`]+)`", prose):
        if found := COMMAND.match(" ".join(span.split())):
            yield shlex.split(found[1], comments=True), True


def problems(text: str) -> list[str]:
    """What is wrong with the commands of a page."""
    wrong: list[str] = []
    recipe_of: dict[str, str] = {}  # by the workdir of a training of this page
    for words, mentioned in commands(text):
        try:
            check(words, recipe_of, mentioned)
        except InputError as error:
            wrong.append(f"jaxvision {' '.join(words)}: {error}")
    for key in re.findall(r"--config\.([a-z][\w.]*)=", text):
        if key not in settings_of("") and "perceptron/" not in text:
            wrong.append(f"--config.{key}: no recipe has such a setting")
    for name in re.findall(r"\b(?:load|class_names)\(\s*\"(\w+/\w+)\"", text):
        wrong += problem_of_network(name)
    for module, file in re.findall(
        r"python (?:-m ((?:benchmarks|launch|tests)[\w.]*)|((?:benchmarks|launch|tests)/\S+\.py))",
        text,
    ):
        path = ROOT / (file or module.replace(".", "/"))
        if not (path.exists() or path.with_suffix(".py").exists()):
            wrong.append(f"{file or module}: no such program")
    return wrong


def check(words: list[str], recipe_of: dict[str, str], mentioned: bool) -> None:
    """InputError where a command names something that is not there."""
    overrides = [word.removeprefix("--config.") for word in words if word.startswith("--config.")]
    whole = [word for word in words if not word.startswith("--config.")]
    if "..." not in whole:
        parse(whole, mentioned)
    options = dict(itertools.pairwise(whole))
    recipe, workdir = options.get("--config", ""), options.get("--workdir", "")
    if recipe.startswith(ELSEWHERE) or recipe.isupper():
        return
    recipe = recipe or recipe_of.get(workdir, "")
    if recipe:
        recipe_of[workdir] = recipe
        load_config(recipe, [override for override in overrides if "..." not in override])
    if (
        whole[0] == "convert"
        and "/" in "".join(whole[1:2])
        and (said := problem_of_network(whole[1]))
    ):
        raise InputError(said[0])
    fetched = whole[1:] if whole[0] == "fetch" else [options.get("--weights", "")]
    for name in fetched:
        if name.partition("/")[0] in METHODS and name not in published_names():
            raise InputError(f"{name}: nothing was published under that name")
    if whole[0] == "list" and whole[1:] and whole[1].islower() and whole[1] not in METHODS:
        load_config(whole[1])


def parse(words: list[str], mentioned: bool) -> None:
    """InputError with what the parser of the command line says."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            make_parser().parse_args(words)
    except SystemExit:
        reason = said.getvalue().strip().splitlines()[-1]
        if not (mentioned and "are required" in reason):
            raise InputError(reason) from None


def problem_of_network(name: str) -> list[str]:
    """Why no network is called that, if none is."""
    if name.partition("/")[0] not in METHODS:
        return [f"{name}: no such method"]
    try:
        official_model(name)
    except InputError as error:
        return [str(error)]
    return []


@cache
def published_names() -> set[str]:
    rows = [(method, row) for method in METHODS for row in published(method)]
    found = {name for method, row in rows for name in (row["network"], f"{method}/{row['file']}")}
    return found | set(shipped_names())


@cache
def settings_of(method: str) -> frozenset[str]:
    """Every setting of a method's recipes ("": of all), and the tables they are in."""
    mine = [recipe for recipe in recipes() if method in ("", recipe.partition("/")[0])]
    keys = {key for recipe in mine for key, _ in leaves(read_config(recipe))}
    return frozenset(key.rsplit(".", up)[0] for key in keys for up in range(key.count(".") + 1))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_what_is_there(page):
    assert problems((ROOT / page).read_text()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jaxvision train --config videomae/dmeo --workdir runs/a", "no config file"),
        ("jaxvision train --config videomae/demo", "--workdir"),
        ("jaxvision train --config videomae/demo --workdir a --config.train.step=2", "train.step"),
        ("jaxvision plan --config videomae/demo --topologies v5e:2x2", "--topolog"),
        ("jaxvision prepare video SRC DST", "invalid choice"),
        ("jaxvision fetch videomae/vit_b_k71", "nothing was published"),
        ("jaxvision convert videomae/vit_b_k71 a b", "vit_b_k71"),
        ("python benchmarks/videomae.py", "no such program"),
        ('jaxvision.load("videomae/vit_b_k71")', "vit_b_k71"),
    ],
)
def test_what_is_not_there_is_found(line, said):
    found = problems(f"# A page\n\n```\n{line}\n```\n")
    assert found
    assert all(said in problem for problem in found)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/from_authors/*.md")), ids=lambda p: p.stem)
def test_settings_beside_the_authors_exist(page):
    """The last column of a page's tables names settings of its method."""
    text = page.read_text()
    cells = [row.rstrip("|").rpartition("|")[2] for row in re.findall(r"^\|.*\|$", text, re.M)]
    keys = {
        key for cell in cells for key in re.findall(r"`((?!jaxvision\.)[a-z]\w*(?:\.\w+)+)", cell)
    }
    known = settings_of(page.stem)
    unknown = {key for key in keys if key not in known and not key.endswith((".md", ".py"))}
    assert not unknown
    assert keys or not known
