"""A class for every point of a scan: LinK U-Net, LinK encoder and their MinkUNet baseline."""
