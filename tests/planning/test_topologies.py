import pytest

from jaxvision.errors import InputError
from jaxvision.nn.sharding import MESH_AXES
from jaxvision.planning import topologies
from jaxvision.planning.roofline import axis_rate
from jaxvision.planning.topologies import describe, parse, smaller
from jaxvision.training.mesh import make_mesh


@pytest.mark.parametrize(
    ("name", "chips", "hosts"),
    [
        ("v5p:8x8x16", 1024, 256),
        ("v5e:16x16", 256, 32),
        ("4xv5e:16x16", 1024, 128),
        ("v5e:1x1", 1, 1),
        ("tpu7x:2x2x1", 4, 1),
        ("h200:8", 8, 1),
        ("4xh100:8", 32, 4),
    ],
)
def test_names_are_read(name, chips, hosts):
    topology = parse(name)
    assert (topology.chips, topology.hosts) == (chips, hosts)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e", r"'v5e': expected \[COUNTx\]KIND:SHAPE, e.g. v5e:16x16, "),
        ("v5x:4x4", "unknown chip 'v5x'; did you mean 'v5p'"),
        ("v5e:16x17", "no such v5e; nearest: v5e:16x16, "),
        ("v5p:8x8", "no such v5p; nearest: v5p:4x4x4, "),
        ("h100:16", r"no such h100; nearest: h100:8, .* several are 2xh100:8"),
        ("0xv5e:2x2", "no such v5e"),
    ],
)
def test_unknown_ones_are_refused_with_the_nearest(name, message):
    with pytest.raises(InputError, match=message):
        parse(name)


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x2", "tpu"), ("h100:8", "cuda")])
def test_a_missing_compiler_is_named_with_its_extra(name, extra, monkeypatch):
    monkeypatch.setattr(topologies, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'jaxvision\[{extra}\]'"):
        topologies.describe(parse(name))


@pytest.mark.xdist_group("tpu_compiler")
@pytest.mark.parametrize(
    ("name", "axes", "rates"),
    [
        # A side of 16 is a ring, of two links a chip; eight are a block of 2 x 4, of one link each
        # way, and every second and every fourth chip share the rings that join the blocks.
        ("v5e:16x16", (16, 16, 1), (2, 2)),
        ("v5e:16x16", (32, 8, 1), (1.5, 2)),
        ("v5e:16x16", (1, 256, 1), (1, 4)),
        ("v5e:4x4", (1, 16, 1), (1, 2)),
        ("v5p:4x4x4", (4, 16, 1), (2, 4)),
        ("v4:2x2x1", (1, 4, 1), (1, 2)),
    ],
)
def test_links_along_mesh_axes(name, axes, rates):
    topology = parse(name)
    mesh = make_mesh(dict(zip(MESH_AXES, axes, strict=True)), describe(topology))
    found = [axis_rate(topology, mesh, [axis]) / topology.chip.link for axis in ("data", "fsdp")]
    assert found == list(rates)


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("v5e:4x4", ["v5e:2x4", "v5e:2x2", "v5e:1x1"]),
        ("v5p:4x4x4", ["v5p:2x4x4", "v5p:2x2x4", "v5p:2x2x2", "v5p:2x2x1"]),
        ("4xh200:8", ["2xh200:8", "h200:8", "h200:4", "h200:2", "h200:1"]),
    ],
)
def test_parts_of_a_machine_are_machines(whole, parts):
    found, part = [], parse(whole)
    while (part := smaller(part)) is not None:
        assert parse(part.name) == part
        found.append(part.name)
    assert found == parts
