"""VideoMAE V2: masked video pretraining with masks in both encoder and decoder (2303.16727)."""
