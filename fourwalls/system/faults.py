"""Faults that a device driver reports, and which of them are hardware faults.

Source of the Xids: NVIDIA, "Xid Errors" and its catalog of resolutions (docs.nvidia.com/deploy/xid-errors). A fault
counts as hardware if its immediate resolution there is to reset or replace the GPU, or to restart the machine; not if
it ends with the application. Not yet observed on a GPU.
"""

from __future__ import annotations

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """`at` is the unix time of reading, at most one slow poll after the fault."""

    code: str  # 'xid 79', 'ecc', 'row remap'
    text: str
    at: float
    is_hardware: bool


# Xid -> its meaning, and whether the device must be taken out of use
XIDS: dict[int, tuple[str, bool]] = {
    13: ("an exception in a kernel of the program", False),
    31: ("the program accessed memory that it does not own", False),
    43: ("the program's channel was stopped", False),
    45: ("a channel was cleaned up after an earlier error", False),
    48: ("a double-bit memory error that ECC cannot correct", True),
    62: ("its microcontroller halted", True),
    63: ("a bad row of memory was remapped", False),
    64: ("a bad row of memory could not be remapped", True),
    74: ("an NVLink error", True),
    79: ("the GPU has fallen off the bus", True),
    92: ("many single-bit memory errors, all corrected", False),
    94: ("a memory error that was contained in one program", False),
    95: ("a memory error that was not contained", True),
    109: ("a context switch timed out", False),
    119: ("its system processor (GSP) does not respond", True),
    120: ("its system processor (GSP) failed", True),
    140: ("a memory error that was not recovered", True),
}


def fault_from_xid(number: int, at: float) -> Fault:
    """An Xid that is not in the table is reported, and takes no device out of use."""
    meaning, is_hardware = XIDS.get(number, ("see NVIDIA's Xid catalog", False))
    return Fault(f"xid {number}", f"Xid {number}: {meaning}.", at, is_hardware)


def fault_from_ecc_count(count: int, at: float) -> Fault:
    """`count` is the number of memory errors since the driver was loaded or the GPU was reset."""
    errors = "1 memory error" if count == 1 else f"{count} memory errors"
    return Fault("ecc", f"{errors} that ECC could not correct since the GPU was last reset.", at, True)


def failed_remap_fault(at: float) -> Fault:
    return Fault("row remap", "The GPU has no spare rows left to replace bad memory.", at, True)
