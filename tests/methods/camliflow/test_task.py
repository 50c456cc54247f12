"""CamLiFlow's batches, groups, evaluations and predictions; networks themselves are goldens'."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from jaxvision.data.conversions import collecting
from jaxvision.data.flow_files import read_disparity_png, read_flow_png, write_flo
from jaxvision.data.scene_flow import kitti, stereo_pair
from jaxvision.data.scene_flow.frames import FramePair
from jaxvision.data.scene_flow.geometry import Camera
from jaxvision.errors import InputError
from jaxvision.methods.camliflow import evaluation, inputs, point_evaluation, prediction, tour
from jaxvision.methods.camliflow.model import FlowInputs, Prediction
from jaxvision.methods.camliflow.task import FlowTask
from jaxvision.methods.camliflow.variants import VARIANTS
from jaxvision.registry import load_config, make_task
from jaxvision.training.mesh import make_mesh
from jaxvision.training.sharding import replicated
from made_up_kitti import write_kitti

SIZE, POINTS, PYRAMID = (64, 96), 300, "model.pyramid=(128,64,32,24,16)"


def config_of(network: str = "camlipwc", *more: str):
    return load_config(
        "camliflow/demo",
        [f"model.network={network}", f"data.size={SIZE}", f"data.points={POINTS}", PYRAMID, *more],
    )


@pytest.mark.parametrize("network", ["camliraft", "camliraft_l", "pwc"])
def test_a_batch_has_what_the_network_has_branches_for(network):
    task = make_task(config_of(network))
    source, spec = task.source("train"), task.batch_specs("train")["pairs"]
    sample = source.transform(source.records[0], np.random.default_rng(0), "pairs")
    assert sample.keys() == spec.keys()
    for name, x in sample.items():
        assert (x.shape, x.dtype) == (spec[name].shape[1:], spec[name].dtype), name
    images, points = VARIANTS[network].images, VARIANTS[network].points
    assert (images, points) == ("flow_2d" in sample, "flow_3d" in sample)
    assert task.supervised({name: x[None] for name, x in sample.items()}) == (
        images * SIZE[0] * SIZE[1] + points * POINTS
    )


def test_an_evaluation_draws_the_same_points_each_time_and_a_training_others():
    records = make_task(config_of()).source("train").records
    networks = VARIANTS["camliraft_l"]
    fixed = evaluation.transform_of(networks, SIZE, POINTS, 0)
    free = inputs.PairTransform(images=False, points=True, count=POINTS, size=SIZE, flips=2)
    for transform, same in ((fixed, True), (free, False)):
        first, second = (
            transform(records[0], np.random.default_rng(seed), "pairs") for seed in range(2)
        )
        assert np.array_equal(first["clouds"], second["clouds"]) == same


def test_the_branch_of_points_has_a_rate_of_its_own():
    group = make_task(config_of()).parameter_group
    points, kernel = "core/point_estimator/mlp/layer_0/linear/kernel", (128, 64)
    assert group(points, kernel).schedule == "points"
    assert group("core/fuse_estimator/to_points/linear/kernel", kernel).schedule == ""
    assert group("core/fuse_estimator/to_points/linear/bias", (64,)).decay == 0
    alone = make_task(config_of("camlipwc_l")).parameter_group
    assert alone(points, kernel).schedule == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("model.network=camliflow",), "unknown model.network"),
        (("model.pyramid=(256,256,64,32,16)",), "expected 5 falling numbers"),
        (("model.pyramid=(256,128,64,32,8)",), "fewer points than the 16 neighbours"),
        (("model.network=raft", "model.width=36"), "model.width=36: expected a multiple of 8"),
        (("model.network=raft", "model.levels=5"), "model.levels=5: expected 1 to 4"),
        (("model.network=raft", "model.lookup=volumes"), "unknown model.lookup"),
        (("model.network=camliraft", "model.fusions=('flow',)"), "unknown part of model.fusions"),
        (("data.points=128",), "data.points=128: expected more than the pyramid's 128"),
        (("data.size=(32,96)",), "expected at least 64 pixels a side"),
        (("data.name=things",), "unknown data.name"),
        (("data.name=kitti",), "expected the folder of kitti, got none"),
        (("data.name=kitti", "data.root=x"), r"expected \(376, 1242\)"),
        (("task.crop=(80,80)",), "within"),
        (("task.order=l2",), "unknown task.order"),
    ],
)
def test_settings_that_cannot_be_are_refused(more, said):
    with pytest.raises(InputError, match=said):
        make_task(config_of("camlipwc", *more)).source("train")


def test_protocols_are_refused_where_they_are_unknown_or_lack_a_branch(tmp_path):
    full = ("model.pyramid=(4096,2048,1024,512,256)", "data.points=8192")
    for network, name, said in (
        ("camlipwc", "thing", "unknown protocol"),
        ("camlipwc", "kitti_noc", "for networks without images"),
        ("camlipwc_l", "sintel_final", "no true scene flow"),
        ("pwc", "kitti_scene_flow", "for networks of pixels and points"),
        ("camlipwc_l", "kitti_noc", "no calibrations, expected files such as 000000.txt"),
    ):
        config = config_of(network, *full)
        with config.unlocked():
            config.task.benchmarks = ConfigDict({name: str(tmp_path)})
        with pytest.raises(InputError, match=said):
            make_task(config).evaluations()
    assert point_evaluation.shift_of("things_occ", 2) is None
    assert point_evaluation.shift_of("kitti_occ", 2).source_mean.shape == (2, 3)


def nothing_moves(given) -> Prediction:
    flow_2d = flow_3d = None
    if given.images is not None:
        flow_2d = jnp.zeros((*given.images.shape[:1], *given.images.shape[2:4], 2))
    if given.clouds is not None:
        flow_3d = jnp.zeros_like(given.clouds[:, 0])
    return Prediction((), (), (), flow_2d, flow_3d, None)


def test_no_motion_has_the_errors_of_no_motion():
    task = make_task(config_of("camlipwc", "task.evaluation_batch=2"))
    found = evaluation.evaluations(task.config, task.network, lambda _, x: nothing_moves(x))
    planes = found["planes"]
    source, total = planes.source, None
    samples = [
        source.transform(source.records[n], np.random.default_rng(0), "pairs") for n in range(2)
    ]
    batch = {name: jnp.stack([s[name] for s in samples]) for name in samples[0]}
    outputs = jax.device_get(jax.jit(planes.outputs)({}, batch, None))
    total = planes.accumulate(total, outputs, np.arange(2), "pairs")
    result = planes.finish(total, {})
    assert result["epe2d"] == result["epe2d_zero"]
    assert result["epe3d"] == result["epe3d_zero"]
    lengths = np.linalg.norm(batch["flow_3d"][..., :3], axis=-1)
    assert result["epe3d"] == pytest.approx(lengths.mean(), rel=1e-4)
    seen = lengths[~np.asarray(batch["occluded"])]
    assert result["epe3d_noc"] == pytest.approx(seen.mean(), rel=1e-4)


def test_predict_writes_pictures_flow_and_a_page(tmp_path):
    task = make_task(config_of())
    pair = task.source("train").records[0]
    for number, image in enumerate(pair.images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        np.save(tmp_path / f"{number}.npy", pair.clouds[number])
    write_flo(tmp_path / "true.flo", pair.flow_2d[..., :2])
    frames = [{"image": f"{n}.png", "cloud": f"{n}.npy"} for n in range(2)]
    table = {"camera": list(pair.camera), "frames": frames, "flow_2d": ["true.flo"]}
    (tmp_path / "walk.json").write_text(json.dumps(table))
    out = tmp_path / "out"
    out.mkdir()
    written = prediction.predict_files(
        task.config, task.network, nothing_moves, [tmp_path / "walk.json"], out
    )
    assert sorted(file.name for file in written) == [
        *("walk.json", "walk_0000_error.png", "walk_0000_flow.flo", "walk_0000_flow.png"),
        *("walk_0000_flow_3d.npy", "walk_0000_motion.html"),
    ]
    assert (np.asarray(Image.open(out / "walk_0000_flow.png")) == 255).all()
    (row,) = json.loads((out / "walk.json").read_text())["pairs"]
    length = np.linalg.norm(pair.flow_2d[..., :2], axis=-1).mean()
    assert row["epe2d"] == pytest.approx(length, rel=1e-4)
    assert np.load(out / "walk_0000_flow_3d.npy").shape == (task.config.task.predict.points, 6)
    (tmp_path / "kitti.json").write_text('{"kitti": "nowhere", "split": "testing200"}')
    with pytest.raises(InputError, match=r"no such file, which KITTI's"):
        prediction.predict_files(
            task.config, task.network, nothing_moves, [tmp_path / "kitti.json"], out
        )


def test_the_tour_shows_pairs_that_are_evaluated(tmp_path):
    config = load_config("camliflow/demo")
    pairs = tour.write(config, tmp_path)
    records = make_task(config).evaluations()["planes"].source.records
    for number, pair in enumerate(pairs.values()):
        np.testing.assert_array_equal(pair.flow_2d, records[number].flow_2d)


def test_the_tour_answers_a_real_stereo_pair(tmp_path):
    """In which no motion is off by the disparity and by the distance of the eyes."""
    task = make_task(config_of("camlipwc", "task.predict.points=300"))
    given, answers = tmp_path / "given", tmp_path / "answers"
    given.mkdir(), answers.mkdir()
    pairs = tour.write_motorcycle(task.config, given)
    prediction.predict_files(
        task.config, task.network, nothing_moves, [given / "motorcycle.json"], answers
    )
    shown = tour.show(answers, pairs)
    assert all(picture.file.is_file() for picture in shown.pictures)
    flat, deep = (number.value for number in shown.numbers)
    flow = pairs["motorcycle"].flow_2d
    length = np.linalg.norm(flow[flow[..., 2] > 0][:, :2], axis=-1).mean()
    assert 15 < length < 20
    assert (flat, deep) == (f"{length:.2f} px", f"{stereo_pair.BASELINE:.2f} m")


def test_points_far_beyond_what_was_trained_on_are_told():
    config = config_of()
    network = make_task(config).network
    cloud = np.ones((400, 3), np.float32) * [[1, 1, 20]]
    far = cloud.copy()
    far[:7, 2] = 36
    pair = FramePair(
        images=np.zeros((2, 64, 96, 3), np.uint8),
        clouds=(cloud, far),
        camera=Camera(64.0, 48.0, 32.0),
        size=(64, 96),
        name="walk",
    )
    for clouds, told in (((cloud, far), 1), ((cloud, cloud), 0)):
        with collecting() as notes:
            prediction.as_inputs(replace(pair, clouds=clouds), network, 400)
        assert [note.kind[:18] for note in notes] == ["points beyond 35 m"] * told


@pytest.mark.parametrize("wrong", ["a later frame", "an answer"])
def test_half_a_sequence_leaves_nothing(tmp_path, wrong):
    task, out = make_task(config_of("camlipwc", "task.predict.points=300")), tmp_path / "out"
    given = tmp_path / "given"
    out.mkdir(), given.mkdir()
    tour.write_motorcycle(task.config, given)
    np.save(given / "none.npy", np.full((500, 3), np.nan, np.float32))
    table = json.loads((given / "motorcycle.json").read_text()) | {"flow_2d": []}
    table["frames"].append({"image": "motorcycle_0.png", "cloud": "motorcycle_0.npy"})
    if wrong == "a later frame":
        table["frames"][2]["cloud"] = "none.npy"
    (given / "walk.json").write_text(json.dumps(table))
    answers = []

    def answer(inputs):
        found = nothing_moves(inputs)
        answers.append(found)
        late = wrong == "an answer" and len(answers) == 2
        return found._replace(final_3d=found.final_3d * np.nan) if late else found

    said = {"a later frame": "pair 1: the second frame has no points", "an answer": "no numbers"}
    with pytest.raises(InputError, match=said[wrong]):
        prediction.predict_files(task.config, task.network, answer, [given / "walk.json"], out)
    assert list(out.iterdir()) == []


@pytest.fixture
def two_of_kitti(tmp_path, monkeypatch):
    """{"kitti": ...} of a split of two records, in a JSON file."""
    monkeypatch.setitem(kitti.SPLITS, "two", ("testing", (0, 3)))
    write_kitti(tmp_path / "kitti", (0, 3), "testing", size=(120, 64))
    (tmp_path / "ask.json").write_text('{"kitti": "kitti", "split": "two"}')
    (tmp_path / "out").mkdir()
    return tmp_path


def submitted(folder, answer=nothing_moves):
    task = make_task(config_of("camlipwc", "task.predict.points=300"))
    return prediction.predict_files(
        task.config, task.network, answer, [folder / "ask.json"], folder / "out"
    )


def test_a_submission_of_no_motion_has_kittis_disparities_twice(two_of_kitti):
    shutil.rmtree(two_of_kitti / "kitti/testing/semantic_ddr")
    written = submitted(two_of_kitti)
    names = [file.relative_to(two_of_kitti / "out/ask").as_posix() for file in written]
    assert names == [
        f"{folder}/{number:06d}_10.png"
        for number in (0, 3)
        for folder in ("disp_0", "disp_1", "flow")
    ]
    given = read_disparity_png(two_of_kitti / "kitti/testing/disp_ganet/000003_10.png")
    first, second = (read_disparity_png(file) for file in written[3:5])
    assert (first == given).all()
    np.testing.assert_allclose(second, given, atol=1 / 128)
    flow, valid = read_flow_png(written[5])
    assert flow.shape == (*given.shape, 2)
    assert valid.all()
    assert not flow.any()


def test_a_submission_that_lacks_a_file_is_refused_before_anything_is_computed(two_of_kitti):
    answers = []
    for name in ("disp_ganet/000003_11.png", "semantic_ddr/000003_10.png"):
        file = two_of_kitti / "kitti/testing" / name
        file.rename(file.with_suffix(".away"))
        with pytest.raises(InputError, match=rf"{name}: no such file"):
            submitted(two_of_kitti, lambda given: answers.append(given) or nothing_moves(given))
        file.with_suffix(".away").rename(file)
    (two_of_kitti / "ask.json").write_text('{"kitti": "kitti", "spilt": "two"}')
    with pytest.raises(InputError, match=r"ask\.json: unknown key 'spilt'; did you mean 'split'"):
        submitted(two_of_kitti)
    assert not answers


def test_half_a_submission_leaves_nothing(two_of_kitti):
    answers = []
    shutil.rmtree(two_of_kitti / "kitti/testing/semantic_ddr")

    def answer(given):
        answers.append(given)
        found = nothing_moves(given)
        return found._replace(final_2d=found.final_2d * np.nan) if len(answers) == 2 else found

    with pytest.raises(InputError, match="testing/000003: the answer has values that are no num"):
        submitted(two_of_kitti, answer)
    assert len(answers) == 2
    assert not list((two_of_kitti / "out").rglob("*"))


def test_a_file_is_answered_by_one_of_the_devices(tmp_path, monkeypatch):
    task, answers = make_task(config_of("pwc")), []
    everywhere = replicated(make_mesh({"data": -1, "fsdp": 1, "tensor": 1}))
    variables = {"params": jax.device_put(jnp.float32(3), everywhere)}
    assert len(variables["params"].devices()) == 8

    def forward(self, variables, given):
        found = nothing_moves(given)
        return found._replace(final_2d=found.final_2d + variables["params"])

    def predict_files(config, network, answer, paths, outdir):
        answers.append(answer(FlowInputs(jnp.zeros((1, 2, 8, 8, 3)))))
        return []

    monkeypatch.setattr(FlowTask, "forward", forward)
    monkeypatch.setattr(prediction, "predict_files", predict_files)
    task.predict_files(variables, [], tmp_path)
    assert answers[0].final_2d.devices() == {jax.devices()[0]}
    assert (answers[0].final_2d == 3).all()
