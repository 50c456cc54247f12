"""Golden runners of UMT: videos and texts together, retrieval, questions."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from golden_case import Case, Config, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.umt_text import text_config
from jaxvision.methods.umt import alignment
from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.methods.umt.language import losses as pair_losses
from jaxvision.methods.umt.language import retrieval
from jaxvision.methods.umt.language.losses import HiddenWords, Negatives, Texts
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.methods.umt.language.weights import question_entries, video_text_entries
from jaxvision.methods.umt.objective import alignment_loss
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.ops import token_masks
from jaxvision.weights import to_variables

RETRIEVAL = {"model": "umt_video_text_retrieval", "keep_temporal": True}
READ = {key: "it stands in `fixed`" for key in ("model", "keep_temporal", "clip_teacher")}


def frames_last(media: np.ndarray) -> np.ndarray:
    """[b, t, 3, h, w] -> [b, t, h, w, 3]."""
    return np.moveaxis(media, 2, -1)


def vision_of(config: Mapping, pool_norm: bool = True) -> AlignedEncoder:
    side, width = config["img_size"], config["encoder_embed_dim"]
    assert config["clip_decoder_embed_dim"] == width
    return AlignedEncoder(
        CubeGrid(config["num_frames"], (side, side), config["tubelet_size"], config["patch_size"]),
        BlockConfig(width, config["encoder_num_heads"], norm_epsilon=config.get("norm_eps", 1e-6)),
        config["encoder_depth"],
        config["clip_output_dim"],
        returned=config["clip_return_layer"],
        interval=config["clip_student_return_interval"],
        head_epsilon=config.get("alignment_head_norm_eps", 1e-5),
        normalise=False,
        pool_norm=pool_norm,
        image_table=True,
    )


def teacher_of(config: Mapping, frames: int) -> ClipVision:
    side = config["input_resolution"]
    return ClipVision(
        CubeGrid(frames, (side, side), 1, config["patch_size"]),
        BlockConfig(
            config["width"],
            config["heads"],
            fused_bias=True,
            activation="quick_gelu",
            norm_epsilon=1e-5,
        ),
        config["layers"],
        config["output_dim"],
        returned=config["clip_return_layer"],
        interval=config["clip_return_interval"],
        normalise=False,
    )


@functools.cache
def video_text(config: Config, word_head: bool = False) -> VideoText:
    return VideoText(
        vision_of(config["vision_encoder"]),
        text_config(config["text_encoder"]),
        config["embed_dim"],
        word_head,
    )


def texts_of(case: Case, name: str = "input_ids", mask: str = "attention_mask") -> Texts:
    return Texts(case.input(name), case.input(mask) > 0)


def negatives_of(case: Case) -> Negatives:
    return Negatives(case.input("text_neg_indices"), case.input("vision_neg_indices"))


def paired(model: VideoText, video, texts, index, negatives, *, visible=None, hidden=None):
    """(pairs, losses, what the vision tower gave) of a bound model."""
    seen = model.look(video, visible, keep_frames=visible is None)
    pairs = pair_losses.encode_pairs(model, seen, texts, index)
    losses = pair_losses.fused_losses(model, pairs, texts, negatives, hidden)
    return pairs, {"vtc": pairs.contrast} | losses, seen


@functools.cache
def pretraining(config: Config, frames: int):
    """(entries, jitted step of the four losses) of a case."""
    model, teacher = video_text(config, True), teacher_of(config["clip_teacher"], frames)
    entries = video_text_entries(model, teacher)
    assert config["clip_img_size"] == config["clip_teacher"]["input_resolution"]
    weights, uta = dict(config["loss_weight"].items()), dict(config["uta"].items())
    count = token_masks.visible_per_frame(teacher.places, config["mask_ratio"])

    @jax.jit
    def step(variables, video, uniform, texts, index, negatives, hidden):
        noise = token_masks.gumbel(uniform)
        guide = alignment.guide(
            teacher, {"params": variables["params"]["teacher"]}, video, noise, count
        )
        mask = jnp.ones((len(video), teacher.places * frames), bool)
        mask = mask.at[jnp.arange(len(video))[:, None], guide.visible].set(False)

        def total(params):
            apply = nn.apply(functools.partial(paired, hidden=hidden), model)
            pairs, losses, seen = apply(
                {"params": params}, video, texts, index, negatives, visible=guide.visible
            )
            losses["uta"] = jnp.mean(
                alignment_loss(
                    seen["aligned"], guide.targets, uta["loss"], normalise=uta["norm"] == "l2"
                )
            )
            return sum(weights[name] * loss for name, loss in losses.items()), (
                {f"loss_{name}": loss for name, loss in losses.items()}
                | {
                    "weights_t2v": pairs.videos_of_text,
                    "weights_v2t": pairs.texts_of_video,
                    "mask": mask,
                    "vision_embeds": pairs.tokens,
                    "pooled_vision": pairs.pooled,
                    "student_output": seen["aligned"],
                    "clip_output": guide.targets,
                    "text_embeds": pairs.states,
                }
            )

        (loss, answers), grads = jax.value_and_grad(total, has_aux=True)(variables["params"])
        return answers | {"loss_total": loss}, {"params": grads}

    return entries, step


@runner(
    "umt",
    "multi_modality/models/umt.py:UMT.forward, models/criterions.py",
    fixed={"model": "umt_video_text_pretrain"},
    ignores=READ | {"temp": "it is among the weights"},
)
def pretrain(case: Case) -> dict:
    video = frames_last(case.input("media"))
    entries, step = pretraining(case.config, video.shape[1])
    variables, _ = to_variables(case.state_dict(), entries)
    answers, grads = step(
        variables,
        video,
        case.input("exponential_uniform"),
        texts_of(case),
        case.input("idx"),
        negatives_of(case),
        HiddenWords(case.input("mlm_input_ids"), case.input("mlm_labels")),
    )
    return answers | gradient_outputs(case.outputs, grads, entries)


@runner(
    "umt",
    "multi_modality/models/umt.py:UMT.forward (is_pretrain False)",
    fixed=RETRIEVAL | {"clip_teacher": None},
    ignores=READ | {"temp": "it is among the weights"},
)
def tune_retrieval(case: Case) -> dict:
    model = video_text(case.config)
    entries = video_text_entries(model)
    variables, _ = to_variables(case.state_dict(), entries)
    weights = dict(case.config["loss_weight"].items())
    assert weights["mlm"] == weights["uta"] == 0

    @jax.jit
    def step(params, *inputs):
        def total(params):
            pairs, losses, _ = nn.apply(paired, model)({"params": params}, *inputs)
            answers = {f"loss_{name}": loss for name, loss in losses.items()}
            answers |= {"pooled_vision": pairs.pooled, "vision_embeds": pairs.tokens}
            return sum(weights[name] * loss for name, loss in losses.items()), answers

        return jax.grad(total, has_aux=True)(params)

    grads, answers = step(
        variables["params"],
        frames_last(case.input("media")),
        texts_of(case),
        case.input("idx"),
        negatives_of(case),
    )
    return answers | gradient_outputs(case.outputs, {"params": grads}, entries)


@runner(
    "umt",
    "multi_modality/models/umt.py:UMT (encode_vision test=True, encode_text, fusion, itm_head)",
    fixed=RETRIEVAL,
    ignores=READ | {"temp": "it is among the weights"},
)
def encoded_pairs(case: Case) -> dict:
    model = video_text(case.config)
    variables, _ = to_variables(case.state_dict(), video_text_entries(model))

    def run(model, video, texts):
        seen = model.look(video, keep_frames=True)
        states = model.read(*texts)
        fused = model.fuse(states, texts.mask, seen["tokens"])
        return {
            "vision_embeds": seen["tokens"],
            "pooled_vision": seen["pooled"],
            "text_embeds": states,
            "sim_v2t": model.logits(seen["pooled"], states),
            "fusion_hidden": fused,
            "itm_logits": model.match(fused),
        }

    answer = jax.jit(nn.apply(run, model))
    return answer(variables, frames_last(case.input("media")), texts_of(case))


@runner(
    "umt",
    "multi_modality/tasks/retrieval_utils.py:evaluation",
    fixed=RETRIEVAL,
    ignores=READ,
)
def reranked(case: Case) -> dict:
    model = video_text(case.config)
    variables, _ = to_variables(case.state_dict(), video_text_entries(model))
    video, texts = frames_last(case.input("media")), texts_of(case)

    def encode(model, video, texts):
        seen = model.look(video, keep_frames=True)
        states = model.read(*texts)
        return seen["tokens"], states, model.similarities(seen["pooled"], states)

    tokens, states, similarity = jax.jit(nn.apply(encode, model))(variables, video, texts)
    matching = nn.apply(retrieval.matching_scores, model)
    score = retrieval.scorer(matching, variables, tokens, states, texts.mask)
    similarity = np.asarray(similarity)
    answers = retrieval.rerank(similarity, score, case.config["k_test"], videos=4, texts=3)
    return {
        "i2t_rerank": answers.by_video,
        "t2i_rerank": answers.by_text,
        "i2t_sim": similarity,
        "t2i_sim": similarity.T,
    }


@functools.cache
def questions(config: Config):
    """(model, entries, jitted loss) of a case."""
    text, answers = (text_config(config[f"text_{part}"]) for part in ("encoder", "decoder"))
    assert answers.fusion_layers == text.fusion_layers
    assert answers.layer == text.layer
    assert config["text_decoder"]["encoder_width"] == text.layer.width
    model = VideoQuestions(vision_of(config["vision_encoder"], config["add_pool_norm"]), text)
    return model, question_entries(model)


@runner(
    "umt",
    "multi_modality/models/umt_qa.py:UMT_QA (vision call given its four arguments)",
    fixed={"model": "umt_video_qa"},
    ignores=READ,
)
def question_answering(case: Case) -> dict:
    model, entries = questions(case.config)
    variables, _ = to_variables(case.state_dict(), entries)
    counts = case.config["answers_per_question"]
    most = max(counts)

    def by_question(flat: np.ndarray) -> np.ndarray:
        """[answers, ...] -> [questions, most, ...], zeros where a question has fewer."""
        table = np.zeros((len(counts), most, *flat.shape[1:]), flat.dtype)
        for number, rows in enumerate(np.split(flat, np.cumsum(counts)[:-1])):
            table[number, : len(rows)] = rows
        return table

    @functools.partial(jax.jit, static_argnames="count")
    def run(variables, video, question, answers, weights, candidates, count):
        loss, grads = jax.value_and_grad(
            lambda params: model.apply({"params": params}, video, question, answers, weights)
        )(variables["params"])

        def rank(model):
            asked = model.ask(video, *question)
            return model.rank(*candidates, asked, question.mask, count)

        probabilities, numbers = nn.apply(rank, model)(variables)
        tokens = model.apply(variables, video, method=lambda m, x: m.vision.layers(x))[-1]
        answers = {"topk_ids": numbers, "topk_probs": probabilities, "vision_embeds": tokens}
        return answers | {"loss": loss}, {"params": grads}

    answers = Texts(
        *(by_question(x) for x in (case.input("answer_ids"), case.input("answer_mask") > 0))
    )
    outputs, grads = run(
        variables,
        frames_last(case.input("media")),
        texts_of(case, "question_ids", "question_mask"),
        answers,
        by_question(case.input("answer_weights")),
        texts_of(case, "candidate_ids", "candidate_mask"),
        case.config["k"],
    )
    return outputs | gradient_outputs(case.outputs, grads, entries)
