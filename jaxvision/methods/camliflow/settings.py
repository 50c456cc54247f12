"""What each setting of CamLiFlow's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.training.sizes import Sizes

SETTINGS = {
    "model.network": "camliraft, camlipwc, without pictures (_l), or without points (raft, pwc)",
    "model.lite": "CamLiPWC's smaller estimator of pixels",
    "model.pyramid": "points of the five levels below the whole cloud",
    "model.width": "RAFT: of features; all other widths are in proportion (published: 128)",
    "model.blocks": "RAFT: of the image encoders' two stages; ResNet-50's are 3 and 4",
    "model.levels": "RAFT: of correlations, each averaged from the one before",
    "model.radius": "RAFT: of the window of correlations around a pixel (pixels)",
    "model.lookup": "RAFT: on_demand, or volume = all pairs beforehand: faster for small maps",
    "model.gain": "factor on initial kernels (published: PyTorch's own, 1)",
    "model.encoder_norms": "RAFT: whether the ResNets' norms learn (published: they never change)",
    "model.centred": "RAFT: features are centred and of one length before they are correlated",
    "model.fusions": "of CamLiRAFT: exchanged features, context, correlation, motion; and hidden",
    "model.iterations": "of RAFT in evaluation and prediction",
    "model.training_iterations": "of RAFT in training",
    "model.frozen_norms": "all batch norms keep their statistics (their scales train)",
    "task.name": "flow",
    "task.order": "of the loss: l2-norm, l1 or robust",
    "task.gamma": "RAFT: weight of an iteration's loss as a share of the next one's",
    "task.level_weights": "PWC: of the levels' losses, the finest first",
    "task.jitter": "of colours: brightness, contrast, saturation and hue; zeros = none",
    "task.flips": "0 = none, 1 = left-right, 2 = up-down too; half of the pairs each",
    "task.crop": "height and width of training crops (pixels); () = whole frames",
    "task.zoom": "largest, of half of the pairs; 1 = none",
    "task.evaluation_batch": "pairs of a step of evaluation",
    "task.benchmarks": "folders of the test sets at hand, by protocol; empty = not at hand",
    "task.predict.points": "drawn of each cloud",
    "task.predict.farthest": "points farther than this are left out (metres)",
    "task.predict.baseline": "between the cameras of a stereo pair (metres)",
    "data.name": "planes (made up), flyingthings3d (prepared), driving or kitti",
    "data.root": "folder of the data set; of planes: pictures instead of the built-in",
    "data.size": "height and width of its frames (pixels)",
    "data.points": "drawn of each cloud",
    "data.split": "KITTI: training200, training160 or training40",
    "data.passes": "FlyingThings3D: of its pictures, clean",
    "data.pairs": "planes: of an epoch",
    "data.planes": "planes: how many move before the background, which moves, too",
    "data.speed": "planes: factor on how far they move and turn",
}

SIZES = Sizes(
    least={"task.flips": 0, "data.pairs": 0},
    positive=(
        *("model.gain", "task.gamma", "task.zoom"),
        *("task.predict.farthest", "task.predict.baseline"),
    ),
    lengths={
        "data.size": 2,
        "model.blocks": 2,
        "task.jitter": 4,
        "model.pyramid": 5,
        "task.level_weights": 5,
    },
)
