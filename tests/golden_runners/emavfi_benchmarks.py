"""Golden runners of EMA-VFI: metrics, readers, padding and the learning rate."""

import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from golden_runners.emavfi import first, last
from jaxvision.data.frame_interpolation import xtest_positions
from jaxvision.data.yuv_video import YuvFile
from jaxvision.metrics import image_quality as quality
from jaxvision.ops.padding import Padder
from jaxvision.training.schedules import make


def question(case: Case, name: str) -> np.ndarray:
    """An output whose first columns are the arguments of the rest: they stand nowhere else."""
    with np.load(case.path) as stored:
        return stored[f"output/{name}"]


@runner("emavfi", "benchmark/utils/padder.py:InputPadder")
def padder(case: Case) -> dict:
    rows = [
        (height, width, divisor, *Padder.for_size(height, width, divisor))
        for height, width, divisor in question(case, "pads")[:, :3].tolist()
    ]
    assert {row[2] for row in rows} == set(case.config["divisors"])
    x = last(case.input("x"))
    pads = Padder.for_size(*x.shape[1:3], 4)
    padded = pads.pad(x)
    return {"pads": rows, "x_padded": first(padded), "x_unpadded": first(pads.unpad(padded))}


@runner("emavfi", "train.py:get_learning_rate")
def learning_rate(case: Case) -> dict:
    config, steps = case.config, question(case, "step")
    table = {
        "name": "cosine",
        "peak": config["peak"],
        "end": config["floor"],
        "warmup_steps": config["warmup"],
        "inclusive_warmup": False,
    }
    total = config["epochs"] * config["steps_per_epoch"]
    schedule = make(table, total, config["steps_per_epoch"])
    return {"step": steps, "lr": np.array([schedule(step) for step in steps])}


@runner("emavfi", "benchmark/XTest_8X.py:getXVFI")
def xtest(case: Case) -> dict:
    config = case.config
    rows, times = xtest_positions(config["frames_per_scene"], config["multiple"], config["t_step"])
    return {"frames": rows, "t": times}


@runner(
    "emavfi",
    "benchmark/utils/yuv_frame_io.py:YUV_Read, with Pillow 13.0.0 (bicubic default) and "
    "scikit-image 0.26.0",
    fixed={"format": "yuv420 planar 8-bit"},
)
def yuv(case: Case) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.yuv"
        case.input("raw").tofile(path)
        file = YuvFile(path, case.config["height"], case.config["width"])
        return {f"rgb_frame{number}": file.frame(number) for number in range(len(file))}


METRICS = (
    "benchmark/Vimeo90K.py, UCF101.py, XTest_8X.py, Xiph.py, HD_4X.py, MiddleBury.py; "
    "scikit-image 0.26.0 metrics and color"
)
SSIM = (
    "benchmark/Vimeo90K.py, UCF101.py, XTest_8X.py; benchmark/utils/pytorch_msssim.py:ssim_matlab"
)


@runner(
    "emavfi",
    METRICS,
    SSIM,
    fixed={"xiph_ssim_filter": "uniform", "ssim_k": [0.01, 0.03]},
    ignores={"ssim_kernel": "says in words what ssim_window and ssim_sigma mean"},
)
def metrics(case: Case) -> dict:
    prediction, truth8 = np.moveaxis(case.input("pred"), 0, -1), case.input("gt_u8")
    truth, rounded = truth8 / 255, quality.round_to_8_bits(prediction)
    eight_bit = np.round(prediction * 255).astype(np.uint8)
    answers = {
        "plain_psnr": lambda: quality.psnr(prediction, truth),
        "ucf101_psnr": lambda: quality.psnr(rounded, truth),
        "xtest_psnr": lambda: quality.psnr(rounded, truth),
        "xiph_psnr": lambda: quality.psnr(eight_bit, truth8, 255),
        "xiph_ssim": lambda: quality.ssim_uniform(
            eight_bit, truth8, window=case.config["xiph_ssim_window"]
        ),
        "hd_y_psnr": lambda: quality.luma_psnr(eight_bit, truth8),
        "middlebury_ie": lambda: quality.interpolation_error(prediction, truth8),
    }
    for name, image in (("plain", prediction), ("ucf101", rounded), ("xtest", rounded)):
        for suffix in ("", "_f64"):
            answers[f"{name}_ssim{suffix}"] = lambda image=image: quality.ssim_volume(
                image, truth, case.config["ssim_window"], case.config["ssim_sigma"]
            )
    return {name: answers[name]() for name in case.outputs}
