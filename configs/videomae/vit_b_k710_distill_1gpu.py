"""VideoMAE V2, ViT-B: distillation from ViT-g on Kinetics-710, on one GPU.

    jaxvision train --config videomae/vit_b_k710_distill_1gpu --workdir RUN \\
        --config.data.train=train.csv --config.data.validation=val.csv \\
        --config.data.labels=labels.txt --config.data.root=FOLDER

The settings of vit_b_k710_distill with the batch of one
of its 32 GPUs: 16 clips.
Scaling rule: linear (1706.02677, section 2.1), as in the published scripts: the learning rate is
per 256 clips, so its peak is 4.375e-05 here. Epochs are kept, so there are 32 times as many
steps.
Published: not published for this batch.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import on_one_gpu


def get_config() -> ConfigDict:
    return on_one_gpu("vit_b_k710_distill", gpus=32)
