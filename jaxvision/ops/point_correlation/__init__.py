"""Correlations of points with their nearest points in another cloud (CamLiFlow, 2303.12017, the 3D
branch of CamLiRAFT).

    levels = [second]                                            # once a pair
    levels.append(neighbour_means(xyz2[0], levels[0], xyz2[1]))  # and so on
    cost = point_correlation(first, levels[i], xyz1, warped[i])  # every iteration and level

The published volume of all pairs is linear in the second cloud's features, so that averaging
features over three neighbours is averaging correlations; and of a volume only k columns a point are
read. Here only those are computed. The search runs in `k_nearest_neighbours`' kernels, gathers and
products are XLA's.
"""

from jaxvision.ops.point_correlation.lookup import neighbour_means, point_correlation

__all__ = ["neighbour_means", "point_correlation"]
