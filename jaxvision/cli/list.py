"""List the methods and the recipes that `--config` takes; for one method, its published weights."""

import argparse
from typing import Any

SUMMARY = "the methods and their recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", help="only this one")


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.padding import Padding

    from jaxvision.errors import InputError, nearest
    from jaxvision.registry import METHODS
    from jaxvision.training.config import recipes

    if arguments.method and arguments.method not in METHODS:
        raise InputError(f"unknown method {arguments.method!r}{nearest(arguments.method, METHODS)}")
    console, known = Console(highlight=False), recipes()
    for name, method in METHODS.items():
        if arguments.method not in (None, name):
            continue
        console.print(f"[bold]{name}[/bold]  {method.title} ({method.paper}): {method.status}")
        mine = [recipe for recipe in known if recipe.startswith(f"{name}/")]
        if mine:
            console.print(Padding("  ".join(mine), (0, 0, 0, 2)))
    if arguments.method:
        print_published(Console(soft_wrap=True), arguments.method)
    return 0


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
