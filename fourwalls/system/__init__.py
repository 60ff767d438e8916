"""Readers of the machine: control groups, /proc, RAPL, and NVIDIA GPUs.

Shared by the client and by the agents of the engine. Nothing here needs more than msgspec and the standard library;
NVML is read if the package nvidia-ml-py is installed, and other systems than Linux through psutil if that is.
"""
