"""What a request costs of its caller's daily budget, in megapixels, and when it is charged.

Everybody pays one unit up front, before anything is fetched. A swap then pays for the rest of the meme's size once the
meme is decoded, and for many faces and several source pictures once the faces are chosen. A verification pays for the
rest of the file once it is here. Listing a picture's faces costs the first unit and no more.
A moving meme pays for its frames once it is probed, and for all faces of all frames once they are chosen.
What fails has been paid for all the same: it was work.
"""

from __future__ import annotations

from functions.swap.values import SwapRequest
from layers.core.budget import Budget
from layers.core.units import MEGAPIXEL, MIB

UNIT = "megapixels"
PAID_UPFRONT = 1  # unit of a swap, a listing, an upload form or a verification, before anything is fetched
FACES_PER_UNIT = 4  # each further four faces take as long as a megapixel with few faces does (docs/operations.md)
FRAME_PIXELS_PER_UNIT = 40 * MEGAPIXEL  # of a moving meme that are decoded, looked at and encoded
BYTES_PER_UNIT = 20 * MIB  # of a file that is verified


def charge_upfront(budget: Budget, caller: str | None) -> None:
    """Charge the first unit. Raises BudgetSpent or StorageFailed, as every function here does."""
    budget.spend(caller, PAID_UPFRONT)


def charge_swap_upfront(budget: Budget, request: SwapRequest) -> None:
    """Charge the first unit of a swap, unless it was charged when the swap was queued."""
    if request.queued is None:
        charge_upfront(budget, request.caller)


def charge_item(budget: Budget, caller: str | None, name: str) -> None:
    """Charge the first unit of a meme of a batch, once however often it is tried."""
    budget.spend(caller, PAID_UPFRONT, f"{name}#upfront")


def charge_meme(budget: Budget, request: SwapRequest, width: int, height: int) -> None:
    """Charge what a meme of that size in pixels costs beyond the first unit."""
    _charge(budget, request, "megapixels", megapixels(width, height) - PAID_UPFRONT)


def charge_faces(budget: Budget, request: SwapRequest, count: int) -> None:
    """Charge what replacing `count` faces costs; up to four cost nothing more."""
    _charge(budget, request, "faces", (count - 1) // FACES_PER_UNIT)


def charge_frames(budget: Budget, request: SwapRequest, frames: int, width: int, height: int) -> int:
    """Charge what so many frames of that size cost beyond the first unit. Returns it."""
    price = frames * width * height // FRAME_PIXELS_PER_UNIT
    _charge(budget, request, "frames", price)
    return price


def charge_face_frames(budget: Budget, request: SwapRequest, count: int) -> int:
    """Charge what replacing faces costs, each counted once for every frame. Returns it."""
    price = count // FACES_PER_UNIT
    _charge(budget, request, "face-frames", price)
    return price


def charge_sources(budget: Budget, request: SwapRequest, count: int) -> None:
    """Charge what putting in faces from `count` pictures costs beyond the first, one unit each; several pictures of one
    person count as many."""
    _charge(budget, request, "sources", count - 1)


def charge_file(budget: Budget, caller: str | None, size: int) -> None:
    """Charge what verifying a file of `size` bytes costs beyond the first unit."""
    budget.spend(caller, size // BYTES_PER_UNIT)


def megapixels(width: int, height: int) -> int:
    """The size of a picture in units of 10^6 pixels, rounded up."""
    return -(-width * height // MEGAPIXEL)


def _charge(budget: Budget, request: SwapRequest, item: str, amount: int) -> None:
    """Charge a part of a swap's cost; a queued swap that is tried again does not pay for it twice."""
    budget.spend(request.caller, amount, f"{request.queued}#{item}" if request.queued else None)
