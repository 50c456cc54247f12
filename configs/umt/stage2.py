"""UMT stage 2: videos and pictures with captions.

    jaxvision train --config umt/stage2:size=b,data=25m --workdir RUN \
        --config.data.train=webvid.sqlite --config.data.pictures=cc3m.json,cc12m.json \
        --config.data.root=FOLDER --config.data.vocabulary=vocab.txt

The published scripts: size=b (16 x 128 of each medium a step) or l (32 x 128), 4 frames, 10 epochs.
data=5m, 17m or 25m names what the authors trained on (WebVid-2M and CC3M; CC12M, COCO, VG and SBU,
too; WebVid-10M in place of 2M); the settings are the same, the files are yours to name. It starts
from stage 1 (b16_ptk710_f8_res224.pth), Google's BERT and CLIP as Hugging Face publish them.
Published: text to video recall at 1 without tuning, MSRVTT 35.2 % (B, 25m), 40.7 % (L, 25m); see
umt/retrieval:form=zero.
On one GPU: umt/stage2:size=b,gpus=1, 128 a step, in one group of contrast.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.language.recipes import stage2
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", data="25m", gpus=0)
    return stage2(given.size, given.data, gpus=given.gpus)
