"""Names of Caffe2's video models (`.pkl` files of PySlowFast's zoo) as PyTorch's state dict has
them. Names that begin with `t_` are the fast pathway's, and its lateral convolutions'."""

import re
from collections.abc import Mapping

import numpy as np

# What a name ends with, and what a PyTorch module calls it.
ENDINGS = {
    "w": "weight",
    "b": "bias",
    "bn_s": "bn.weight",
    "bn_b": "bn.bias",
    "bn_rm": "bn.running_mean",
    "bn_riv": "bn.running_var",
}

_END = f"_(?P<end>{'|'.join(ENDINGS)})"
# Of patterns that match a whole name, the first one counts. {pathway} is 1 after `t_`.
_RULES = tuple(
    (re.compile(rf"(?P<fast>t_)?{pattern}{_END}"), plain, norm)
    for pattern, plain, norm in (
        (
            r"(?:res_)?conv1",
            "s1.pathway{pathway}_stem.conv.{end}",
            "s1.pathway{pathway}_stem.{end}",
        ),
        (r"pool1_subsample", "s1_fuse.conv_f2s.{end}", "s1_fuse.{end}"),
        (
            r"res(?P<stage>\d+)_\d+_branch2c_bn_subsample",
            "s{stage}_fuse.conv_f2s.{end}",
            "s{stage}_fuse.{end}",
        ),
        (
            r"res(?P<stage>\d+)_(?P<block>\d+)_branch1",
            "s{stage}.pathway{pathway}_res{block}.branch1.{end}",
            "s{stage}.pathway{pathway}_res{block}.branch1_{end}",
        ),
        (
            r"res(?P<stage>\d+)_(?P<block>\d+)_branch2(?P<part>[abc])",
            "s{stage}.pathway{pathway}_res{block}.branch2.{part}.{end}",
            "s{stage}.pathway{pathway}_res{block}.branch2.{part}_{end}",
        ),
        (
            r"nonlocal_conv(?P<stage>\d+)_(?P<block>\d+)_(?P<part>theta|phi|g|out)",
            "s{stage}.pathway{pathway}_nonlocal{block}.conv_{part}.{end}",
            "",
        ),
        (
            r"nonlocal_conv(?P<stage>\d+)_(?P<block>\d+)",
            "",
            "s{stage}.pathway{pathway}_nonlocal{block}.{end}",
        ),
        (r"pred", "head.projection.{end}", ""),
    )
)


def pytorch_name(name: str) -> str | None:
    """The state-dict name of a Caffe2 name; None of one that is no such model's."""
    for rule, plain, norm in _RULES:
        match = rule.fullmatch(name)
        if match:
            found = match.groupdict()
            ending = ENDINGS[found.pop("end")]
            template = norm if ending.startswith("bn.") else plain
            if template:
                pathway = 1 if found.pop("fast") else 0
                return template.format(**found, pathway=pathway, end=ending)
    return None


def pytorch_tensors(blobs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of a file's `blobs` by their state-dict names, in its order; what is no such
    model's weight (learning rate, counter, momenta) is left out."""
    named = ((pytorch_name(name), np.asarray(value)) for name, value in blobs.items())
    return {name: value for name, value in named if name is not None}
