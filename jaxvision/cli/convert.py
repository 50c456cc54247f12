"""Official weights into a folder of ours, and back out.

    jaxvision convert videomae/vit_b_k710 vit_b_k710_dl_from_giant.pth converted
    jaxvision convert videomae/vit_b_k710 converted back.pth

The way back gives the same names, shapes, values and order. FILE and OUT may be .pth or
.safetensors; a file to a file converts between the two. Tensors that do not belong to the network
are listed, and nothing is written.
"""

import argparse
from pathlib import Path

SUMMARY = "official weights into a folder of ours, and back out"
FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="METHOD/VARIANT", help="e.g. videomae/vit_b_k400")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="official file, or our folder")
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="a folder, or a .pth or .safetensors file"
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="names in a file written: official, hugging_face (default: as they were read)",
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import InputError
    from jaxvision.loading import official_model
    from jaxvision.weights import convert
    from jaxvision.weights.checkpoint_file import read_checkpoint

    source, out = arguments.source, arguments.out
    to_file = out.suffix in FILE_SUFFIXES
    if arguments.layout and not to_file:
        raise InputError(f"--layout is for files; {out} would be a folder of ours")
    if source.is_dir():
        converted = convert.load(source)
        network = official_model(arguments.network, converted.origin.names)
        convert.check_shapes(converted.variables, network, str(source))
    else:
        file = read_checkpoint(source)
        network = official_model(arguments.network, file.tensors)
        converted = convert.from_checkpoint(file, network, str(source))
    if to_file:
        out.parent.mkdir(parents=True, exist_ok=True)
        convert.to_file(out, converted, network, arguments.layout)
    else:
        convert.save(out, converted)
    print(f"{len(converted.origin.names)} tensors of {network.name}: {source} -> {out}")
    return 0
