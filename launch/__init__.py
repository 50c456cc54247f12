"""Starting jaxvision on one machine, GPU nodes, TPU slices, Kubernetes: docs/launching.md."""
