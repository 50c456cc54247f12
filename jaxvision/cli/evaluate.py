"""Evaluate a trained run by its method's protocols.

OUT (or the workdir) gets results.json and pictures; of classifiers also what was said of every
record (EVALUATION_answers.csv, .json) and class (EVALUATION_classes), and the worst answers drawn.
"""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvision.data.shards import Shard
    from jaxvision.stores.staging import Staged

SUMMARY = "evaluate a run by its method's benchmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_shard, add_trained_model
    from jaxvision.stores.stored_path import path_to

    add_trained_model(parser)
    add_shard(parser)
    parser.add_argument("--only", metavar="NAME", help="one evaluation")
    parser.add_argument(
        "--out", type=path_to, help="folder for results.json and pictures, also in object storage"
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.data.shards import asked_shard
    from jaxvision.loading import load_run
    from jaxvision.stores.staging import Staged, check_out, kept_in_store, local_folder, nothing
    from jaxvision.training.distributed import start_distributed

    shard = asked_shard(arguments.shard)
    staged = None if arguments.out is None else local_folder(arguments.out, str(shard or ""))
    if staged is not None:
        check_out(staged)

    start_distributed({name: str(value) for name, value in vars(arguments).items()})
    task, mesh, variables = load_run(
        arguments.config,
        arguments.overrides,
        arguments.workdir,
        arguments.weights,
        arguments.step,
        compare_names=True,
    )

    import jax

    from jaxvision.errors import InputError, nearest
    from jaxvision.training.evaluation import Evaluator

    data = task.config.data
    evaluator = Evaluator(task, mesh, data.workers, data.threads, data.get("patience", 0.0))
    if not evaluator.evaluations:
        raise InputError(f"this config of {task.config.method} has no evaluations")
    if arguments.only and arguments.only not in evaluator.evaluations:
        raise InputError(
            f"--only {arguments.only!r}{nearest(arguments.only, evaluator.evaluations)}"
        )
    if staged is None and arguments.workdir is not None:
        staged = Staged(arguments.workdir)
    if shard is not None or arguments.merge:
        return run_shared(arguments, shard, staged, (task, evaluator, variables))
    evaluator.compile(variables)
    tables: dict[str, Any] = {}
    results, pictures = evaluator.run(
        variables, arguments.only, tables=None if staged is None else tables
    )
    if staged is None:
        tell(results)
        return 0
    # Nothing that lies there is looked at, and one process puts things there.
    with kept_in_store(staged if jax.process_index() == 0 else Staged(staged.folder), "", nothing):
        tell(results)
        write(results, pictures, tables, staged)
    return 0


def run_shared(
    arguments: argparse.Namespace,
    shard: "Shard | None",
    staged: "Staged | None",
    trained: tuple[Any, Any, Any],
) -> int:
    """One shard's batches, whose outputs are kept; or, of all of them (None), the results.

    trained: the task, its evaluator, its variables.
    """
    import jax

    from jaxvision.cli.predict import states_of_files
    from jaxvision.data.shards import finished_shards, of_a_shard, remove_shards, shard_folder
    from jaxvision.errors import InputError, writing
    from jaxvision.stores.staging import kept_in_store
    from jaxvision.training.config import as_json
    from jaxvision.training.stored_outputs import StoredOutputs
    from jaxvision.weights.fingerprint import fingerprint

    task, evaluator, variables = trained
    if staged is None:
        raise InputError("--shard and --merge: expected --out, a folder that all shards see")
    if jax.process_count() > 1:
        raise InputError(
            f"--shard and --merge: {jax.process_count()} processes run as one; expected one each"
        )
    config = as_json(task.config)
    job = {
        "config": config,
        "weights": fingerprint(variables),
        "only": arguments.only,
        "files": states_of_files(config["data"]),
    }
    out = staged.folder
    with kept_in_store(staged, "", shard.needs if shard else of_a_shard), writing(out):
        if shard is not None:
            with shard_folder(out, shard, job) as folder:
                evaluator.compile(variables)
                evaluator.store(variables, StoredOutputs([folder]), shard.of, arguments.only)
            print(f"shard {shard} is done; once all are: the same command with --merge")
            return 0
        shards = finished_shards(out, job)
        stored = StoredOutputs(shards)
        tables: dict[str, Any] = {}
        results, pictures = evaluator.run(variables, arguments.only, tables=tables, stored=stored)
        tell(results)
        write(results, pictures, tables, staged)
        remove_shards(shards)
    return 0


def tell(results: Mapping[str, float]) -> None:
    for name, value in results.items():
        print(f"{name}: {value:.6g}")


def write(
    results: Mapping[str, float],
    pictures: Mapping[str, Any],
    tables: Mapping[str, Any],
    staged: "Staged",
) -> None:
    """Write the results, with tables and pictures."""
    from jaxvision.data.tables import write_csv
    from jaxvision.errors import writing
    from jaxvision.training.run_record import write_json
    from jaxvision.viz.files import write_png

    out = staged.folder
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "results.json", results)
        for name, picture in pictures.items():
            write_png(out / f"{name}.png", picture)
            print(f"picture: {staged.shown(out / f'{name}.png')}")
        for name, rows in tables.items():
            write_json(out / f"{name}.json", rows)
            write_csv(out / f"{name}.csv", rows)
            print(f"table: {staged.shown(out / f'{name}.csv')}")
