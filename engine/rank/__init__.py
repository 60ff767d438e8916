"""Code of one rank, the only package that imports torch or deepspeed."""
