"""Checkpoints as they lie on a disk: written and read without torch, in a form that no layout has a part in."""
