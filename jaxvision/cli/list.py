"""List the methods and the recipes that `--config` takes; for one method, its published weights."""

import argparse
from typing import Any

SUMMARY = "the methods and their recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", help="only this one")


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from jaxvision.errors import InputError, nearest
    from jaxvision.registry import METHODS
    from jaxvision.training.config import recipes

    if arguments.method and arguments.method not in METHODS:
        raise InputError(f"unknown method {arguments.method!r}{nearest(arguments.method, METHODS)}")
    table = Table("method", "paper", "status", "recipes", box=None, header_style="bold")
    known = recipes()
    for name, method in METHODS.items():
        if arguments.method in (None, name):
            mine = [recipe for recipe in known if recipe.startswith(f"{name}/")]
            table.add_row(name, f"{method.title} ({method.paper})", method.status, "\n".join(mine))
    console = Console(soft_wrap=True)
    console.print(table)
    if arguments.method:
        print_published(console, arguments.method)
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
