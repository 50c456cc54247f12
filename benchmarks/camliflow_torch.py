"""CamLiFlow's networks in PyTorch, on official weight names: a yardstick for camliflow.py.

As in ours, what iterations do not change is made once; correlations are the published volumes.
"""

from collections.abc import Mapping

import numpy as np
import torch
from camliflow_pwc_torch import PwcNetwork
from camliflow_raft_torch import RaftNetwork

from jaxvision.methods.camliflow.variants import PwcConfig, RaftConfig


def call(
    config: RaftConfig | PwcConfig,
    weights: Mapping[str, np.ndarray],
    arrays: tuple[np.ndarray, ...],
):
    """A call of the network on (images, clouds, camera): arrays, None where there is no branch."""
    raft = isinstance(config, RaftConfig)
    network = (RaftNetwork if raft else PwcNetwork)(config, weights)
    iterations = config.iterations if raft else 1
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]

    def run() -> list[np.ndarray | None]:
        found = network(*tensors, iterations)
        return [None if flow is None else flow.numpy() for flow in found]

    return run
