"""List the methods and the recipes that `--config` takes; for one method its published weights, for
one recipe what it says of itself.

NAME:gpus=8 is a recipe that takes arguments, with their defaults.
"""

import argparse
import ast
from pathlib import Path
from typing import Any

SUMMARY = "the methods and their recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", help="only this method, or a recipe")


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.padding import Padding

    from jaxvision.errors import InputError, nearest
    from jaxvision.registry import METHODS
    from jaxvision.training.config import read_config, recipes, split_argument

    console, known = Console(highlight=False), recipes()
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
        mine = [with_arguments(r, file) for r, file in known.items() if r.startswith(f"{name}/")]
        if mine:
            console.print(Padding("  ".join(mine), (0, 0, 0, 2)))
    if arguments.method:
        print_published(Console(soft_wrap=True), arguments.method)
    return 0


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


def print_published(console: Any, method: str) -> None:
    """The weights a method's authors published, and what each was measured to do."""
    from jaxvision.loading import published

    rows = published(method)
    if rows:
        console.print("\npublished weights (jaxvision convert NETWORK FILE OUT):", highlight=False)
    for row in rows:
        console.print(f" {row.pop('network')}  {row.pop('file')}", highlight=False)
        about = "; ".join(f"{name} {value}" for name, value in row.items())
        console.print(f"   {about}", highlight=False)
