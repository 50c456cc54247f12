"""VideoMAE V2, ViT-H: Something-Something V2, on one GPU.

    jaxvision train --config videomae/vit_h_ssv2_finetune_1gpu --workdir RUN \\
        --config.data.train=train.csv --config.data.validation=val.csv \\
        --config.data.labels=labels.txt --config.data.root=FOLDER

The published settings of vit_h_ssv2_finetune with the batch of one
of its 32 GPUs: 4 clips.
Scaling rule: linear (1706.02677, section 2.1), as in the published scripts: the learning rate is
per 256 clips, so its peak is 7.813e-06 here. Epochs are kept, so there are 32 times as many
steps.
Published: not published for this batch.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import on_one_gpu


def get_config() -> ConfigDict:
    return on_one_gpu("vit_h_ssv2_finetune", gpus=32)
