"""VideoMAE V2, ViT-H: pretraining on UnlabeledHybrid with dual masking, on one GPU.

    jaxvision train --config videomae/vit_h_hybrid_pretrain_1gpu --workdir RUN \\
        --config.data.list=hybrid.txt --config.data.root=FOLDER

The published settings of vit_h_hybrid_pretrain with the batch of one
of its 64 GPUs: 32 clips.
Scaling rule: linear (1706.02677, section 2.1), as in the published scripts: the learning rate is
per 256 clips, so its peak is 0.000125 here. Epochs are kept, so there are 64 times as many
steps.
Published: not published for this batch.
Ours: not run.
"""

from ml_collections import ConfigDict

from jaxvision.methods.videomae.recipes import on_one_gpu


def get_config() -> ConfigDict:
    return on_one_gpu("vit_h_hybrid_pretrain", gpus=64)
