"""Caffe2's names; a published list of them is a golden case."""

import pytest

from jaxvision.weights.caffe2_names import pytorch_name


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
