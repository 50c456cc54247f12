"""Train a recipe in a workdir; run the same command again to carry on from its last checkpoint.

SIGTERM and Ctrl-C save the state before the end (exit status 75). Kill it any other way, and it
carries on from the last checkpoint that was written whole.
"""

import argparse
from collections.abc import Callable

SUMMARY = "train a recipe, or carry on with a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_config, add_workdir

    add_config(parser)
    add_workdir(parser)
    parser.add_argument(
        "--copies",
        default="",
        metavar="ADDRESS",
        help="of object storage (gs://, s3://): every whole checkpoint is copied there, too; a "
        "workdir that lacks the newest one takes it from there",
    )
    parser.add_argument(
        "--profile",
        metavar="START:STOP",
        help="write a profiler trace of these steps to the workdir, e.g. 100:110",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="stop at the first NaN, and check every annotated shape (slow)",
    )


def run(arguments: argparse.Namespace) -> int:
    # Importing JAX takes seconds: say before it what was understood.
    begun = (arguments.workdir / "config.json").is_file()
    verb = "carrying on with" if begun else "training"
    print(f"{verb} {arguments.config} in {arguments.workdir}", flush=True)
    from jaxvision.training.config import command_line
    from jaxvision.training.early_stop import EarlyStop

    with EarlyStop(command_line()) as early:
        return run_until_stopped(arguments, early.close)


def run_until_stopped(arguments: argparse.Namespace, leave_signals: Callable[[], None]) -> int:
    """leave_signals: called before several processes are joined, whose signals are JAX's."""
    from jaxvision.registry import load_config, make_task, refuse_old_keys
    from jaxvision.training.config import config_of_run, leaves
    from jaxvision.training.distributed import settings, start_distributed

    overrides = list(arguments.overrides)
    if arguments.profile:
        overrides += profile_overrides(arguments.profile)
    if arguments.debug:
        overrides.append("debug=True")
        check_shapes()
    config = load_config(arguments.config, overrides)
    stored = arguments.workdir / "config.json"
    if stored.is_file():
        refuse_old_keys(config.method, dict(leaves(config_of_run(stored))))
    started_with = {"workdir": str(arguments.workdir), **settings(config)}
    start_distributed(started_with, leave_signals)

    from jaxvision.loading import keep_programs, read_weights
    from jaxvision.training.loop import train

    keep_programs()
    train(
        make_task(config),
        config,
        arguments.workdir,
        read_weights,
        recipe=str(arguments.config),
        copies=arguments.copies,
    )
    return 0


def profile_overrides(text: str) -> list[str]:
    from jaxvision.errors import InputError
    from jaxvision.text_files import integer

    start, stop = map(integer, text.partition(":")[::2])
    if start is None or stop is None or not 0 <= start < stop:
        raise InputError(f"--profile {text!r}: expected START:STOP, e.g. 100:110")
    return [f"profile.start_step={start}", f"profile.steps={stop - start}"]


def check_shapes() -> None:
    """Check the shapes in every signature of the package that has not been imported yet."""
    import jaxtyping

    jaxtyping.install_import_hook(
        ["jaxvision.methods", "jaxvision.nn", "jaxvision.ops"], "beartype.beartype"
    )
