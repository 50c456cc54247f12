import numpy as np
import pytest

from jaxvision.data import pictures
from jaxvision.data.scene_flow import moving_planes
from jaxvision.data.scene_flow.flying_things import CAMERA, FlyingThings
from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import project
from jaxvision.data.scene_flow.moving_planes import MovingPlanes
from jaxvision.data.scene_flow.prepare_things import ThingsPreparation

SIZE = (48, 64)


@pytest.fixture(scope="module")
def records() -> MovingPlanes:
    return MovingPlanes(pictures.built_in("held_out"), SIZE, 4)


@pytest.fixture(scope="module")
def pair(records) -> FramePair:
    return records[1]


def test_points_are_where_pixels_and_flow_say(records, pair):
    pixels = moving_planes.grid(SIZE)
    flow = pair.flow_2d[..., :2].reshape(-1, 2)
    assert np.abs(flow).max() > 1
    there = project(pair.clouds[0] + pair.flow_3d[:, :3], records.camera)
    np.testing.assert_allclose(project(pair.clouds[0], records.camera), pixels, atol=1e-3)
    np.testing.assert_allclose(there, pixels + flow, atol=1e-3)


def test_visible_pixels_look_alike_after_their_motion(records, pair):
    """Colours at the flow's end are those of the start, but not where pixels are hidden."""
    end = np.round(moving_planes.grid(SIZE) + pair.flow_2d[..., :2].reshape(-1, 2)).astype(int)
    inside = ((end >= 0) & (end < SIZE[::-1])).all(axis=1)
    kept = inside & ~pair.occluded
    first, second = pair.images.astype(int)
    x, y = end[kept].T
    moved = np.abs(second[y, x] - first.reshape(-1, 3)[kept]).mean()
    unmoved = np.abs(second - first).reshape(-1, 3)[kept].mean()
    assert moved < 0.7 * unmoved
    assert 0 < pair.occluded.mean() < 0.5


def test_a_surface_hides_what_lies_behind_it_and_the_same_number_is_the_same_pair(records):
    before, after = records.scene(5)  # in which a plane hides another
    hits = moving_planes.cast(before, moving_planes.grid(SIZE), records.camera)
    truth = moving_planes.truth_of(before, after, hits, records.camera, SIZE)
    back = moving_planes.cast(after, moving_planes.grid(SIZE), records.camera)
    ends = np.round(moving_planes.grid(SIZE) + truth.flow.reshape(-1, 2)).astype(int)
    inside = ((ends >= 0) & (ends < SIZE[::-1])).all(axis=1)
    x, y = ends[inside].T
    nearer = back.depth.reshape(SIZE)[y, x] < truth.depth_2.reshape(-1)[inside] - 0.5
    assert nearer.any()
    hidden = truth.occluded.reshape(-1)[inside]
    assert hidden[nearer].mean() > 0.9  # apart from pixels at edges
    assert (nearer == hidden).mean() > 0.95
    assert np.array_equal(records[2].images, records[2].images)
    assert not np.array_equal(records[2].images, records[3].images)


def test_a_scene_written_raw_is_prepared_and_read(tmp_path, records):
    small = MovingPlanes(records.pictures, (540, 960), 1)
    scene = [[p._replace(texture=p.texture[:64, :64]) for p in planes] for planes in small.scene(0)]
    moving_planes.write_as_flying_things(tmp_path / "raw/val", scene, 0, size=(40, 60))
    work = ThingsPreparation(tmp_path / "raw", tmp_path / "made")
    work.prepare("val", 0)
    pair = FlyingThings(tmp_path / "made", "val")[0]
    flow = project(pair.clouds[0] + pair.flow_3d, CAMERA) - project(pair.clouds[0], CAMERA)
    at = np.round(project(pair.clouds[0], CAMERA)).astype(int)
    kept = pair.flow_2d[at[:, 1], at[:, 0], 2] > 0
    wanted = pair.flow_2d[at[:, 1], at[:, 0], :2]
    assert kept.mean() > 0.5
    np.testing.assert_allclose(flow[kept], wanted[kept], atol=0.05)
