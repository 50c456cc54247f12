"""A trained model for those who do not have this library.

    jaxvision export --workdir runs/mine exported
    jaxvision export --config videomae/vit_b_k400_finetune --weights FILE.pth exported \\
        --platform cpu gpu

OUT gets the parameters (Orbax, and .npz), config.json, and an artifact per platform that takes any
batch size and runs with jax and flatbuffers alone; export.json says what goes in and comes out:

    exported = jax.export.deserialize(bytearray(open("exported/cpu.jax_export", "rb").read()))
    outputs = exported.call(dict(numpy.load("exported/variables.npz")), {"video": clips})
"""

import argparse

# What JAX's users call a platform -> what an artifact is made for.
NAMES_OF_PLATFORMS = {"gpu": "cuda"}
SUMMARY = "parameters, and an artifact per platform that runs without this library"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_trained_model, mounted_folder

    parser.add_argument("out", type=mounted_folder, metavar="OUT", help="a folder")
    add_trained_model(parser)
    parser.add_argument(
        "--platform",
        nargs="+",
        default=["cpu", "cuda", "tpu"],
        metavar="NAME",
        help="default: cpu cuda tpu",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="a fixed one (default: any)")
    parser.add_argument("--bucket", metavar="NAME", help="whose shapes, where batches have several")


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import InputError, check_choice, check_writable, writing
    from jaxvision.export import PLATFORMS, export_model
    from jaxvision.loading import load_run

    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise InputError(f"--batch-size {arguments.batch_size}: expected at least 1")
    check_writable(arguments.out)
    # An artifact is for one device, whatever mesh the run had.
    for name in arguments.platform:
        check_choice("--platform", name, [*NAMES_OF_PLATFORMS, *PLATFORMS])
    platforms = [NAMES_OF_PLATFORMS.get(name, name) for name in arguments.platform]
    mesh = ["mesh.data=-1", "mesh.fsdp=1", "mesh.tensor=1"]
    task, _, variables = load_run(
        arguments.config,
        [*mesh, *arguments.overrides],
        arguments.workdir,
        arguments.weights,
        arguments.step,
    )
    with writing(arguments.out):
        written = export_model(
            task,
            variables,
            arguments.out,
            platforms,
            batch_size=arguments.batch_size,
            bucket=arguments.bucket,
        )
    for path in written:
        print(path)
    return 0
