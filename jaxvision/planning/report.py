"""Plans as tables for a terminal."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from jaxvision.planning.plan import Assumptions, Plan

GB, GIB = 1e9, 2**30
ROWS: tuple[tuple[str, Callable[[Plan], str]], ...] = (
    ("mesh", lambda p: " x ".join(f"{name} {size}" for name, size in p.mesh.items() if size > 1)),
    ("changed", lambda p: settings(p.changes)),
    ("chips (hosts)", lambda p: f"{p.chips} ({p.hosts})"),
    ("bucket", lambda p: p.bucket),
    ("samples a step", lambda p: f"{p.samples:,}"),
    ("parameters trained", lambda p: f"{p.parameters:,}"),
    ("peak of a chip's memory", lambda p: f"{gib(p.peak)} of {gib(p.capacity)} GiB"),
    ("fits", lambda p: "yes" if p.fits else f"NO: {gib(p.peak - p.capacity)} GiB over"),
    ("would fit with", lambda p: settings(p.remedy) if p.remedy else ""),
    ("TFLOP a chip, recomputed too", lambda p: tera((p.executed_flops or 0) / p.chips)),
    ("TFLOP a chip, as compiled", lambda p: tera(p.compiled_flops)),
    ("GB a chip's memory moves", lambda p: gb(p.hbm_bytes)),
    ("seconds: compute", lambda p: seconds(p.times.compute if p.times else None)),
    ("seconds: memory", lambda p: seconds(p.times.memory if p.times else None)),
    ("seconds: links", lambda p: seconds(p.times.links if p.times else None)),
    ("seconds: network", lambda p: seconds(p.times.network if p.times else None)),
    ("seconds a step, at least", lambda p: seconds(p.seconds)),
    ("seconds a step, measured", lambda p: seconds(p.measured_seconds)),
    ("least / measured", lambda p: share(p.seconds, p.measured_seconds)),
    (
        "peak of memory, measured",
        lambda p: f"{gib(p.measured_peak)} GiB" if p.measured_peak else "",
    ),
    ("bound by", lambda p: p.bound or ""),
    ("utilisation, at most", lambda p: f"{p.utilisation:.0%}" if p.utilisation else ""),
    ("samples a second", lambda p: f"{p.samples_per_second:,.0f}" if p.samples_per_second else ""),
    ("cores a host to decode", lambda p: f"{p.cores_per_host:,.0f}" if p.cores_per_host else ""),
    ("steps of the recipe", lambda p: f"{p.steps:,}" if p.steps else ""),
    ("days of the recipe", lambda p: number(p.days) if p.days else ""),
    ("price of the recipe", lambda p: f"{p.price:,.2f}" if p.price else ""),
    ("compiled in", lambda p: f"{p.compile_seconds:.0f} s"),
)
RANKED = (
    *("mesh", "changed", "peak of a chip's memory", "seconds a step, at least", "bound by"),
    *("utilisation, at most", "samples a second"),
)


def gib(size: float | None) -> str:
    return "" if size is None else number(size / GIB)


def gb(size: float | None) -> str:
    return "" if size is None else number(size / GB)


def number(value: float) -> str:
    """Two decimals, or as many as a small number needs."""
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def tera(operations: float | None) -> str:
    return "" if operations is None else f"{operations / 1e12:,.3g}"


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def share(part: float | None, whole: float | None) -> str:
    return f"{part / whole:.0%}" if part and whole else ""


def settings(changes: dict) -> str:
    return " ".join(f"{key}={value}" for key, value in changes.items())


def print_plans(plans: Sequence[Plan], console: Console) -> None:
    """A column for every plan, then its memory and its collectives."""
    table = Table("", *(plan.topology for plan in plans), box=None, header_style="bold")
    for name, show in ROWS:
        cells = [show(plan) for plan in plans]
        if any(cells):
            table.add_row(name, *cells)
    console.print(table)
    console.print(memory_table(plans))
    for plan in plans:
        if plan.collectives:
            console.print(collective_table(plan))
        for fallback in plan.fallbacks:
            console.print(f"sharding: {fallback}", highlight=False, markup=False)


def memory_table(plans: Sequence[Plan]) -> Table:
    table = Table(
        "GiB of a chip", *(plan.topology for plan in plans), box=None, header_style="bold"
    )
    for name in dict.fromkeys(name for plan in plans for name in plan.memory):
        table.add_row(name, *(gib(plan.memory.get(name)) for plan in plans))
    return table


def collective_table(plan: Plan) -> Table:
    table = Table(
        f"{plan.topology}: collective",
        *("mesh axes", "type", "a step", "GB of the arrays", "GB a chip sends", "GB off the slice"),
        box=None,
        header_style="bold",
    )
    for c in plan.collectives:
        table.add_row(
            c.kind,
            " x ".join(c.axes) or "neighbours",
            c.dtype,
            f"{c.count:,.0f}",
            f"{c.bytes / GB:,.4g}",
            f"{c.moved / GB:,.4g}",
            f"{c.crossing / GB:,.4g}" if c.crossing else "",
        )
    return table


def print_ranking(plans: Sequence[Plan], console: Console) -> None:
    """A row for every plan, as given."""
    shown = dict(ROWS)
    table = Table("", "topology", *RANKED, box=None, header_style="bold")
    for number, plan in enumerate(plans, 1):
        table.add_row(str(number), plan.topology, *(shown[name](plan) for name in RANKED))
    console.print(table)


def weak_scaling_table(plans: Sequence[Plan]) -> Table:
    """Rates per chip against the first plan's: all overlapping, and nothing."""
    table = Table(
        *("topology", "chips", "samples a step", "samples a second and chip", "of the first's"),
        "if nothing overlaps",
        box=None,
        header_style="bold",
    )
    known = [plan for plan in plans if plan.times and plan.seconds]
    for plan in known:
        table.add_row(
            plan.topology,
            str(plan.chips),
            f"{plan.samples:,}",
            number(plan.samples / plan.chips / (plan.seconds or 1)),
            f"{_rate(plan) / _rate(known[0]):.0%}",
            f"{_rate(plan, sum) / _rate(known[0], sum):.0%}",
        )
    return table


def _rate(plan: Plan, together: Callable = max) -> float:
    """Samples a second and chip if compute and what the chips send take `together` of their times.

    Memory traffic is a chip's own affair and left out: it does not depend on how many there are.
    """
    assert plan.times is not None
    times = (plan.times.compute, plan.times.links, plan.times.network)
    return plan.samples / plan.chips / together(times)


def assumed(assumptions: Assumptions) -> str:
    """What the figures take for granted, in words."""
    return (
        f"Times are lower bounds: every resource at its full rate (arithmetic at "
        f"{assumptions.of_peak:.0%} of its peak), all overlapping; links within a slice at their "
        f"datasheet's rate, {assumptions.host_network / GB:g} GB/s a host between slices or nodes."
    )
