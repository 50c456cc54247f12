"""KITTI's rigid background: one motion of the camera explains it, and replaces its flow (after
RigidMask, 2101.03694; what CamLiFlow submits as refined).

Pixels are [n, 2] and homogeneous rays K^-1 (x, y, 1); the second camera sees X2 = R X1 + t. All in
float64, with seeded draws.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

LEAST_POINTS = 10
CORRESPONDENCES, TRIALS = 3000, 1000  # of the essential matrix
EPIPOLAR_ERROR = 1e-4  # of an inlier, on normalised coordinates
PARALLAX = 8.0  # pixels; with less, nothing is refined
SCALE_TRIALS, SCALE_ERROR, AGREEMENT = 100, 0.01, 1.2
MOST_FITTED = 50_000  # points that the last motion is fitted to
LARGEST_FLOW = 500.0


class Motion(NamedTuple):
    """X2 = rotation @ X1 + translation; metres, or up to scale."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, " 3"]


class Registration(NamedTuple):
    """scale: true size of a unit of an up-to-scale reconstruction.  inliers: the share of pairs
    that it explains.  registered: disparities brought to it."""

    scale: float
    inliers: float
    registered: Float[np.ndarray, " n"]


class Background(NamedTuple):
    """flow, disparity_2: refined."""

    flow: Float[np.ndarray, "h w 2"]
    disparity_2: Float[np.ndarray, "h w"]


def pixel_grid(size: tuple[int, int]) -> Float[np.ndarray, "n 2"]:
    """All pixels of a picture of (height, width), row by row."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)


def rays(
    pixels: Float[np.ndarray, "n 2"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "n 3"]:
    """Directions to pixels, z = 1."""
    ones = np.ones((len(pixels), 1))
    return np.concatenate([pixels, ones], axis=1) @ np.linalg.inv(intrinsics).T


def lift(
    disparity: Float[np.ndarray, "h w"], intrinsics: Float[np.ndarray, "3 3"], baseline: float
) -> Float[np.ndarray, "n 3"]:
    """Points behind all pixels; zeros where there is no disparity."""
    values = disparity.reshape(-1).astype(np.float64)
    known = values > 0
    depth = np.zeros_like(values)
    depth[known] = baseline * intrinsics[0, 0] / values[known]
    return rays(pixel_grid((disparity.shape[0], disparity.shape[1])), intrinsics) * depth[:, None]


def midpoints(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], motion: Motion
) -> Float[np.ndarray, "n 3"]:
    """The points nearest to both rays of each pair, in the first camera's coordinates; NaN where
    the rays are parallel."""
    centre = -motion.rotation.T @ motion.translation
    directions = np.stack([first, second @ motion.rotation], axis=1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origins = np.stack([np.zeros(3), centre])
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    target = np.einsum("nkij,kj->ni", across, origins)
    matrices = across.sum(axis=1)
    parallel = np.linalg.det(matrices) == 0
    matrices[parallel] = np.eye(3)
    found = np.linalg.solve(matrices, target[..., None])[..., 0]
    found[parallel] = np.nan
    return found


def register(
    up_to_scale: Float[np.ndarray, " n"],
    disparity: Float[np.ndarray, " n"],
    used: Bool[np.ndarray, " n"],
) -> Registration:
    """The scale that most of 3,000 drawn pairs of disparities agree with to 1 %, of 100 that are
    ratios of pairs."""
    draws = np.random.RandomState(0)
    flow, given = up_to_scale[used], disparity[used]
    count = min(CORRESPONDENCES, len(flow))
    chosen = draws.choice(len(flow), count)
    flow, given = flow[chosen], given[chosen]
    candidates = (flow / given)[draws.choice(count, SCALE_TRIALS)]
    errors = np.abs(np.log(given[:, None] * candidates) - np.log(flow[:, None]))
    explained = (errors < SCALE_ERROR).sum(axis=0)
    best = int(np.argmax(explained))
    scale = float(candidates[best])
    return Registration(scale, explained[best] / count, up_to_scale / scale)


class Agreement(NamedTuple):
    """agrees: points whose triangulated disparity is the given one to 20 %.  ratio: how far they
    are apart, as |log|.  translation: with its true length."""

    agrees: Bool[np.ndarray, " n"]
    ratio: Float[np.ndarray, " n"]
    translation: Float[np.ndarray, " 3"]


def compare_depths(
    pixels: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]],
    motion: Motion,
    disparity: Float[np.ndarray, " n"],
    focal_baseline: float,
) -> Agreement | None:
    """Depths triangulated by a motion up to scale, against given disparities. pixels: rays of both
    frames.  None where fewer than 10 points remain to find the scale by: those of the nearer half
    within a factor 5 of its median."""
    depth = midpoints(*pixels, motion)[:, 2]
    with np.errstate(divide="ignore"):
        found = np.clip(focal_baseline / depth, 1e-6, np.inf)
    known = np.isfinite(found) & (found > 1e-12)
    order = np.flatnonzero(known)[np.argsort(-found[known])]
    near = np.zeros_like(known)
    near[order[: known.sum() // 2]] = True
    if not near.any():
        return None
    middle = np.median(found[near])
    used = near & (found > middle / 5) & (found < middle * 5)
    if used.sum() < LEAST_POINTS:
        return None
    scale, _, registered = register(found, disparity, used)
    with np.errstate(divide="ignore"):
        ratio = np.abs(np.log(registered / disparity))
    return Agreement(ratio < np.log(AGREEMENT), ratio, motion.translation * scale)


def essential_matrix(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "3 3"] | None:
    """second^T E first = 0 for as many rays as possible: eight points at a time, then all that
    agree. None where there are too few."""
    if len(first) < LEAST_POINTS:
        return None
    draws = np.random.RandomState(0)
    best, inliers = -1, None
    for _ in range(TRIALS):
        chosen = draws.choice(len(first), 8, replace=False)
        agree = _epipolar_error(_eight_points(first[chosen], second[chosen]), first, second)
        agree = agree < EPIPOLAR_ERROR
        if agree.sum() > best:
            best, inliers = int(agree.sum()), agree
            if best == len(first):
                break
    if inliers is None or best < 8:
        return None
    return _eight_points(first[inliers], second[inliers])


def _eight_points(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The essential matrix of least squared error, two equal singular values and a zero."""
    rows = (second[:, :, None] * first[:, None, :]).reshape(-1, 9)
    u, _, vt = np.linalg.svd(np.linalg.svd(rows)[2][-1].reshape(3, 3))
    return u @ np.diag([1.0, 1.0, 0.0]) @ vt


def _epipolar_error(essential: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sampson's distance."""
    forth, back = first @ essential.T, second @ essential
    squares = np.sum(forth[:, :2] ** 2 + back[:, :2] ** 2, axis=1)
    return np.abs(np.sum(second * forth, axis=1)) / np.sqrt(np.maximum(squares, 1e-30))


def motion_of(
    essential: Float[np.ndarray, "3 3"],
    first: Float[np.ndarray, "n 3"],
    second: Float[np.ndarray, "n 3"],
) -> Motion | None:
    """Of the four motions of an essential matrix the last one for which most points lie in front of
    both cameras, with a translation of length 1."""
    u, _, vt = np.linalg.svd(essential)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    found = None
    for rotation in (u @ turn @ vt, u @ turn.T @ vt):
        rotation = rotation * np.sign(np.linalg.det(rotation))
        for translation in (u[:, 2], -u[:, 2]):
            motion = Motion(rotation, translation)
            points = midpoints(first, second, motion)
            ahead = (points[:, 2] > 0) & ((points @ rotation.T + translation)[:, 2] > 0)
            if ahead.mean() > 0.5:
                found = motion
    return found


def fit_motion(
    points: Float[np.ndarray, "n 3"],
    pixels: Float[np.ndarray, "n 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    start: Motion,
) -> Motion:
    """The motion that brings points to their pixels with the least squared error, from `start` on
    (Levenberg and Marquardt)."""
    rotation, translation = start
    damping, (errors, slopes) = 1e-3, _projection(points, pixels, intrinsics, start)
    for _ in range(50):
        normal, pull = slopes.T @ slopes, slopes.T @ errors
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -pull)
        turned = _rotation(step[:3])
        trial = Motion(turned @ rotation, turned @ translation + step[3:])
        new, new_slopes = _projection(points, pixels, intrinsics, trial)
        if new @ new < errors @ errors:
            rotation, translation = trial
            errors, slopes, damping = new, new_slopes, damping / 10
        else:
            damping *= 10
        if np.abs(step).max() < 1e-12 or damping > 1e12:
            break
    return Motion(rotation, translation)


def _projection(
    points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray, motion: Motion
) -> tuple[np.ndarray, np.ndarray]:
    """(errors in pixels, their derivatives by a further turn and shift)."""
    moved = points @ motion.rotation.T + motion.translation
    depth = np.maximum(moved[:, 2], 1e-6)
    f, centre = intrinsics[0, 0], intrinsics[:2, 2]
    errors = f * moved[:, :2] / depth[:, None] + centre - pixels
    by_point = np.zeros((len(points), 2, 3))
    by_point[:, 0, 0] = by_point[:, 1, 1] = f / depth
    by_point[:, :, 2] = -f * moved[:, :2] / depth[:, None] ** 2
    by_turn = np.cross(moved[:, None], by_point)
    return errors.ravel(), np.concatenate([by_turn, by_point], axis=2).reshape(-1, 6)


def _rotation(turn: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """About the axis `turn` by its length (Rodrigues)."""
    angle = np.linalg.norm(turn)
    if angle < 1e-15:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rigid_flow(
    points: Float[np.ndarray, "n 3"],
    pixels: Float[np.ndarray, "n 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    motion: Motion,
    baseline: float,
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """(flow, disparity in the second frame) of points that move with the camera's motion alone."""
    seen = (points @ motion.rotation.T + motion.translation) @ intrinsics.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return seen[:, :2] / seen[:, 2:] - pixels, baseline * intrinsics[0, 0] / seen[:, 2]


def refine(
    flow: Float[np.ndarray, "h w 2"],
    disparities: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]],
    background: Bool[np.ndarray, "h w"],
    visible: Bool[np.ndarray, "h w"],
    *,
    intrinsics: Float[np.ndarray, "3 3"],
    baseline: float,
) -> Background:
    """Flow and second disparity, rigid on the background.

    disparities: of the first frame, and of its pixels in the second one.  background: by the
    semantics.  visible: pixels that stay in the picture.  The foreground stays; so does all where
    the camera hardly moves, too few points agree, or a pixel has no disparity.
    """
    size = (flow.shape[0], flow.shape[1])
    unchanged = Background(flow, disparities[1])
    pixels, disparity = pixel_grid(size), disparities[0].reshape(-1).astype(np.float64)
    moved = pixels + flow.reshape(-1, 2)
    valid = (disparity > 0) & background.reshape(-1) & visible.reshape(-1)
    if valid.sum() < LEAST_POINTS:
        return unchanged
    first, second = rays(pixels[valid], intrinsics), rays(moved[valid], intrinsics)
    # 1. The camera's motion up to scale.
    draws = np.random.RandomState(0)
    chosen = draws.choice(len(first), min(CORRESPONDENCES, len(first)))
    essential = essential_matrix(first[chosen], second[chosen])
    motion = None if essential is None else motion_of(essential, first[chosen], second[chosen])
    if motion is None:
        return unchanged
    # 2. Parallax, rotation aside.
    turned = first @ motion.rotation.T @ intrinsics.T
    parallax = np.linalg.norm(moved[valid] - turned[:, :2] / turned[:, 2:], axis=1)
    if parallax.mean() < PARALLAX:
        return unchanged
    # 3. Its scale, and the points that agree with it.
    found = compare_depths((first, second), motion, disparity[valid], baseline * intrinsics[0, 0])
    if found is None:
        return unchanged
    rank = np.argsort(np.argsort(found.ratio))
    kept = found.agrees & (rank < MOST_FITTED)
    if kept.sum() < LEAST_POINTS:
        return unchanged
    # 4. The motion that fits these points best.
    points = lift(disparities[0], intrinsics, baseline)
    start = Motion(motion.rotation, found.translation)
    motion = fit_motion(points[valid][kept], moved[valid][kept], intrinsics, start)
    # 5. The background moves by it.
    replaced = (disparity > 0) & background.reshape(-1)
    new_flow, new_disparity = rigid_flow(points, pixels, intrinsics, motion, baseline)
    refined = np.where(replaced[:, None], new_flow, flow.reshape(-1, 2)).reshape(flow.shape)
    second_disparity = np.where(replaced, new_disparity, disparities[1].reshape(-1))
    return Background(
        np.clip(refined, -LARGEST_FLOW, LARGEST_FLOW).astype(np.float32),
        second_disparity.reshape(size).astype(np.float32),
    )
