"""Lambda as the measurement of swaps sees it: a function that can be copied, and swaps of a fixed length."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from tests.unit.tools.aws import Client, missing

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/coldswap@sha256:0123"


def throttled(reason: str = "ConcurrentInvocationLimitExceeded") -> ClientError:
    """What boto3 raises."""
    response: Any = {"Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}, "Reason": reason}
    return ClientError(response, "Invoke")


@cache
def service_model() -> ServiceModel:
    """Lambda's API as boto3 knows it."""
    return ServiceModel(Loader(include_default_search_paths=True).load_service_model("lambda", "service-2"))


def check(operation: str, **request: Any) -> None:
    """Fail for a request that boto3 would refuse to send."""
    validate_parameters(request, service_model().operation_model(operation).input_shape)


class FakeLambda(Client):
    """Functions by name. A swap takes 4000 processor-milliseconds cold, 1000 warm, and INIT 500."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {
            "coldswap-Swap": {
                "Configuration": {
                    "Role": "arn:aws:iam::123456789012:role/swap",
                    "Timeout": 120,
                    "MemorySize": 1769,
                    "PackageType": "Image",
                    "Architectures": ["x86_64"],
                    "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/coldswap/coldswap/swap"},
                    "ImageConfigResponse": {"ImageConfig": {"Command": ["functions.swap.app.handler"]}},
                    "Environment": {"Variables": {"MODELS_BUCKET": "models", "REMOTE_SWAPPER": "arn:secret"}},
                    "RevisionId": "1",
                },
                "Code": {"ImageUri": "coldswap:latest", "ResolvedImageUri": IMAGE},
            }
        }
        self.calls: list[str] = []  # all that change something
        self.payloads: list[dict[str, str]] = []
        self.failures: dict[int, Any] = {}  # by the number of an invocation: an error's document, or what is raised
        self.logs: dict[int, str] = {}  # by the number of an invocation: another log than the usual one
        self.fresh = True

    def get_function(self, FunctionName: str) -> dict[str, Any]:
        check("GetFunction", FunctionName=FunctionName)
        if FunctionName not in self.functions:
            raise missing()
        return self.functions[FunctionName]

    def create_function(self, FunctionName: str, Code: Any, Tags: Any, **configuration: Any) -> None:
        check("CreateFunction", FunctionName=FunctionName, Code=Code, Tags=Tags, **configuration)
        self.calls.append(f"create {FunctionName}")
        self.functions[FunctionName] = {"Configuration": configuration, "Code": Code, "Tags": Tags}

    def update_function_configuration(self, FunctionName: str, **changes: Any) -> None:
        check("UpdateFunctionConfiguration", FunctionName=FunctionName, **changes)
        self.calls.append(f"update {FunctionName}")
        before = self.functions[FunctionName]["Configuration"]
        self.fresh = self.fresh or any(before.get(name) != value for name, value in changes.items())
        before |= changes

    def delete_function(self, FunctionName: str) -> None:
        self.calls.append(f"delete {FunctionName}")
        del self.functions[FunctionName]

    def get_waiter(self, name: str) -> Any:
        assert name in ("function_active_v2", "function_updated_v2")
        return SimpleNamespace(wait=lambda FunctionName: self.functions[FunctionName])

    def invoke(self, FunctionName: str, Payload: bytes, LogType: str) -> dict[str, Any]:
        check("Invoke", FunctionName=FunctionName, Payload=Payload, LogType=LogType)
        assert LogType == "Tail"
        self.payloads.append(json.loads(Payload))
        number, memory = len(self.payloads), self.functions[FunctionName]["Configuration"]["MemorySize"]
        failure = self.failures.get(number)
        if isinstance(failure, BaseException):
            raise failure
        log = self.logs.get(number, self.report(memory))
        self.fresh = False
        answer: Any = {"key": "swaps/measured.jpg", "url": "https://secret.example/?X-Amz-Signature=1"}
        answer["engine"] = "native avx2"
        return {
            "Payload": io.BytesIO(json.dumps(failure or answer).encode()),
            "LogResult": base64.b64encode(log.encode()).decode(),
            **({"FunctionError": "Unhandled"} if failure else {}),
        }

    def report(self, memory_mb: int) -> str:
        """The last line of the log."""
        handler = (4000 if self.fresh else 1000) * 1769 / memory_mb
        init = {"initDurationMs": 500.0} if self.fresh else {}
        metrics = {"durationMs": handler, "billedDurationMs": handler + sum(init.values()), **init}
        metrics |= {"memorySizeMB": memory_mb, "maxMemoryUsedMB": 650}
        return json.dumps({"type": "platform.report", "record": {"metrics": metrics, "status": "success"}})
