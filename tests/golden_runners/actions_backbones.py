"""Golden runners of the backbones that action detectors share."""

import numpy as np

from golden_case import Case, runner
from jaxvision.weights.caffe2_names import pytorch_name


@runner("stmixer", "alphaction/utils/c2_model_loading.py")
def caffe2_names(case: Case) -> dict:
    names = case.input("c2_names").tobytes().decode().split("\n")
    found = [f"backbone.{pytorch_name(name)}" for name in names]
    return {"pytorch_names": np.frombuffer("\n".join(found).encode(), np.uint8)}
