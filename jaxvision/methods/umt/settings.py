"""What each setting of UMT's recipes is: `jaxvision inspect` prints it with the value."""

from jaxvision.tasks.settings import CLIPS
from jaxvision.training.sizes import Sizes

SETTINGS = CLIPS | {
    # The student, or the classifier that it becomes.
    "model.interval": "blocks from one returned layer of the student to the one before it",
    # The classifier.
    "model.position_window": "tokens (t, h, w) that positions are made for and resized from",
    # The teacher, CLIP's image transformer.
    "teacher.image_size": "height and width of the frames it sees, resized from the clip's",
    "teacher.patch": "side of a patch (pixels); as many a frame as the student has",
    "teacher.width": "of its tokens",
    "teacher.heads": "of its attention",
    "teacher.depth": "its blocks",
    "teacher.output_width": "of its projected features",
    "teacher.returned_layers": "last layers that teacher and student are compared by",
    "teacher.interval": "blocks from one returned layer of the teacher to the one before it",
    # The text tower, BERT.
    "language.vocabulary": "rows of its word table: pieces of data.vocabulary",
    "language.positions": "the longest text (tokens)",
    "language.width": "of its tokens",
    "language.heads": "of its attention",
    "language.hidden": "width of its MLPs",
    "language.text_layers": "layers that see the text alone",
    "language.fusion_layers": "layers behind them that see the video, too",
    "language.dropout": "rate on embeddings and branches",
    "language.attention_dropout": "rate on attention weights",
    "language.shared_width": "of the space that videos and texts are compared in",
    # What is trained.
    "task.name": "stage1, classification, head, detection, stage2, retrieval, multiple_choice, "
    "question_answering; "
    "or teacher (of the demo)",
    "task.text_length": "tokens of a text, [CLS] among them; longer ones are cut",
    "task.answer_length": "tokens of an answer, [CLS] and [SEP] among them; longer ones are cut",
    "task.loss_weights.vtc": "of contrast between all videos and texts",
    "task.loss_weights.vtm": "of matching true and wrong pairs",
    "task.loss_weights.mlm": "of hidden words",
    "task.loss_weights.uta": "of the distance from the teacher",
    "task.video_mask_ratio": "share of a video frame's tokens hidden in stage 2",
    "task.image_mask_ratio": "share of a picture's tokens hidden in stage 2",
    "task.word_mask_ratio": "share of words that are asked for",
    "task.test_frames": "of a clip in evaluations",
    "task.reranked": "candidates of a query (or answers) weighed again; 0 = none",
    "task.mask_ratio": "share of each frame's tokens hidden from the student",
    "task.loss": "between features: l2 (of unit length), mse or smooth_l1",
    "task.spare_teacher": "the teacher's last block for visible tokens alone (same numbers)",
    # Actions of people whose boxes are known.
    "task.short_side": "of frames before a crop, and of clips in evaluation (pixels)",
    "task.crop": "side of a training clip (pixels)",
    "task.hue_shift": "largest turn of a training clip's hues (of 180)",
    "task.shade_shift": "largest shift of its saturation and value (of 255)",
    "task.threshold": "least score of a detected person",
    "task.evaluation_batch": "clips of a step of evaluation",
    "task.most_buckets": "padded sizes of clips, each compiled; rarer sizes are padded up to them",
    "task.every_seconds": "from one key frame of predict to the next",
    "task.shown": "least score of an action that is drawn",
    "data.detections": "people that a detector found, as JSON; empty = the annotated ones",
    "data.truth": "AVA's CSV to evaluate against; empty = the annotated people",
    "data.excluded": "seconds that no evaluation counts",
    "data.classes": "ids that annotations may have",
    "data.people": "room for people of a clip; those beyond it are left out and counted",
    "data.height": "figures: of frames (pixels)",
    "data.width": "figures: of frames (pixels)",
    # Where clips come from.
    "data.labels": "file of class names, one a line; empty = names of the class folders; of ava: "
    "its label map",
    "data.name": "videos, files, tfds, ava, or built-in: camera, shapes, figures",
    "data.clips": "how many are made up to train on (camera, shapes)",
    "data.root": "folder before every path of a list; of camera: pictures instead of the built-in",
    "data.list": "file of lines PATH,LABEL or PATH LABEL to pretrain on; labels are not used",
    "data.train": "list file or folder of class folders; of tfds: DATASET:SPLIT; of words: "
    "annotations; of ava: people as JSON; of shapes and figures: a count",
    "data.validation": "the same to evaluate on",
    "data.vocabulary": "BERT's vocab.txt, or one's own: a piece a line",
    "data.pictures": "annotations of captioned pictures (stage 2), several with commas between",
    "data.answers": "JSON list of the answers to rank",
    "data.query": "predict: a sentence, or a .txt file of sentences, one a line",
    "data.seconds": "of a video's beginning that are used; 0 = all of it",
    "data.paragraphs": "all captions of a video as one text (DiDeMo, ActivityNet)",
    "data.many_videos_a_text": "equal captions are one text of several videos (SSv2)",
}

SIZES = Sizes(
    # An answer is ranked by the word behind [CLS].
    least={"data.first_frame": 0, "task.reranked": 0, "task.answer_length": 2},
    positive=("model.mlp_ratio",),
    not_negative=(
        "data.seconds",
        *(f"task.loss_weights.{name}" for name in ("vtc", "vtm", "mlm", "uta")),
    ),
    shares=("task.word_mask_ratio",),
    divisors={
        "model.heads": "model.width",
        "model.patch": "model.image_size",
        "model.tubelet": "model.frames",
        "teacher.heads": "teacher.width",
        "teacher.patch": "teacher.image_size",
        "language.heads": "language.width",
    },
    lengths={"model.image_size": 2, "model.position_window": 3, "teacher.image_size": 2},
)
