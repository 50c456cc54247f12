"""List the methods, and the recipes that `--config` takes."""

import argparse

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
    Console().print(table)
    return 0
