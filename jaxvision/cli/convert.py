"""Official weights into a folder of ours, and back out; a trained run into an official file.

    jaxvision convert videomae/vit_b_k710 vit_b_k710_dl_from_giant.pth converted
    jaxvision convert videomae/vit_b_k710 converted back.pth
    jaxvision convert videomae/vit_b_12classes WORKDIR mine.pth --weights raw

The way back gives the same names, shapes, values and order. FILE and OUT may be .pth (.pt, .pkl,
.bin) or .safetensors; a file to a file converts between the two. Tensors that do not belong to the
network are listed, and nothing is written. What training does not touch (counters, tables) comes
from the file that the run started from.
"""

import argparse
from pathlib import Path

SUMMARY = "official weights into a folder of ours, and back out; a run into an official file"
FILE_SUFFIXES = (".pth", ".pt", ".pkl", ".bin", ".safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import mounted_folder
    from jaxvision.stores.stored_path import path_to

    parser.add_argument("network", metavar="METHOD/VARIANT", help="e.g. videomae/vit_b_k400")
    parser.add_argument(
        "source",
        type=path_to,
        metavar="SOURCE",
        help="official file or the name of a published one, our folder, or the workdir of a run",
    )
    parser.add_argument(
        "out",
        type=mounted_folder,
        metavar="OUT",
        help="a folder, or a .pth, .pkl or .safetensors file",
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="names in a file written: official, hugging_face (default: as they were read)",
    )
    parser.add_argument(
        "--entry", metavar="NAME", help="which entry of an official file (model, model_ema, ...)"
    )
    parser.add_argument(
        "--weights",
        choices=("raw", "ema"),
        help="of a run: the trained or the averaged ones (default: averaged where kept)",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="FILE",
        help="of a run: where tensors that training does not touch are (default: its config.init)",
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import InputError, check_writable, writing
    from jaxvision.loading import official_from_run
    from jaxvision.networks import locate, official_model
    from jaxvision.weights import convert
    from jaxvision.weights.checkpoint_file import read_checkpoint

    source, out = locate(arguments.source), arguments.out
    to_file = out.suffix in FILE_SUFFIXES
    check_writable(out, file=to_file)
    if out.resolve() == source.resolve():
        raise InputError(f"{out}: expected another place than SOURCE, which is being read")
    is_run = (source / "checkpoints").is_dir()
    if arguments.layout and not to_file:
        raise InputError(f"--layout is for files; {out} would be a folder of ours")
    if (arguments.weights or arguments.initial) and not is_run:
        raise InputError(f"--weights and --initial are for runs; {source} is no run's workdir")
    if arguments.entry and source.is_dir():
        raise InputError(f"--entry is for files; {source} is a folder")
    if is_run:
        averaged = {"raw": False, "ema": True}.get(arguments.weights)
        network, converted = official_from_run(
            arguments.network, source, averaged=averaged, initial=arguments.initial
        )
    elif source.is_dir():
        converted = convert.load(source)
        network = official_model(arguments.network, converted.origin.names)
        convert.check_shapes(converted.variables, network, str(source))
    else:
        file = read_checkpoint(source, entry=arguments.entry)
        if others := file.other_entries():
            taken = f"entry {file.key!r}" if file.key else "its own tensors"
            print(f"{source}: {taken}; --entry would take {' or '.join(map(repr, others))}")
        network = official_model(arguments.network, file.tensors)
        converted = convert.from_checkpoint(file, network, str(source))
    with writing(out):
        if to_file:
            out.parent.mkdir(parents=True, exist_ok=True)
            convert.to_file(out, converted, network, arguments.layout)
        else:
            convert.save(out, converted)
    tensors = converted.origin.names or network.entries
    print(f"{len(tensors)} tensors of {network.name}: {source} -> {out}")
    return 0
