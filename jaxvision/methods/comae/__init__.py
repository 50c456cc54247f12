"""CoMAE: one encoder for RGB and depth, from patch contrast to masked modelling (2302.06148)."""
