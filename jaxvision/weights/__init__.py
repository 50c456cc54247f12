"""Official checkpoints: the files, and the map between their names and our parameter trees."""

from jaxvision.weights.mapping import Entry, to_state_dict, to_variables

__all__ = ["Entry", "to_state_dict", "to_variables"]
