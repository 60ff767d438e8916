"""Code of one rank of an attempt; the only package that imports torch and deepspeed."""
