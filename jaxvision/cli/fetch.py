"""Fetch published weights by name, once, and print where they lie.

    jaxvision fetch videomae/vit_b_k710
    jaxvision fetch umt/b16_25m.pth

Licence and address are said before; size and sha256 are noted, and a file that is another one
later is refused. What was fetched is found without a network; with HF_HUB_OFFLINE=1 none is asked.
"""

import argparse
from pathlib import Path

SUMMARY = "published weights by name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="e.g. videomae/vit_b_k710")


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import InputError
    from jaxvision.networks import locate, network_called

    for name in arguments.names:
        network_called(name)
        if Path(name).exists():
            raise InputError(f"{name}: a file or folder of this name is here: it would be taken")
        print(locate(name))
    return 0
