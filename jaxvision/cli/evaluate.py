"""Evaluate a trained run by its method's protocols.

OUT (or the workdir) gets results.json and pictures; of classifiers also what was said of every
record (EVALUATION_answers.csv, .json) and class (EVALUATION_classes), and the worst answers drawn.
"""

import argparse
from pathlib import Path
from typing import Any

SUMMARY = "evaluate a run by its method's benchmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_trained_model

    add_trained_model(parser)
    parser.add_argument("--only", metavar="NAME", help="one evaluation")
    parser.add_argument("--out", type=Path, help="folder for results.json and pictures")


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.errors import check_writable
    from jaxvision.loading import load_run
    from jaxvision.training.distributed import start_distributed

    if arguments.out is not None:
        check_writable(arguments.out)

    start_distributed({name: str(value) for name, value in vars(arguments).items()})
    task, mesh, variables = load_run(
        arguments.config,
        arguments.overrides,
        arguments.workdir,
        arguments.weights,
        arguments.step,
        compare_names=True,
    )

    from jaxvision.data.tables import write_csv
    from jaxvision.errors import InputError, nearest, writing
    from jaxvision.training.evaluation import Evaluator
    from jaxvision.training.run_record import write_json
    from jaxvision.viz.files import write_png

    data = task.config.data
    evaluator = Evaluator(task, mesh, data.workers, data.threads, data.get("patience", 0.0))
    if not evaluator.evaluations:
        raise InputError(f"this config of {task.config.method} has no evaluations")
    if arguments.only and arguments.only not in evaluator.evaluations:
        raise InputError(
            f"--only {arguments.only!r}{nearest(arguments.only, evaluator.evaluations)}"
        )
    evaluator.compile(variables)
    tables: dict[str, Any] = {}
    out = arguments.out or arguments.workdir
    results, pictures = evaluator.run(
        variables, arguments.only, tables=None if out is None else tables
    )
    for name, value in results.items():
        print(f"{name}: {value:.6g}")
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            write_json(out / "results.json", results)
            for name, picture in pictures.items():
                write_png(out / f"{name}.png", picture)
                print(f"picture: {out / f'{name}.png'}")
            for name, rows in tables.items():
                write_json(out / f"{name}.json", rows)
                write_csv(out / f"{name}.csv", rows)
                print(f"table: {out / f'{name}.csv'}")
    return 0
