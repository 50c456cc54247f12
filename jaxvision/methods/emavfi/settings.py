"""What each setting of EMA-VFI's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.training.sizes import Sizes

SETTINGS = {
    "model.width": "channels at full size; every stage doubles them",
    "model.window": "side of an attention window (tokens)",
    "model.depths": "convolutions of stages 1 to 3, attention blocks of stages 4 and 5",
    "model.mlp_ratio": "hidden width of an MLP as a multiple of the tokens'",
    "model.unet_ratio": "channels of the refinement as a multiple of model.width; published: 2",
    "model.remat": "compute attention blocks again in the backward pass",
    "model.any_time": "trained for every time between two frames, not for the middle alone",
    "task.name": "interpolation",
    "task.merged_weight": "of the losses of frames before refinement",
    "task.augment": "average with the answer for frames turned by 180 degrees",
    "task.down_scale": "estimate motion on frames this much smaller: 1, 0.5 or 0.25",
    "task.evaluation_batch": "pairs at a time",
    "task.benchmarks": "folders of the test sets at hand, by name; empty = not at hand",
    "task.predict.times": "of the frames between two pictures, in (0, 1); () = by the multiple",
    "task.predict.multiple": "of a video's or a folder's frames",
    "task.predict.rate": "of a video instead (frames a second); 0 = by the multiple",
    "task.predict.cut": "share of colours that change at a scene cut; 0 = find none",
    "task.predict.longest_gap": "steps in time longer than this (s) stay empty; 0 = fill all",
    "task.predict.tile": "side of parts that large frames are refined in (pixels); 0 = whole",
    "task.predict.segment": "frames that a job may lose when it is stopped",
    "data.name": "camera (built-in), folders, vimeo_triplets or vimeo_septuplets",
    "data.root": "folder of the data set; of camera: pictures instead of the built-in",
    "data.crops": "height and width of training crops, one bucket each (pixels)",
    "data.clips": "of an epoch of the built-in pictures",
    "data.speed": "of the moving camera; 1 crosses about half the view",
}

SIZES = Sizes(
    least={"task.predict.tile": 0},
    positive=("model.mlp_ratio", "task.down_scale"),
    lengths={"model.depths": 5},
)
