"""UMT for open questions about videos, answers ranked from a list.

    jaxvision train --config umt/question_answering:set=msrvtt,size=b,data=25m --workdir RUN \
        --config.data.train=msrvtt_qa_train.json --config.data.validation=msrvtt_qa_test.json \
        --config.data.answers=msrvtt_qa_answer_list.json --config.data.root=FOLDER \
        --config.data.vocabulary=vocab.txt

Every published script: set=anet|msrvtt|msvd, size=b|l, data=5m|17m|25m (of stage 2, the start).
8 x 32 clips of 12 frames a step; questions of 25 tokens, answers of 5. The file of msrvtt, B after
25m holds L's settings: those of B after 17m stand here.
Published accuracy after 5m, 17m, 25m: anet 43.5, 44.9, 44.8 (B), 45.1, 47.3, 47.9 (L); msrvtt 44.3,
44.9, 44.9 (B), 45.5, 46.4, 47.1 (L); msvd 49.1, 48.9, 49.5 (B), 51.3, 53.4, 55.2 (L).
On one GPU: umt/question_answering:set=msrvtt,gpus=1, 32 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.language.recipes import question_answering
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, set="msrvtt", size="b", data="25m", gpus=0)
    return question_answering(given.set, given.size, given.data, gpus=given.gpus)
