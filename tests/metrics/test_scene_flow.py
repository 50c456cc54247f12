import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.metrics import kitti_scene_flow as kitti
from jaxvision.metrics.scene_flow import flow_2d_sums, flow_3d_sums, lidar_sums, means

DRAWS = np.random.RandomState(0)


def test_devices_and_hosts_agree_and_what_is_no_number_counts_nowhere():
    truth = DRAWS.randn(3, 40, 2).astype(np.float32) * 9
    flow, valid = truth + DRAWS.randn(3, 40, 2).astype(np.float32) * 4, DRAWS.rand(3, 40) > 0.3
    flow[0, :7] = np.nan
    host = means(flow_2d_sums(flow, truth, valid))
    device = means(jax.device_get(jax.jit(flow_2d_sums)(*map(jnp.asarray, (flow, truth, valid)))))
    assert host.keys() == device.keys()
    for name, value in host.items():
        np.testing.assert_allclose(device[name], value, rtol=1e-5)
    finite = valid & np.isfinite(flow[..., 0])
    error = np.linalg.norm(flow - truth, axis=-1)[finite]
    np.testing.assert_allclose(host["epe2d"], error.mean(), rtol=1e-5)
    assert 0 < host["outlier2d"] < 1


def test_nothing_to_count_is_0():
    flow = np.ones((2, 5, 3), np.float32)
    none = np.zeros((2, 5), bool)
    for sums in (flow_3d_sums(flow, flow, none), lidar_sums(flow, flow, none)):
        assert set(means(sums).values()) == {0.0}


def test_gaps_take_the_lesser_end_and_borders_the_nearest_value():
    values = np.array([[0, 0, 0, 0, 0], [0, 5, 0, 2, 0], [0, 0, 0, 0, 0], [7, 0, 0, 0, 9]], float)
    filled, known = kitti.fill(values[..., None], values > 0)
    assert filled[1, :, 0].tolist() == [5, 5, 2, 2, 2]
    assert filled[0].tolist() == filled[1].tolist()
    assert filled[3, :, 0].tolist() == [7, 7, 7, 7, 9]
    assert not known[2].any()


def test_an_outlier_of_one_kind_is_one_of_scene_flow():
    size = (4, 4)
    truth = kitti.Frame(
        np.full(size, 50.0), np.full(size, 40.0), np.full((*size, 2), 10.0), np.ones(size, bool)
    )
    found = truth._replace(disparity_2=truth.disparity_2 + 4 * np.eye(4))
    objects = np.uint8([[1, 0, 0, 0]] * 4)
    rates = kitti.rates(kitti.count(found, truth, objects))[..., 0]
    assert rates[:, 2].tolist() == [0, 0.25, 0, 0.25]
    assert rates[3, 1] == 0.25  # foreground
