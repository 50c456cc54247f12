"""Heads on frozen backbones: learned from features that are made once, and used as one network."""

import json
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

import media
from jaxvision.data.feature_files import FeatureFiles, first_view
from jaxvision.data.loader import Schedule, TrainingBatches
from jaxvision.errors import InputError
from jaxvision.loading import load_run, read_weights
from jaxvision.networks import official_model
from jaxvision.nn.token_head import AttentionPool, token_head
from jaxvision.nn.transformer import BlockConfig
from jaxvision.registry import load_config, make_task
from jaxvision.training import initialisation
from jaxvision.training.config import as_json
from jaxvision.training.evaluation import Evaluator
from jaxvision.training.loop import train
from jaxvision.training.mesh import make_mesh
from jaxvision.weights.convert import our_shapes
from jaxvision.weights.mapping import flatten, unflatten
from methods.umt.language import small as words
from methods.umt.small import stage1

SMALL = (
    "model.frames=4",
    "model.image_size=(16,16)",
    "model.patch=8",
    "model.width=32",
    "model.heads=2",
    "model.depth=1",
    "train.batch_size=8",
    "train.epochs=30.0",
    "task.stride=2",
    "task.flip=False",
    "task.segments=1",
    "task.crops=1",
    "evaluate.every_epochs=0.0",
    "mesh.data=1",
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return media.bars(tmp_path_factory.mktemp("videos"), around=False, train=16, validation=8)


def config_of(videos, folder, *more, recipe="videomae/own_head"):
    return load_config(
        recipe,
        (
            *SMALL,
            f"data.train={videos / 'train'}",
            f"data.validation={videos / 'validation'}",
            f"data.features={folder}",
            *more,
        ),
    )


def fresh(config, seed=0):
    """A network's variables as a file would hold them (its head's, too, which a start leaves out),
    by rule: making them would have to be compiled."""
    rng = np.random.default_rng(seed)
    flat = flatten(nn.unbox(jax.eval_shape(make_task(config).init, jax.random.key(0))))

    def draw(path, leaf):
        scale = np.sqrt(max(leaf.shape[-2:-1], default=4))
        return (path.endswith("scale") + rng.standard_normal(leaf.shape) / scale).astype("f4")

    return unflatten({path: draw(path, leaf) for path, leaf in flat.items()})


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory):
    """(workdir, results, variables it began with); the features are beside the workdir."""
    folder = tmp_path_factory.mktemp("run")
    config = config_of(videos, folder / "features")
    weights = fresh(config)
    results = train(make_task(config), config, folder / "run", lambda _: weights, jax.devices()[:1])
    return folder / "run", results, weights


def started(config, weights):
    """The task that trains, and the lines it says at its start."""
    said: list[str] = []
    mesh = make_mesh(config.mesh.to_dict(), jax.devices()[:1])
    return make_task(config).before_training(weights, mesh, said.append), said


def made(said) -> list[int]:
    """How many views each split had to make."""
    return [int(re.search(r"(\d+) to make", line)[1]) for line in said if "to make" in line]


@pytest.mark.xdist_group("frozen_head")
def test_it_learns_and_the_backbone_stays(trained):
    workdir, results, weights = trained
    assert results["validation/top1"] == 1.0
    found, start = flatten(read_weights(str(workdir))), flatten(weights)
    for path in start:
        same = np.array_equal(found[path], start[path])
        assert same == path.startswith("params/encoder/"), path
    assert (workdir / "checkpoints" / "frozen").is_dir()


@pytest.mark.xdist_group("frozen_head")
def test_the_whole_network_answers_as_features_and_head(trained, videos, tmp_path):
    """Evaluated, asked in one, and asked for files, it is what was trained."""
    workdir, results, _ = trained
    task, mesh, variables = load_run(None, (), workdir, None)
    evaluator = Evaluator(task, mesh)
    evaluator.compile(variables)
    found, _ = evaluator.run(variables)
    assert found == results

    training, said = started(task.config, variables)
    assert made(said) == [0, 0]
    head = jax.jit(lambda v, x: training.predict(v, training.prepare(x, None, False), None))
    whole = jax.jit(lambda v, x: task.predict(v, task.prepare(x, None, False), None))
    validation = task.evaluations()["validation"].source
    for number in (0, 9):
        stored = first_view(training.validation[number], None, "")
        clip = validation.transform(validation.records[number])["video"]
        np.testing.assert_allclose(
            head(variables, {"features": stored["features"][None]})["probabilities"],
            whole(variables, {"video": clip[None]})["probabilities"],
            atol=2e-3,  # features are stored in float16
        )

    paths = sorted((videos / "validation").rglob("*.mp4"))
    task.predict_files(variables, paths, tmp_path)
    answers = json.loads((tmp_path / "predictions.json").read_text())
    right = [answers[str(path)][0]["class"] == path.parent.name for path in paths]
    assert np.mean(right) > 0.8
    assert len(list(tmp_path.glob("*.png"))) == len(paths)


@pytest.mark.xdist_group("frozen_head")
def test_features_are_made_once_and_found_again(trained, videos):
    workdir, _, weights = trained
    config = config_of(videos, workdir.parent / "features")
    # The same weights and views: none is made. Another head has the same features.
    training, said = started(config, weights)
    assert made(said) == [0, 0]
    assert training.train.store.shape == (2 * 2 * 2, 32)
    # One view more of each: only those are.
    _, said = started(config_of(videos, workdir.parent / "features", "task.views=3"), weights)
    assert made(said) == [32, 0]
    # Other weights: all.
    encoder = jax.tree.map(lambda x: x * 1.5, weights["params"]["encoder"])
    others = {"params": {**weights["params"], "encoder": encoder}}
    other, said = started(config, others)
    assert made(said) == [64, 16]
    assert other.train.store.folder != training.train.store.folder
    # Damaged and lost ones: those.
    damaged, lost = training.train.paths[3][1], training.validation.paths[2][0]
    content = bytearray(damaged.read_bytes())
    before = training.train.store.read(damaged)
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    lost.unlink()
    _, said = started(config, weights)
    assert made(said) == [1, 1]
    assert [line for line in said if "damaged, made anew" in line and str(damaged) in line]
    np.testing.assert_array_equal(training.train.store.read(damaged), before)


@pytest.mark.xdist_group("frozen_head")
def test_what_cannot_be_read_is_named_and_replaced(trained, videos, tmp_path):
    _, _, weights = trained
    for split in ("train", "validation"):
        for name in ("falling", "rising"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                clip = f"{split}/{name}/{number}.mp4"
                (tmp_path / clip).write_bytes((videos / clip).read_bytes())
    broken = tmp_path / "train" / "rising" / "broken.mp4"
    broken.write_bytes(b"no video")
    changed = tmp_path / "train" / "rising" / "1.mp4"
    config = config_of(tmp_path, tmp_path / "features", "task.views=1")
    training, said = started(config, weights)
    assert made(said) == [9, 8]
    assert [line for line in said if f"unreadable, left out: {broken}" in line]
    data = TrainingBatches(
        {"features": training.source("train")}, Schedule.single("features", 2), 0
    )
    replaced = {name for step in range(2) for name, _ in data[step].replaced}
    assert replaced == {str(broken)}
    # Another film under a name is another record.
    changed.write_bytes((videos / "train" / "falling" / "1.mp4").read_bytes())
    again, said = started(config, weights)
    assert made(said) == [2, 0]
    assert {record.label for record in (again.train[n] for n in range(5))} == {0, 1}


@pytest.mark.xdist_group("frozen_head")
def test_pixels_train_the_same_head(trained, videos):
    _, _, weights = trained
    config = config_of(videos, "", "task.mixup_alpha=0.8", "train.batch_size=2")
    task, said = started(config, weights)
    assert task.batch_specs("train")["clips"]["video"].shape == (2, 4, 16, 16, 3)
    assert not said
    batch = TrainingBatches({"clips": task.source("train")}, Schedule.single("clips", 1), 0)[0]

    def loss(variables):
        rng = jax.random.key(0)
        return task.loss(variables, task.prepare(batch.arrays, rng, True), rng, True)[0]

    assert np.isfinite(jax.jit(loss)(weights))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.mixup_alpha=0.8"], "task.mixup_alpha=0.8: stored features are not augmented"),
        (["task.views=0"], "task.views"),
        (["model.pooling=first"], "model.pooling 'first': expected one of attention, mean"),
        (["data.features=FILE"], "data.features=.*FILE"),
    ],
)
def test_bad_input_is_one_line(videos, tmp_path, overrides, said):
    (tmp_path / "FILE").write_text("")
    overrides = [text.replace("FILE", str(tmp_path / "FILE")) for text in overrides]
    config = config_of(videos, tmp_path, *overrides)
    with pytest.raises(InputError, match=said.replace("FILE", str(tmp_path / "FILE"))):
        started(config, fresh(config_of(videos, tmp_path)))


def test_validation_videos_are_looked_for_before_weights_are_read(videos, tmp_path):
    config = config_of(videos, tmp_path / "features", "data.validation=vidoes")
    asked: list[str] = []
    with pytest.raises(InputError, match=r"data\.validation=vidoes: no such folder or list"):
        train(make_task(config), config, tmp_path / "run", asked.append, jax.devices()[:1])
    assert not asked


def test_features_are_one_processs_work(videos, tmp_path, monkeypatch):
    config = config_of(videos, tmp_path)
    weights = fresh(config)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(InputError, match="by one process, and this run has 4; train from pixels"):
        started(config, weights)


def test_values_beyond_the_files_numbers_are_refused(tmp_path):
    store = FeatureFiles(tmp_path, {}, (1, 2))
    with pytest.raises(InputError, match=r"features of up to 1e\+05: expected finite ones"):
        store.write(tmp_path / "a.npz", np.array([[1e5, 0]], np.float32))
    assert not list(tmp_path.iterdir())


# What is trained on, and on what.


def test_a_querys_pool_is_plain_cross_attention():
    """As V-JEPA's probe has it: keys and values of every token."""
    config = BlockConfig(24, 3, kernel_init="normal_0.02")
    rng = np.random.default_rng(0)
    tokens = 3 * rng.standard_normal((2, 7, 24), np.float32) + 1
    pool = AttentionPool(config)
    shapes = nn.unbox(jax.eval_shape(pool.init, jax.random.key(1), tokens))["params"]
    drawn = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)

    def plain(p, tokens):
        def norm(x, name):
            centred = x - x.mean(-1, keepdims=True)
            unit = centred / jnp.sqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-6)
            return unit * p[name]["scale"] + p[name]["bias"]

        x = norm(tokens, "tokens_norm")
        asked = jnp.einsum("d,dhk->hk", p["query"], p["query_projection"]["kernel"])
        asked = asked + p["query_projection"]["bias"]
        made, value = (jnp.einsum("bnd,dhk->bnhk", x, p[f"{n}_kernel"]) for n in ("key", "value"))
        weights = jax.nn.softmax(jnp.einsum("hk,bnhk->bhn", asked, made) / np.sqrt(8))
        mixed = jnp.einsum("bhn,bnhk->bhk", weights, value + p["value_bias"])
        mixed = jnp.einsum("bhk,hkd->bd", mixed, p["out"]["kernel"]) + p["out"]["bias"]
        answer = p["query"] + mixed
        hidden = norm(answer, "mlp_norm") @ p["mlp"]["up"]["kernel"] + p["mlp"]["up"]["bias"]
        hidden = jax.nn.gelu(hidden, approximate=False)
        return answer + hidden @ p["mlp"]["down"]["kernel"] + p["mlp"]["down"]["bias"]

    found = jax.jit(pool.apply)({"params": drawn}, tokens)
    np.testing.assert_allclose(found, jax.jit(plain)(drawn, tokens), rtol=1e-4, atol=1e-4)


def test_a_linear_probe_is_given_the_mean():
    head = token_head(8, 2, 3, pooling="mean", dropout=0.0, dtype="float32")
    tokens = np.random.default_rng(0).standard_normal((2, 5, 8), np.float32)
    kept = head.kept(tokens)
    np.testing.assert_allclose(kept[:, 0], tokens.mean(axis=1), rtol=1e-5)
    shapes = jax.eval_shape(head.init, jax.random.key(1), kept)
    assert set(shapes["params"]) == {"norm", "classifier"}


@pytest.mark.parametrize(
    ("recipe", "network"),
    [
        ("videomae/own_head", "videomae/vit_b_k710"),
        ("videomae/own_head", "videomae/vit_b_pretrain"),
        ("videomae/own_head:size=s,pooling=mean", "videomae/vit_s_k710"),
        ("umt/own_head", "umt/vit_b_k710"),
        ("umt/own_head", "umt/vit_b_pretrain"),
        ("umt/own_head:size=l", "umt/vit_l_k400"),
        ("sparseformer/own_head:pooling=mean", "sparseformer/tiny"),
        ("sparseformer/own_head:network=btsp_augreg_base", "sparseformer/btsp_augreg_base"),
    ],
)
def test_published_networks_are_backbones(recipe, network):
    """All of the encoder comes from the file, and what else it holds is left out."""
    config = load_config(recipe, ("data.labels=imagenet",))
    shapes = nn.unbox(jax.eval_shape(make_task(config).init, jax.random.key(0)))
    held = our_shapes(official_model(network).entries)
    file = unflatten({path: np.broadcast_to(np.float32(0), held[path]) for path in held})
    _, (report,) = initialisation.apply(shapes, config.init, lambda _: file)
    encoder = {path for path in flatten(shapes) if path.startswith("params/encoder/")}
    assert set(report.loaded) == encoder
    assert all(re.search("head|norm|decoder|mask|projection", path) for path in report.dropped)


def test_a_run_gives_its_network(tmp_path):
    """The workdir of a stage-1 student: its sizes, and positions made for its own grid."""
    student = stage1()
    (tmp_path / "config.json").write_text(json.dumps(as_json(student)))
    config = load_config(
        f"umt/own_head:weights={tmp_path},pooling=mean", ("data.labels=kinetics400",)
    )
    assert config.model.width == student.model.width
    assert config.model.image_size == (32, 32)
    assert config.model.position_window == (4, 4, 4)
    assert config.model.pooling == "mean"
    assert config.model.drop_path == 0.0
    task = make_task(config)
    theirs = make_task(student)
    variables = fresh(student)
    shapes = nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))
    loaded, (report,) = initialisation.apply(shapes, config.init, lambda _: variables)
    assert {path.split("/")[1] for path in report.loaded} == {"encoder"}
    assert all(path.startswith("params/head/") for path in report.kept)
    video = jax.random.normal(jax.random.key(1), (1, 4, 32, 32, 3))
    encoder = {"params": {"encoder": loaded["params"]["encoder"]}}
    ours = jax.jit(partial(task.model.apply, method="keep"))(encoder, video)
    tokens = jax.jit(partial(theirs.model.apply, method=lambda student, x: student.encoder(x)))
    theirs = jnp.mean(tokens(variables, video), axis=1)
    np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-4, atol=1e-5)


def test_a_run_with_words_gives_its_vision_tower(tmp_path):
    """The workdir of a retrieval: the encoder of its videos is the backbone."""
    retrieval = words.recipe(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(as_json(retrieval)))
    config = load_config(f"umt/own_head:weights={tmp_path}", ("data.labels=kinetics400",))
    assert config.model.position_window == (2, 4, 4)
    shapes = nn.unbox(jax.eval_shape(make_task(config).init, jax.random.key(0)))
    task = make_task(retrieval)
    theirs = flatten(nn.unbox(jax.eval_shape(task.init, jax.random.key(0))))
    values = {path: np.full(theirs[path].shape, len(path), np.float32) for path in theirs}
    loaded, (report,) = initialisation.apply(shapes, config.init, lambda _: unflatten(values))
    assert set(report.loaded) == {p for p in flatten(shapes) if p.startswith("params/encoder/")}
    for path in report.loaded:
        place = path.replace("params/", "params/vision/")
        np.testing.assert_array_equal(flatten(loaded)[path], values[place])
    # Of a published file the recipe does not know for how many frames it was trained.
    file = load_config("umt/own_head:weights=a.pth", ("data.labels=kinetics400",))
    with pytest.raises(InputError, match=r"init from a\.pth: nothing was loaded"):
        initialisation.apply(shapes, file.init, lambda _: unflatten(values))


@pytest.mark.xdist_group("frozen_head")
def test_pictures_too(tmp_path):
    """A head on SparseFormer, from the workdir of a run that classified digits."""
    small = ("model.cortex=1", "model.repeats=1", "model.widths=(32,32)", "model.channels=8")
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            picture = Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8))
            picture.save(tmp_path / "pictures" / name / f"{name}{number}.png")
    digits = load_config("sparseformer/demo", (*small, "data.size=16", "data.short_side=16"))
    (tmp_path / "config.json").write_text(json.dumps(as_json(digits)))
    data = (f"data.train={tmp_path / 'pictures'}", f"data.validation={tmp_path / 'pictures'}")
    settings = (*data, f"data.features={tmp_path / 'features'}", "train.batch_size=4")
    recipe = f"sparseformer/own_head:weights={tmp_path}"
    config = load_config(f"{recipe},pooling=mean", (*settings, "mesh.data=1"))
    assert config.data.normalisation == "half"
    # 1. The run's network without its head; the head is fresh.
    trained, task = fresh(digits), make_task(config)
    loaded, (report,) = initialisation.apply(fresh(config, 1), config.init, lambda _: trained)
    assert not report.kept
    assert all(path.startswith("params/encoder/") for path in report.loaded)
    theirs = flatten(trained["params"])
    for path, leaf in flatten(loaded["params"]["encoder"]).items():
        assert leaf is theirs[path]
    # 2. Stored features and the head are the whole network.
    training, said = started(config, loaded)
    assert made(said) == [8, 0]  # the same pictures are validated on
    stored = first_view(training.validation[3], None, "")
    assert stored["label"] == 1
    head = training.predict(
        loaded, training.prepare({"features": stored["features"][None]}, 0, 0), 0
    )
    task.predict_files(loaded, [tmp_path / "pictures" / "light" / "light1.png"], tmp_path)
    ((answer, *_),) = json.loads((tmp_path / "predictions.json").read_text()).values()
    assert answer["probability"] == pytest.approx(np.max(head["probabilities"]), abs=2e-3)
    assert (tmp_path / "light1_sampling.png").is_file()
    # 3. A query's head has every token.
    whole = make_task(load_config(recipe, settings))
    kept = jax.eval_shape(
        partial(whole.model.apply, method="keep"),
        fresh(whole.config),
        np.zeros((1, 16, 16, 3), "f4"),
    )
    assert kept.shape == (1, 9, 32)


def test_pictures_of_a_dataset_are_no_files(tmp_path):
    config = load_config(
        "sparseformer/own_head", ("data.name=tfds", "data.labels=imagenet", "data.features=f")
    )
    with pytest.raises(InputError, match=r"data\.name=.tfds.: features are kept of files"):
        make_task(config).before_training({}, None, print)
