"""Caffe2's names; a published list of them is a golden case."""

import pickle

import numpy as np
import pytest

from jaxvision.weights.caffe2_names import pytorch_name, pytorch_tensors
from jaxvision.weights.checkpoint_file import read_checkpoint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv1_w", "s1.pathway0_stem.conv.weight"),
        ("t_res_conv1_bn_riv", "s1.pathway1_stem.bn.running_var"),
        ("t_res3_11_branch2a_bn_rm", "s3.pathway1_res11.branch2.a_bn.running_mean"),
        ("t_res3_3_branch2c_bn_subsample_bn_s", "s3_fuse.bn.weight"),
        ("t_res3_3_branch2c_bn_subsample_w", "s3_fuse.conv_f2s.weight"),
        ("nonlocal_conv4_6_out_b", "s4.pathway0_nonlocal6.conv_out.bias"),
        ("nonlocal_conv4_6_bn_s", "s4.pathway0_nonlocal6.bn.weight"),
    ],
)
def test_names(name, expected):
    assert pytorch_name(name) == expected


@pytest.mark.parametrize(
    "name", ["lr", "model_iter", "conv1_w_momentum", "res2_0_branch3_w", "nonlocal_conv4_6_w", ""]
)
def test_what_is_no_weight(name):
    assert pytorch_name(name) is None


def test_tensors_of_a_file(tmp_path):
    weights = {"conv1_w": np.ones((2, 3, 1, 7, 7), np.float32), "t_res2_0_branch1_bn_s": np.ones(4)}
    others = {"lr": np.float32(0.1), "model_iter": np.int64(7), "conv1_w_momentum": np.zeros(2)}
    path = tmp_path / "SLOWONLY.pkl"
    path.write_bytes(pickle.dumps({"blobs": weights | others}, protocol=2))
    found = pytorch_tensors(read_checkpoint(path).tensors)
    assert list(found) == [
        "s1.pathway0_stem.conv.weight",
        "s2.pathway1_res0.branch1_bn.weight",
    ]
    np.testing.assert_array_equal(found["s1.pathway0_stem.conv.weight"], weights["conv1_w"])
