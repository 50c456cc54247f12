"""UMT stage 1: a video transformer learns from CLIP on Kinetics-710 without labels.

    jaxvision train --config umt/pretrain:size=b --workdir RUN \
        --config.data.list=train.csv --config.data.root=FOLDER

The published script's settings, 32 x 64 clips of 8 frames, 200 epochs; size=b (teacher CLIP
ViT-B/16) or size=l (CLIP ViT-L/14 at 196 pixels). The teacher starts from Hugging Face's
clip-vit-base-patch16 or clip-vit-large-patch14 (model.safetensors).
Published: 81.9 % (B) and 86.0 % (L) top-1 on Kinetics-710 once tuned there (umt/finetune:set=k710).
On one GPU: umt/pretrain:size=b,gpus=1, 64 clips a step.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.umt.recipes import pretraining
from jaxvision.training.config import recipe_arguments


def get_config(arguments: str = "") -> ConfigDict:
    given = recipe_arguments(arguments, size="b", gpus=32)
    return pretraining(given.size, gpus=given.gpus)
