"""PDPP: procedure planning by projected diffusion (2303.14676)."""
