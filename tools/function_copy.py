"""A copy of one of the stack's functions that exists only while it is measured, so that the stack stays as it is.

The copy has the function's image, role, environment and log group, so it is as cold and as fast, but nobody else calls
it, and its memory may be changed. Lambda gives a changed configuration to new sandboxes alone ("Lambda function
states"), so a new value of a variable makes the next invocation cold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TAG = "coldswap:copy-of"  # whose copy it is; nothing without it is ever deleted
START = "MEASURED_START"  # the variable that is new for each cold start
# What only the stack's own function has to do.
OFF = {"REMOTE_SWAPPER": "", "RESERVED_CONCURRENCY": "0"}
# The same in a function's configuration and in a request to create one.
KEPT = ("Role", "Timeout", "Architectures", "EphemeralStorage", "LoggingConfig", "PackageType")


class CopyRefused(Exception):
    """The copy cannot be made; the message says why, and what to do."""


@dataclass
class FunctionCopy:
    """A copy that exists; `functions` is boto3's client of Lambda."""

    functions: Any
    name: str
    environment: Mapping[str, str]
    starts: int = 0

    def make_cold(self, memory_mb: int) -> None:
        """Give the next invocation a new sandbox of that memory. Raises botocore's errors."""
        self.starts += 1
        variables = {**self.environment, START: str(self.starts)}
        self.functions.update_function_configuration(
            FunctionName=self.name, MemorySize=memory_mb, Environment={"Variables": variables}
        )
        self.functions.get_waiter("function_updated_v2").wait(FunctionName=self.name)


@contextmanager
def copy_function(functions: Any, original: str, name: str, memory_mb: int) -> Iterator[FunctionCopy]:
    """Create a copy of the function `original` for the block. One that an earlier run left is deleted first.

    Raises CopyRefused if another function has that name, and botocore's errors.
    """
    described = functions.get_function(FunctionName=original)
    configuration = described["Configuration"]
    _delete_former_copy(functions, original, name)
    environment = {**configuration.get("Environment", {}).get("Variables", {}), **OFF}
    command = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {})
    try:
        functions.create_function(
            FunctionName=name,
            Description=f"Measures {original}; make bench-lambda deletes it.",
            Code={"ImageUri": described["Code"]["ResolvedImageUri"]},
            ImageConfig=command,
            MemorySize=memory_mb,
            Environment={"Variables": environment},
            Tags={TAG: original},
            **{key: configuration[key] for key in KEPT if key in configuration},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        yield FunctionCopy(functions, name, environment)
    finally:
        _delete_former_copy(functions, original, name)


def _delete_former_copy(functions: Any, original: str, name: str) -> None:
    """Delete the copy, if there is one. Raises CopyRefused for any other function of that name."""
    try:
        existing = functions.get_function(FunctionName=name)
    except functions.exceptions.ResourceNotFoundException:
        return
    if existing.get("Tags", {}).get(TAG) != original:
        raise CopyRefused(f"A function {name} exists that is no copy of {original}. Rename or delete it.")
    functions.delete_function(FunctionName=name)
