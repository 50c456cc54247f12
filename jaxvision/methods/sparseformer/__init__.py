"""SparseFormer (arXiv:2304.03768) and its bootstrapped successors (arXiv:2312.01987)."""
