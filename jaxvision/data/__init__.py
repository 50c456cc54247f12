"""Sources, transforms and the loader. Nothing here needs a device."""
