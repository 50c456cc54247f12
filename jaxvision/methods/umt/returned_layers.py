"""Which blocks' outputs teacher and student are compared by."""

from jaxvision.errors import InputError


def returned_layers(depth: int, count: int, interval: float = 1.0) -> tuple[int, ...]:
    """Numbers of `count` of `depth` blocks, ascending, the last one included: depth - 1 -
    int(i * interval). InputError where there are too few blocks, or one would come twice."""
    layers = tuple(depth - 1 - int(i * interval) for i in reversed(range(count)))
    if count < 0 or len(set(layers)) < count or min(layers, default=0) < 0:
        raise InputError(
            f"returned_layers={count} at an interval of {interval}: expected distinct blocks, at "
            f"most {depth} of them"
        )
    return layers
