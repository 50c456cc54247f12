"""Golden runners of CamLiFlow's files, geometry, augmentation and data sets."""

import tempfile
from pathlib import Path

import numpy as np

from golden_case import Case, runner
from jaxvision.data import flow_files
from jaxvision.data.scene_flow import augmentation, flying_things, geometry, kitti, sintel
from jaxvision.data.scene_flow.flying_things import FlyingThings
from jaxvision.data.scene_flow.frames import FramePair, draw_points
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.data.scene_flow.kitti import KittiFrames
from jaxvision.data.scene_flow.sintel import Sintel


@runner("camliflow", "utils.py, sintel.py")
def file_formats(case: Case) -> dict:
    with tempfile.TemporaryDirectory() as folder:

        def file(name: str) -> Path:
            path = Path(folder) / name
            path.write_bytes(case.input(f"{name}_file").tobytes())
            return path

        flow, valid = flow_files.read_flow_png(file("flow_png"))
        disparity = flow_files.read_disparity_png(file("disp_png"))
        raw = flow_files.encode_flow(
            case.input("flow_to_save"), case.input("mask_to_save"), keep_invalid=True
        )
        stored = flow_files.encode_disparity(case.input("disp_to_save"))
        written = Path(folder) / "written.png"
        flow_files.write_disparity_png(written, case.input("disp_to_save"))
        again = flow_files.read_disparity_png(written)
        assert np.array_equal(stored / np.float32(256), again)
        assert np.array_equal(again, disparity)
        return {
            "flo": flow_files.read_flo(file("flo")),
            "flow_png": flow,
            "flow_png_mask": valid.astype(np.uint8),
            "flow_png_raw_bgr": raw[..., ::-1],
            "disp_png": np.where(disparity > 0, disparity, -1),
            "disp_png_mask": (disparity > 0).astype(np.uint8),
            "pfm_le": flow_files.read_pfm(file("pfm_le")),
            "pfm_be": flow_files.read_pfm(file("pfm_be")),
            "dpt": flow_files.read_dpt(file("dpt")),
            "calib": flow_files.read_calibration(file("calib")),
        }


@runner("camliflow", "utils.py, augmentation.py, sintel.py")
def data_geometry(case: Case) -> dict:
    config = case.config
    camera = Camera(config["f"], config["cx"], config["cy"])
    disparity, flow, flow_3d = (case.input(name) for name in ("disp", "flow", "flow_3d"))
    sparse, image, size = case.input("sparse_flow"), case.input("image"), disparity.shape
    lifted = geometry.lift_disparity(disparity, camera, config["baseline"])
    points = lifted[disparity > 0]
    centred = Camera(camera.f, (size[1] - 1) / 2, (size[0] - 1) / 2)
    moved = points + np.float32([0.3, 0, 0])
    with_mask = np.concatenate([flow, (disparity > 0)[..., None]], axis=-1)
    left, top, right, bottom = config["crop_window"]
    window = augmentation.Window(left, top, right - left, bottom - top)
    cut = augmentation.crop(
        FramePair(
            images=np.stack([image, image[::-1]]),
            clouds=(points, points + np.float32(0.1)),
            camera=camera,
            size=size,
            flow_2d=sparse,
            flow_3d=flow_3d,
        ),
        window,
        drop_points=True,
    )
    width, height = config["resize_to_w_h"]
    answers = {
        "disp2pc": lifted,
        "disp2pc_flow": geometry.lift_disparity(disparity, camera, config["baseline"], flow),
        "project": geometry.project(points, camera),
        "project_clip": np.clip(geometry.project(moved, centred), 0, [size[1] - 1, size[0] - 1]),
        "zero_padding": geometry.pad_to(flow, config["pad"]),
        "depth2pc_sintel": geometry.lift_depth(disparity, sintel.CAMERA),
        "crop_image1": cut.images[0],
        "crop_image2": cut.images[1],
        "crop_pc1": cut.clouds[0],
        "crop_pc2": cut.clouds[1],
        "crop_flow_2d": cut.flow_2d,
        "crop_flow_3d": cut.flow_3d,
        "crop_f": cut.camera.f,
        "crop_cx": cut.camera.cx,
        "crop_cy": cut.camera.cy,
        "resize_sparse_flow": geometry.resize_sparse_flow(sparse, (height, width)),
    }
    for axis, name in enumerate(("lr", "ud")):
        answers |= {
            f"flip_pc_{name}": geometry.flip_points(points, camera, size, axis),
            f"flip_sf_{name}": geometry.flip_scene_flow(points, flow_3d, camera, size, axis=axis),
            f"flip_flow_{name}": geometry.flip_flow(with_mask, axis),
        }
    return answers


@runner(
    "camliflow",
    "augmentation.py:random_scale",
    ignores={"scale": "the size of the window says it"},
)
def zoom(case: Case) -> dict:
    config = case.config
    window = augmentation.Window(config["x1"], config["y1"], config["crop_w"], config["crop_h"])
    zoomed = augmentation.zoom(
        FramePair(
            images=np.stack([case.input("image1"), case.input("image2")]),
            clouds=(case.input("pc1"), case.input("pc2")),
            camera=Camera(config["f"], config["cx"], config["cy"]),
            size=case.input("image1").shape[:2],
            flow_2d=case.input("flow_2d"),
            flow_3d=case.input("flow_3d"),
        ),
        window,
    )
    return {
        "image1": zoomed.images[0],
        "image2": zoomed.images[1],
        "pc1": zoomed.clouds[0],
        "pc2": zoomed.clouds[1],
        "flow_2d": zoomed.flow_2d,
        "flow_3d": zoomed.flow_3d,
        "f": zoomed.camera.f,
        "cx": zoomed.camera.cx,
        "cy": zoomed.camera.cy,
    }


def channels_first(pair: FramePair) -> dict:
    """A pair as the reference's readers give it."""
    images = np.moveaxis(pair.images, -1, 1)
    return {
        "images": images.reshape(-1, *images.shape[2:]),
        "pcs": np.concatenate([cloud.T for cloud in pair.clouds]),
        "intrinsics": np.float32(pair.camera),
        "flow_2d": None if pair.flow_2d is None else np.moveaxis(pair.flow_2d, -1, 0),
        "flow_3d": None if pair.flow_3d is None else pair.flow_3d.T,
        "input_h": pair.size[0],
        "input_w": pair.size[1],
    }


def write(case: Case, folder: Path, files: dict[str, str]) -> None:
    """The inputs `file_NAME` of a case, each at its place below `folder`."""
    for name, place in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.input(f"file_{name}").tobytes())


def drawn(pair: FramePair, case: Case) -> FramePair:
    return draw_points(pair, case.config["n_points"], np.random.RandomState(case.config["seed"]))


@runner("camliflow", "kitti.py:KITTI", fixed={"augmentation": False, "seed": kitti.SEED})
def kitti_training(case: Case) -> dict:
    assert tuple(case.config["pad"]) == kitti.PADDED
    with tempfile.TemporaryDirectory() as name:
        write(
            case,
            Path(name) / "training",
            {
                "image_10": "image_2/000000_10.png",
                "image_11": "image_2/000000_11.png",
                "flow_occ": "flow_occ/000000_10.png",
                "disp_occ_0": "disp_occ_0/000000_10.png",
                "disp_occ_1": "disp_occ_1/000000_10.png",
                "calib": "calib_cam_to_cam/000000.txt",
            },
        )
        pair = drawn(KittiFrames(Path(name), case.config["split"]).with_truth(0), case)
    answers = channels_first(pair)
    height, width = case.outputs["images"]["shape"][1:]
    larger = kitti.SPLITS["training160"][1]
    return answers | {
        "images": answers["images"][:, :height, :width],
        "flow_2d": answers["flow_2d"][:, :height, :width],
        "n_train160": len(larger),
        "train160_first": larger[:12],
        "train40_first": kitti.SPLITS["training40"][1][:5],
    }


@runner("camliflow", "kitti.py:KITTITest", fixed={"seed": kitti.SEED})
def kitti_testing(case: Case) -> dict:
    config = case.config
    assert tuple(config["pad"]) == kitti.PADDED
    with tempfile.TemporaryDirectory() as name:
        write(
            case,
            Path(name) / "testing",
            {
                "image_10": "image_2/000000_10.png",
                "image_11": "image_2/000000_11.png",
                "disp_ganet_10": "disp_ganet/000000_10.png",
                "disp_ganet_11": "disp_ganet/000000_11.png",
                "calib": "calib_cam_to_cam/000000.txt",
            },
        )
        pair = drawn(
            KittiFrames(Path(name), config["split"]).with_estimated_depth(
                0, config["max_depth"], config["ignore_rows"], -config["min_y"]
            ),
            case,
        )
    answers = channels_first(pair)
    height, width = case.outputs["images"]["shape"][1:]
    return answers | {"images": answers["images"][:, :height, :width]}


@runner("camliflow", "flyingthings3d.py:FlyingThings3D", fixed={"seed": flying_things.SEED})
def things(case: Case) -> dict:
    split = case.config["split"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / split
        pictures = f"image_{case.config['pass_name']}"
        write(
            case,
            folder,
            {
                "image_0": f"{pictures}/0000000.png",
                "image_1": f"{pictures}/0000001.png",
                "flow_2d": "flow_2d/0000000.png",
            },
        )
        for place in ("pc", "flow_3d", "occ_mask_3d"):
            (folder / place).mkdir()
        np.savez(folder / "pc/0000000.npz", pc1=case.input("pc1"), pc2=case.input("pc2"))
        np.save(folder / "flow_3d/0000000.npy", case.input("flow_3d"))
        np.save(folder / "occ_mask_3d/0000000.npy", case.input("occ_packed"))
        pair = drawn(FlyingThings(Path(name), split, case.config["pass_name"])[0], case)
    return channels_first(pair) | {"occ_mask_3d": pair.occluded.astype(np.uint8)}


@runner("camliflow", "sintel.py:Sintel", fixed={"seed": sintel.SEED})
def sintel_training(case: Case) -> dict:
    config = case.config
    assert (config["f"], config["cx"], config["cy"]) == sintel.CAMERA
    with tempfile.TemporaryDirectory() as name:
        root, passes = Path(name), config["pass_name"]
        write(
            case,
            root / "flow/training" / passes / "alley_1",
            {"image_1": "frame_0001.png", "image_2": "frame_0002.png"},
        )
        for folder in ("flow/training/flow/alley_1", "depth/training/depth/alley_1"):
            (root / folder).mkdir(parents=True)
        flow_files.write_flo(root / "flow/training/flow/alley_1/frame_0001.flo", case.input("flow"))
        for number in (1, 2):
            depth = case.input(f"depth{number}").astype("<f4")
            header = np.float32(flow_files.MAGIC).tobytes() + np.int32(depth.shape[::-1]).tobytes()
            path = root / f"depth/training/depth/alley_1/frame_{number:04d}.dpt"
            path.write_bytes(header + depth.tobytes())
        pair = drawn(Sintel(root, passes, config["n_points"], config["max_depth"])[0], case)
    return channels_first(pair)
