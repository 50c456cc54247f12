"""`jaxvision VERB`: parses the command line, runs a verb, turns its end into an exit status."""

import argparse
import importlib
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jaxvision import __version__
from jaxvision.errors import InputError, disk_problem, nearest

# Each verb is a module here with SUMMARY, add_arguments(parser) and run(arguments) -> exit status.
VERBS = (
    *("convert", "demo", "evaluate", "export", "fetch", "inspect", "list", "plan", "predict"),
    *("prepare", "tour", "train"),
)

EXIT_CODES = (
    "exit status: 0 finished, 75 preempted (run again to resume), 2 bad input, 1 other errors"
)
EXAMPLES = """examples:
  jaxvision demo --workdir runs/demo
  jaxvision train --config videomae/demo --workdir runs/mae --config.train.steps=200
  jaxvision inspect --config videomae/vit_b_hybrid_pretrain
  jaxvision plan --config videomae/vit_g_hybrid_pretrain --topology v5e:16x16 --search
  jaxvision predict --workdir runs/mae clip.mp4 --out pictures
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxvision",
        description="Ten published vision methods in JAX: train, evaluate, predict, look.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jaxvision {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name in VERBS:
        module = importlib.import_module(f"jaxvision.cli.{name}")
        verb = verbs.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        return refuse(f"unknown verb {argv[0]!r}{nearest(argv[0], VERBS)}")
    parser = make_parser()
    # argparse takes a word with a space in it for a file.
    overrides = [word.removeprefix("--config.") for word in argv if word.startswith("--config.")]
    others = [word for word in argv if not word.startswith("--config.")]
    arguments, wrong = parser.parse_known_args(others)
    if arguments.verb is None:
        parser.print_help()
        return 0
    if wrong:
        parser.parse_args([arguments.verb, "--help"]) if wrong[0] == "--help" else None
        known = [name for name in vars(arguments) if name not in ("verb", "_override")]
        return refuse(f"unknown argument {wrong[0]!r}{nearest(wrong[0].lstrip('-'), known)}")
    arguments.overrides = overrides
    module = importlib.import_module(f"jaxvision.cli.{arguments.verb}")
    return leave_together(run_verb(module.run, arguments))


def leave_together(status: int) -> int:
    """`status`; but one of several processes that failed ends here and now.

    Orbax's threads would keep it for minutes, waiting for saves that the others cannot finish, and
    nobody would know that it is lost.
    """
    jax = sys.modules.get("jax")
    if status not in (0, 75) and jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def run_verb(run, arguments: argparse.Namespace) -> int:
    """Call a verb; bad input becomes one line and 2, a preemption 75."""
    import logging

    # Orbax and absl narrate every save at levels that drown what a person needs to see, and show
    # tracebacks of background threads whose errors the loop tells in a line.
    for narrator in ("absl", "asyncio"):
        logging.getLogger(narrator).setLevel(logging.CRITICAL)
    drop_disk_tracebacks()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return run(arguments) or 0
    except InputError as error:
        return refuse(str(error))
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        from jaxvision.training.early_stop import end_at_once

        end_at_once("interrupted", 130)
    except Exception as error:
        problem = disk_problem(error) or missing_setting(error)
        if problem is not None:
            return refuse(problem)
        # The engine's exceptions are known only once jax has been imported.
        if type(error).__name__ == "Preempted":
            from jaxvision.training.config import command_line

            print(f"{error}; to go on, run again: {command_line()}", file=sys.stderr)
            return 75
        if type(error).__name__ in ("SaveError", "FloatingPointError"):
            print(f"jaxvision: error: {error}", file=sys.stderr)
            return 1
        if type(error).__name__ == "Stalled":
            print(f"jaxvision: error: {error}", file=sys.stderr)
            end_with_readers()
        if "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
            traceback.print_exc()
            return 1
        raise


def missing_setting(error: Exception) -> str | None:
    """What to say where a setting was read that a config lacks, or None."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    of_config = frame.f_globals["__name__"] == "ml_collections.config_dict.config_dict"
    if not isinstance(error, (AttributeError, KeyError)) or not of_config:
        return None
    name = re.findall(r"\w+", str(error))[0]
    return (
        f"the config has no setting {name!r}, which is read here: another recipe has it, or this "
        "is the config of an older version"
    )


def drop_disk_tracebacks() -> None:
    """When a disk is full, threads of other libraries show a traceback each, some at the very end:
    the run tells it in one line."""

    def dropping(show: Callable[..., Any]) -> Callable[..., Any]:
        def hook(*arguments: Any) -> None:
            error = getattr(arguments[0], "exc_value", None) or arguments[-2:][0]
            echo = str(error) in ("Event loop is closed", "handle is closed")
            if not isinstance(error, BaseException) or not (echo or disk_problem(error)):
                show(*arguments)

        return hook

    sys.excepthook = dropping(sys.excepthook)
    sys.unraisablehook = dropping(sys.unraisablehook)
    threading.excepthook = dropping(threading.excepthook)


def end_with_readers() -> NoReturn:
    """Exit status 1, with the worker processes: a reader that hangs would be waited for."""
    import multiprocessing

    for worker in multiprocessing.active_children():
        worker.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def refuse(message: str) -> int:
    print(f"jaxvision: error: {message}", file=sys.stderr)
    return 2
