"""What there is: the methods, with the recipes to begin with; of one method every recipe by its
job, and the weights, shipped and published; of one recipe what it says of itself.

NAME:gpus=8 is a recipe that takes arguments, with their defaults.
"""

import argparse
import ast
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

# What a recipe is for, by a word of its name; the first that fits. What one would want comes first.
JOBS = {
    "demo": "to try, here and now",
    "own": "on your own data",
    "pretrain": "pretraining, as published",
    "distill": "distillation",
    "finetune": "tuning, as published",
    "classifier": "classifiers of tasks, as published",
    "": "as published",
}
BEGIN_WITH = ("demo", "own")
SUMMARY = "the methods and their recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", help="all of this method, or a recipe")


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from jaxvision.errors import InputError, nearest
    from jaxvision.registry import METHODS
    from jaxvision.training.config import read_config, recipes, split_argument

    console, known = Console(highlight=False, soft_wrap=True), recipes()
    recipe, argument = split_argument(arguments.method or "")
    if recipe in known:
        if argument is not None:
            read_config(arguments.method)
        console.print(f"[bold]{with_arguments(recipe, known[recipe])}[/bold]")
        console.print(ast.get_docstring(ast.parse(known[recipe].read_text())), markup=False)
        return 0
    if arguments.method and arguments.method not in METHODS:
        raise InputError(
            f"unknown method {arguments.method!r}{nearest(arguments.method, [*METHODS, *known])}"
        )
    for name, method in METHODS.items():
        if arguments.method not in (None, name):
            continue
        console.print(f"[bold]{name}[/bold]  {method.title} ({method.paper}): {method.status}")
        mine = {r: file for r, file in known.items() if r.startswith(f"{name}/")}
        print_recipes(console, mine, () if arguments.method else BEGIN_WITH)
    if arguments.method:
        print_shipped(console, arguments.method)
        print_published(Console(soft_wrap=True), arguments.method)
    return 0


def print_recipes(console: Any, recipes: Mapping[str, Path], only: Collection[str]) -> None:
    """A line a recipe, under its job.  only: jobs that are shown (() for all); others are
    counted."""
    from rich.markup import escape

    by_job: dict[str, list[str]] = {job: [] for job in JOBS}
    for name in recipes:
        words = [*name.partition("/")[2].split("_"), ""]
        by_job[next(job for job in JOBS if job in words)].append(name)
    shown = [job for job, names in by_job.items() if names and (job in only or not only)]
    for job in shown:
        console.print(f"  {JOBS[job]}:")
        for name in by_job[job]:
            doc = ast.get_docstring(ast.parse(recipes[name].read_text())) or ""
            said = doc.partition("\n")[0]
            console.print(f"    {with_arguments(name, recipes[name])}  [dim]{escape(said)}[/dim]")
    left = sum(len(names) for job, names in by_job.items() if job not in shown)
    if left:
        method = next(iter(recipes)).partition("/")[0]
        console.print(f"  and {left} as published: jaxvision list {method}")


def with_arguments(recipe: str, file: Path) -> str:
    """A recipe's name, with its arguments and their defaults where it takes any."""
    tree = ast.parse(file.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if not any(f.name == "get_config" and f.args.args for f in functions):
        return recipe
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "recipe_arguments"
    ]
    given = [f"{k.arg}={ast.unparse(k.value)}" for call in calls for k in call.keywords]
    return f"{recipe}:{','.join(given) or '...'}"


def print_shipped(console: Any, method: str) -> None:
    """The weights of a method that come with this library, and what each was measured to do."""
    from rich.markup import escape

    from jaxvision.downloads.shipped import shipped, shipped_names

    mine = [name for name in shipped_names() if name.startswith(f"{method}/")]
    if mine:
        console.print(
            "\nweights that come with it, by name: --weights NAME, or jaxvision.load(NAME)"
        )
    for demo in filter(None, map(shipped, mine)):
        console.print(
            f" {demo.name}  [dim]{demo.parameters:,} parameters; {escape(demo.told)}[/dim]"
        )


def print_published(console: Any, method: str) -> None:
    """The weights a method's authors published, and what each was measured to do."""
    from jaxvision.networks import published

    rows = published(method)
    if rows:
        console.print(
            "\npublished weights; those with an address (the authors', not tried here) by name: "
            "--weights NETWORK, or jaxvision fetch NETWORK",
            highlight=False,
        )
    for row in rows:
        console.print(f" {row.pop('network')}  {row.pop('file')}", highlight=False)
        about = "; ".join(f"{name} {value}" for name, value in row.items() if value)
        console.print(f"   {about}", highlight=False)
