"""What a recipe needs of machines one does not have, before they are paid for.

Compiles the recipe's real training step for each topology with that machine's own compiler, and
prints memory, operations, what the chips send each other, and the least time a step can take.
Nothing runs, and no data is needed.

topologies: [COUNTx]CHIP:SHAPE, e.g. v5e:16x16, v5p:8x8x16, 4xv5e:16x16 (four slices), h100:8,
4xh200:8 (four nodes). Chips: v4, v5e, v5p, v6e, tpu7x, h100, h200.

    jaxvision plan --all plans.jsonl

plans every published training on v5e:16x16, v5p:4x4x8, v6e:16x16 and tpu7x:4x4x4 (or the given
topologies), or the largest part of one over which the published batch divides, and prints a table
of each. It takes hours; run it again to go on.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxvision.planning.plan import Assumptions

SUMMARY = "does a recipe fit a machine, how fast, at what price: without the machine"
SEARCHED = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import add_config

    add_config(parser, required=False)
    parser.add_argument(
        "--all", type=Path, metavar="FILE", help="instead of a recipe: all; answers are kept there"
    )
    parser.add_argument(
        "--topology",
        action="append",
        default=[],
        metavar="CHIP:SHAPE",
        help="a machine; may be given several times",
    )
    parser.add_argument(
        "--code",
        action="store_true",
        help="generate the program's code, too, which takes some hundredths of a TPU's memory; for "
        "networks of convolutions that takes many minutes",
    )
    parser.add_argument(
        "--search",
        nargs="?",
        type=int,
        const=SEARCHED,
        metavar="N",
        help="try meshes, micro-batches and remat policies, and rank what fits; about N "
        f"compilations a topology ({SEARCHED})",
    )
    parser.add_argument(
        "--weak",
        action="store_true",
        help="let train.batch_size, that of the first topology, grow with the chips, and compare "
        "rates per chip",
    )
    parser.add_argument(
        "--records", type=int, default=0, metavar="N", help="of the data set, where it is not here"
    )
    parser.add_argument(
        "--price", type=float, default=0.0, metavar="P", help="of a chip for an hour"
    )
    parser.add_argument(
        "--host-network",
        type=float,
        default=25.0,
        metavar="GB/s",
        help="between slices or nodes, a host (25)",
    )
    parser.add_argument(
        "--of-peak",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the peak arithmetic rate that a chip is taken to reach (1.0)",
    )
    parser.add_argument(
        "--decode-rate",
        type=float,
        default=0.0,
        metavar="R",
        help="records a second that one host core prepares (48 for video files)",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="WORKDIR",
        help="a run of the recipe on one of the topologies, to stand beside what is predicted",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="draw a chip's memory by category"
    )


def run(arguments: argparse.Namespace) -> int:
    import os

    from jaxvision.errors import InputError
    from jaxvision.planning.topologies import describe, parse

    if (arguments.config is None) == (arguments.all is None):
        raise InputError("expected --config RECIPE or --all FILE")
    if arguments.all is not None:
        return run_all(arguments)
    if not arguments.topology:
        raise InputError("expected --topology CHIP:SHAPE, such as v5e:16x16")
    if arguments.measured and arguments.search:
        raise InputError("--measured stands beside one plan of the recipe: leave out --search")
    topologies = [parse(name) for name in arguments.topology]
    # No chip of this machine takes part.
    os.environ["JAX_PLATFORMS"] = "cpu"

    from rich.console import Console

    from jaxvision.planning import measured, report, search
    from jaxvision.planning.compile import with_settings
    from jaxvision.planning.plan import Planner, Target
    from jaxvision.registry import load_config, make_task

    config = load_config(arguments.config, arguments.overrides)
    assumptions = assumed(arguments)
    progress = Console(stderr=True, soft_wrap=True)
    planner = Planner(
        config,
        make_task,
        assumptions,
        lambda text: progress.print(text, highlight=False),
        code=arguments.code,
    )
    run = measured.MeasuredRun.read(arguments.measured) if arguments.measured else None
    if run is not None:
        run.check_was_on_one_of(topologies)
    plans = []
    for topology in topologies:
        target = Target(topology, describe(topology))
        if arguments.search:
            found = search.search(planner, target, arguments.search)
            if not found:
                progress.print(f"{topology.name}: nothing that was tried fits", highlight=False)
            plans += found
            continue
        changes = {}
        if arguments.weak:
            changes = search.scale_batch(config, topology.chips, topologies[0].chips)
        for plan in planner.plans(target, changes):
            if run is not None:
                plan = run.compare(plan, topology, with_settings(config, changes))
            plans.append(plan if plan.fits else search.remedy(planner, target, plan))

    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 240  # rows that a pipe should get whole
    if arguments.json:
        import json

        console.print_json(json.dumps([plan.as_json() for plan in plans]))
    elif arguments.search:
        report.print_ranking(sorted(plans, key=search.speed), console)
        if plans:
            report.print_plans(sorted(plans, key=search.speed)[:1], console)
    else:
        report.print_plans(plans, console)
        if arguments.weak:
            console.print(report.weak_scaling_table(plans))
    if not arguments.json:
        console.print(report.assumed(assumptions), highlight=False)
    if arguments.picture and plans:
        from jaxvision.planning.picture import memory_picture
        from jaxvision.viz.files import write_png

        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        write_png(arguments.picture, memory_picture(plans))
        progress.print(f"picture: {arguments.picture}", highlight=False)
    return 0


def assumed(arguments: argparse.Namespace) -> "Assumptions":
    """What the options say that the compiler cannot know."""
    from jaxvision.planning.plan import Assumptions

    return Assumptions(
        records=arguments.records,
        host_network=arguments.host_network * 1e9,
        of_peak=arguments.of_peak,
        decode_rate=arguments.decode_rate,
        price=arguments.price,
    )


def run_all(arguments: argparse.Namespace) -> int:
    """Every published training on every machine, and their tables."""
    import os
    import sys

    from jaxvision.errors import InputError, check_writable
    from jaxvision.planning.topologies import parse

    for option in ("search", "weak", "measured", "json", "picture", "overrides"):
        if getattr(arguments, option):
            raise InputError(f"--all: expected no --{option}")
    check_writable(arguments.all, file=True)
    os.environ["JAX_PLATFORMS"] = "cpu"

    from jaxvision.planning import every_recipe, search
    from jaxvision.planning.plan import Plan, Planner
    from jaxvision.registry import load_config, make_task
    from jaxvision.training.config import recipes

    machines = {name: parse(name) for name in arguments.topology or every_recipe.MACHINES}
    assumptions = assumed(arguments)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def plan(recipe: str, machine: str) -> list[Plan]:
        planner = Planner(load_config(recipe), make_task, assumptions, say, code=arguments.code)
        target = search.largest_part(planner, machines[machine])
        plans = planner.plans(target, {})
        return [each if each.fits else search.remedy(planner, target, each) for each in plans]

    names = every_recipe.distinct(recipes(), load_config)
    work = [(name, machine) for machine in machines for name in names]
    print(every_recipe.tables(every_recipe.fill(arguments.all, work, plan, say)))
    return 0
