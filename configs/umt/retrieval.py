"""UMT for retrieval between videos and texts, tuned or not.

    jaxvision train --config umt/retrieval:set=msrvtt,size=b,data=25m --workdir RUN \
        --config.data.train=msrvtt_ret_train9k.json \
        --config.data.validation=msrvtt_ret_test1k.json \
        --config.data.root=FOLDER --config.data.vocabulary=vocab.txt
    jaxvision evaluate --config umt/retrieval:set=msrvtt,form=zero --config.data.validation=...

Every published script: set=msrvtt|didemo|anet|lsmdc|msvd|ssv2_label|ssv2_template, size=b|l,
data=5m|17m|25m (what stage 2 was trained on: b16_25m.pth and so on is the start), and form=zero
(4 frames, no tuning; not for Something-Something). 8 x 32 clips of 12 frames a step.
Published: text to video recall at 1, after 25m, without and with tuning. B: msrvtt 35.2, 51.0;
didemo 41.2, 61.6; anet 35.5, 58.3; lsmdc 19.1, 32.7; msvd 42.3, 50.8; ssv2_label 64.2;
ssv2_template 87.9. L: msrvtt 40.7, 58.8; didemo 48.6, 70.4; anet 41.9, 66.8; lsmdc 24.9, 43.0;
msvd 49.0, 58.2; ssv2_label 73.3; ssv2_template 90.8. The authors took their best epoch on the test
set of all but DiDeMo and Something-Something; here the last one counts.
On one GPU: umt/retrieval:set=msrvtt,gpus=1, 32 clips a step, in one group of contrast.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.language.recipes import retrieval
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, set="msrvtt", size="b", data="25m", form="", gpus=0)
    return retrieval(given.set, given.size, given.data, form=given.form, gpus=given.gpus)
