"""The stack around the swap function, in memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
from botocore.exceptions import ClientError

from functions.swap.batch.records import BatchRecords
from functions.swap.idempotency import Idempotency
from functions.swap.jobs import Jobs
from functions.swap.moving_records import MovingKind, MovingRecords
from functions.swap.moving_state import MovingState, Stage, UploadedObject
from functions.swap.results import upload_prefix
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.services import Services
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecord
from functions.swap.upload_claims import UploadClaim, UploadClaims, UploadEvent, is_later
from functions.swap.values import Floats
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ObjectNotFound, StillRunning, TooLarge
from layers.core.fair_share import Sandboxes
from layers.core.identity import ANONYMOUS, AuthMode, identity
from layers.core.operator_settings import OperatorSettings
from layers.core.pseudonyms import Pseudonyms
from layers.core.storage import Head, StoredObject
from layers.core.terms import Terms
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import keypoints_at

MODELS, UPLOADS, OUTPUTS = "models", "uploads", "outputs"
ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:stack-swap"
MOVING_ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:stack-moving"
BATCH_ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:stack-batch"


def drawing(faces: int = 1, width: int = 600, height: int = 400, scale: float = 1.2) -> Pixels:
    """A picture with that many faces side by side, uint8 BGR."""
    pixels = np.full((height, width, 3), (150, 170, 190), np.uint8)
    for number in range(faces):
        networks.draw_marks(pixels, keypoints_at(width * (number + 0.5) / faces, height / 2, scale, 0), 5)
    return pixels


def encode(pixels: Pixels, extension: str = ".png") -> bytes:
    """The picture as a file."""
    return bytes(cv2.imencode(extension, pixels)[1])


def decode(data: bytes) -> Pixels:
    """The file as uint8 [H, W, C]."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def settings(cache_latents: bool = False, **changed: Any) -> Settings:
    """A stack whose default face is in its models bucket."""
    usual: dict[str, Any] = {
        "models_bucket": MODELS,
        "uploads_bucket": UPLOADS,
        "outputs_bucket": OUTPUTS,
        "default_face": f"s3://{MODELS}/faces/default.png",
        "model_retention": "container",
        "operator_settings": lambda: OperatorSettings(cache_latents=cache_latents),
        "trusted_origins": frozenset(),
        "state_table": "",
        "state_machine_arn": ARN,
        "moving_machine_arn": MOVING_ARN,
        "batch_machine_arn": BATCH_ARN,
        "threads": 1,
        "auth_mode": "open",
    }
    return Settings(**{**usual, **changed})


class MemoryStorage:
    """Storage in a dictionary; `failures` raises when a bucket and key are touched."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.failures: dict[tuple[str, str], Exception] = {}
        self.reads: list[str] = []
        self.forms = 0
        self.puts = 0  # so that no two are of the same moment
        self.connects = 0

    def connect(self) -> None:
        self.connects += 1

    def put(self, bucket: str, key: str, data: bytes, **metadata: str) -> None:
        self.puts += 1
        self.objects[bucket, key] = StoredObject(data, _etag(data), "image/png", metadata, time.time() + self.puts)

    def read(self, bucket: str, key: str, limit: int, deadline: Deadline) -> StoredObject:
        deadline.check("reading")
        self.reads.append(f"{bucket}/{key}")
        self._maybe_fail("read", key)
        if (bucket, key) not in self.objects:
            raise ObjectNotFound(f"There is nothing at s3://{bucket}/{key}.")
        stored = self.objects[bucket, key]
        if len(stored.data) > limit:
            raise TooLarge(f"s3://{bucket}/{key} is too large.")
        return stored

    def head(self, bucket: str, key: str) -> Head | None:
        self._maybe_fail("head", key)
        stored = self.objects.get((bucket, key))
        if stored is None:
            return None
        return Head(len(stored.data), stored.etag, stored.content_type, stored.metadata, stored.last_modified)

    def write(
        self, bucket: str, key: str, data: bytes, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        self._maybe_fail("write", key)
        self.objects[bucket, key] = StoredObject(data, _etag(data), content_type, metadata or {})

    def delete(self, bucket: str, key: str) -> None:
        self._maybe_fail("delete", key)
        self.objects.pop((bucket, key), None)

    def download(self, bucket: str, key: str, path: Path, limit: int, deadline: Deadline) -> int:
        return path.write_bytes(self.read(bucket, key, limit, deadline).data)

    def read_start(self, bucket: str, key: str, count: int) -> bytes:
        return self.objects[bucket, key].data[:count]

    def upload(
        self, bucket: str, key: str, path: Path, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        self.write(bucket, key, path.read_bytes(), content_type, metadata)

    def list_keys(self, bucket: str, prefix: str) -> Iterator[list[str]]:
        self._maybe_fail("list", prefix)
        yield sorted(key for place, key in self.objects if place == bucket and key.startswith(prefix))

    def presign_get(self, bucket: str, key: str, seconds: int) -> str:
        return f"https://{bucket}.example/{key}?for={seconds}"

    def presign_post(self, bucket: str, key: str, limit_bytes: int, seconds: int) -> dict[str, Any]:
        return {"url": f"https://{bucket}.example/", "fields": {"key": key, "limit": str(limit_bytes)}}

    def _maybe_fail(self, what: str, key: str) -> None:
        for (action, prefix), failure in self.failures.items():
            if action == what and key.startswith(prefix):
                raise failure

    def json(self, key: str) -> Any:
        return json.loads(self.objects[OUTPUTS, key].data)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


class MemoryRecords(MovingRecords):
    """Records in a dictionary, and owners of videos; test_swap_records.py tests the table itself."""

    def __init__(self) -> None:
        super().__init__("", dict, 7 * 24 * 3600)
        self.items: dict[str, SwapRecord] = {}
        self.videos: dict[str, str] = {}
        self.chunks: dict[str, dict[int, int]] = {}
        self.deleted: set[tuple[str, str]] = set()
        self.failure: Exception | None = None

    def queue(self, name: str, caller: str, request: Mapping[str, Any], inputs: frozenset[str]) -> None:
        self._keep(SwapRecord(name, caller, "queued", self._now(), json.loads(json.dumps(request)), inputs))

    def add(
        self, name: str, caller: str, inputs: frozenset[str], result: Mapping[str, Any], latent_keys: frozenset[str]
    ) -> None:
        stored = json.loads(json.dumps(result))
        self._keep(SwapRecord(name, caller, "succeeded", self._now(), None, inputs, stored, latent_keys))

    def begin(self, name: str) -> SwapRecord | None:
        record = self.find(name)
        if record and record.status in ("queued", "running"):
            self._keep(replace(record, status="running"))
        return self.find(name)

    def finish(self, name: str, result: Mapping[str, Any], latent_keys: frozenset[str]) -> bool:
        record = self.find(name)
        if record:
            self._keep(replace(record, status="succeeded", request=None, result=dict(result), latent_keys=latent_keys))
        return record is not None

    def find(self, name: str) -> SwapRecord | None:
        if self.failure:
            raise self.failure
        record = self.items.get(name)
        if record and self._is_overdue(record.status, record.created_at, record.kind):
            return replace(record, status="failed", error="OutOfTime", request=None)
        return record

    def queue_moving(
        self,
        name: str,
        caller: str | None,
        request: Mapping[str, Any],
        inputs: frozenset[str],
        *,
        kind: MovingKind = "moving",
        key: str = "",
        upload: UploadedObject | None = None,
    ) -> bool:
        if name in self.items:
            return False
        stored, state = json.loads(json.dumps(request)), MovingState(key=key, upload=upload)
        self._keep(SwapRecord(name, caller or "", "queued", self._now(), stored, inputs, kind=kind, moving=state))
        return True

    def hand_over(self, name: str, request: Mapping[str, Any], inputs: frozenset[str]) -> SwapRecord | None:
        changed = {"kind": "moving", "moving": MovingState(), "request": dict(request), "inputs": inputs}
        return self._change(name, status="queued", **changed)

    def report(self, name: str, stage: Stage, done: int = 0, total: int = 0) -> None:
        self._change_state(name, stage=stage, done=done, total=total)

    def start_swapping(self, name: str, face_frames: int) -> None:
        self._change_state(name, stage="swapping", face_frames=face_frames)

    def add_chunk(self, name: str, number: int, face_frames: int) -> None:
        self.chunks.setdefault(name, {})[number] = face_frames
        self._change_state(name, swapped=sum(self.chunks[name].values()))

    def add_compute(self, name: str, milliseconds: int) -> None:
        record = self.items.get(name)
        if record and record.moving:
            state = replace(record.moving, compute_ms=record.moving.compute_ms + milliseconds)
            self.items[name] = replace(record, moving=state)

    def fail(self, name: str, error: str, cause: str) -> SwapRecord | None:
        return self._change(name, status="failed", error=error, cause=cause, request=None)

    def _change(self, name: str, **changed: Any) -> SwapRecord | None:
        record = self.find(name)
        if record is None or record.status not in ("queued", "running"):
            return None
        self._keep(replace(record, **changed))
        return self.items[name]

    def _change_state(self, name: str, **changed: Any) -> None:
        record = self.items.get(name)
        if record and record.moving:
            self._change(name, moving=replace(record.moving, **changed))

    def owner(self, kind: str, name: str) -> str | None:
        record = self.find(name)
        return (record.caller if record else None) if kind == "swap" else self.videos.get(name)

    def remove(self, name: str) -> None:
        self.items.pop(name, None)

    def remember_deletion(self, name: str, caller: str) -> None:
        self.deleted.add((name, caller))

    def was_deleted(self, name: str, caller: str) -> bool:
        return (name, caller) in self.deleted

    def _keep(self, record: SwapRecord) -> None:
        if self.failure:
            raise self.failure
        self.items[record.id] = record


class MemoryClaims(UploadClaims):
    """Claims in a dictionary; test_upload_claims.py tests the table itself."""

    def __init__(self) -> None:
        super().__init__("", dict, 7 * 24 * 3600)
        self.held: dict[tuple[str, str], UploadClaim] = {}
        self.lapsed: set[tuple[str, str]] = set()
        self.work: dict[tuple[str, str], UploadClaim] = {}
        self.tries: dict[str, int] = {}
        self._holders = itertools.count(1)

    def take(self, event: UploadEvent, seconds: float) -> UploadClaim:
        place = event.bucket, event.key
        if place in self.held:
            raise StillRunning
        work = self.work.get(place, UploadClaim("", ""))
        claim = replace(work, id=event.key, holder=str(next(self._holders)), follows_kill=place in self.lapsed)
        self.lapsed.discard(place)
        self.held[place] = claim
        return claim

    def lapse(self) -> None:
        """Time passes until a killed invocation has no claim any more."""
        self.lapsed |= self.held.keys()
        self.held.clear()

    def settle(self, claim: UploadClaim, event: UploadEvent, state: str, outcome: str) -> None:
        latest = event.sequencer if is_later(event.sequencer, claim.sequencer) else claim.sequencer
        self.work[event.bucket, event.key] = replace(claim, sequencer=latest, state=state, outcome=outcome)
        self._free(claim)

    def release(self, claim: UploadClaim) -> None:
        place = self._free(claim)
        if place in self.work:
            self.work[place] = replace(self.work[place], state="")

    def _free(self, claim: UploadClaim) -> tuple[str, str]:
        (place,) = (place for place, each in self.held.items() if each.holder == claim.holder)
        del self.held[place]
        return place

    def count_try(self, event: UploadEvent) -> int:
        self.tries[event.id] = self.tries.get(event.id, 0) + 1
        return self.tries[event.id]

    def forget_tries(self, event: UploadEvent) -> None:
        self.tries.pop(event.id, None)


class FixedPseudonyms(Pseudonyms):
    """Pseudonyms by a fixed secret; callers of an open API have a short one."""

    def __init__(self) -> None:
        super().__init__("", dict)
        self._secret = b"tests"

    def caller(self, identity: str) -> str:
        return "1" if identity == ANONYMOUS else super().caller(identity)


def upload_folder(authorizer: Any = None) -> str:
    """Where the uploads are of the caller whom the authorizer names; without one, of callers of an open API."""
    event = {"requestContext": {"authorizer": authorizer}}
    return upload_prefix(FixedPseudonyms().caller(identity(event, auth_mode_of(authorizer))))


def auth_mode_of(authorizer: Any) -> AuthMode:
    """The mode in which the API has such an authorizer."""
    kinds: dict[str, AuthMode] = {"iam": "iam", "jwt": "jwt", "lambda": "key"}
    return kinds[next(iter(authorizer))] if authorizer else "open"


class FlatSwapper:
    """Paints every face in one colour; records its inputs."""

    colour = (40, 200, 90)  # BGR
    name = "one colour"

    def __init__(self) -> None:
        self.latents: list[Floats] = []
        self.crops: list[Floats] = []

    def run(self, crops: Floats, latents: Floats) -> Floats:
        assert crops.shape[1:] == (3, 128, 128)
        assert len(crops) == len(latents)
        assert crops.dtype == latents.dtype == np.float32
        assert 0 <= crops.min() <= crops.max() <= 1
        self.crops.extend(crops[:, None])
        self.latents.extend(latents[:, None])
        rgb = (np.array(self.colour[::-1], np.float32) + 0.5) / 255
        return np.broadcast_to(rgb[None, :, None, None], crops.shape).astype(np.float32)

    def close(self) -> None:
        raise AssertionError("models close their own swappers")


class FakePendingSwapper:
    """A swapper whose weights are being downloaded."""

    size = 1000

    def __init__(self, models: FakeModels) -> None:
        self.models = models
        self.dropped = self.used = False

    def swapper(self, once: bool = False) -> FlatSwapper:
        assert not self.dropped
        self.used = True
        return self.models.swapper

    def drop(self) -> int:
        self.dropped = True
        return 0 if self.used else self.size


class FakeModels:
    """A pack whose detector sees marks, whose embedder sees the mean colour, and whose swapper paints one colour."""

    def __init__(self) -> None:
        self.manifest = SimpleNamespace(pack="toy", hint=None, models={})
        self.digests = {"detector": "d" * 64, "embedder": "e" * 64, "swapper": "5" * 64}
        self.bytes_fetched = 0
        self.failure: Exception | None = None
        self.classifier: Any = None  # of the content filter
        self.embedder_network: Any = self  # the embedder
        self.pending: list[FakePendingSwapper] = []
        self.swapper = FlatSwapper()
        self.embedder_loads = 0
        self.releases = 0
        self.anticipated: list[str] = []  # what is being fetched before somebody needs it
        self.bytes_anticipated = 0  # of it, so far

    @property
    def bytes_fetched_before(self) -> int:
        return self.bytes_fetched - self.bytes_anticipated

    def refresh(self, deadline: Deadline) -> Any:
        deadline.check("looking up the models")
        if self.failure:
            raise self.failure
        return self.manifest

    def anticipate_swap(self, deadline: Deadline) -> None:
        self.anticipated.append("swap")

    def expect_embedder(self, deadline: Deadline) -> None:
        self.anticipated.append("embedder")

    def drop_anticipated(self) -> int:
        bytes_wasted, self.bytes_anticipated = self.bytes_anticipated, 0
        return bytes_wasted

    def start_swapper(self, deadline: Deadline, *, embedder_first: bool = False) -> FakePendingSwapper:
        self.refresh(deadline)
        self.anticipated += ["embedder"] if embedder_first else []
        self.pending.append(FakePendingSwapper(self))
        self.bytes_fetched += FakePendingSwapper.size
        return self.pending[-1]

    def detector_session(self, deadline: Deadline) -> networks.MarkedFaces:
        return networks.MarkedFaces()

    def embedder(self, deadline: Deadline) -> Any:
        assert not (self.pending and self.pending[-1].used), (
            "the embedder comes before the swapper, or both need memory"
        )
        self.embedder_loads += 1
        return self.embedder_network

    def run(self, crops: Floats) -> Floats:
        assert crops.shape[1:] == (3, 112, 112)
        return np.asarray(crops.reshape(len(crops), -1)[:, : 512 * 20 : 20] + np.arange(512), np.float32)

    def emap(self, deadline: Deadline) -> Floats:
        return np.eye(512, dtype=np.float32)

    def gate(self, deadline: Deadline) -> tuple[Any, float]:
        return self.classifier, 0.5

    def release(self) -> None:
        self.releases += 1


class MemoryTable(BasePersistenceLayer):
    """Idempotency records in a dictionary."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # powertools leaves it untyped
        self.records: dict[str, DataRecord] = {}
        self.failure: Exception | None = None

    def _get_record(self, idempotency_key: str) -> DataRecord:
        if idempotency_key not in self.records:
            raise IdempotencyItemNotFoundError
        return self.records[idempotency_key]

    def _put_record(self, data_record: DataRecord) -> None:
        if self.failure:
            raise self.failure
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self.records[data_record.idempotency_key] = data_record

    def _update_record(self, data_record: DataRecord) -> None:
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record: DataRecord) -> None:
        del self.records[data_record.idempotency_key]


def _client_error(name: str) -> type[ClientError]:
    return type(name, (ClientError,), {})


class StepFunctions:
    """Just enough of the client."""

    exceptions = SimpleNamespace(
        ExecutionAlreadyExists=_client_error("ExecutionAlreadyExists"),
        ExecutionDoesNotExist=_client_error("ExecutionDoesNotExist"),
    )

    def __init__(self) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.failure: Exception | None = None

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:
        if self.failure:
            raise self.failure
        assert stateMachineArn in (ARN, MOVING_ARN, BATCH_ARN)
        if name in self.executions:
            raise self.exceptions.ExecutionAlreadyExists({}, "StartExecution")
        self.executions[name] = {"status": "RUNNING", "input": input}

    def stop_execution(self, *, executionArn: str, error: str, cause: str) -> None:
        arn, _, name = executionArn.rpartition(":")
        assert arn in [each.replace(":stateMachine:", ":execution:") for each in (MOVING_ARN, BATCH_ARN)]
        if name not in self.executions:
            raise self.exceptions.ExecutionDoesNotExist({}, "StopExecution")
        self.executions[name]["status"] = "ABORTED"


@cache
def _one_face() -> bytes:
    return encode(drawing())


@dataclass
class FakeSwapStack:
    """A stack in memory, and its services."""

    settings: Settings = field(default_factory=settings)
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    models: FakeModels = field(default_factory=FakeModels)
    table: MemoryTable = field(default_factory=MemoryTable)
    machine: StepFunctions = field(default_factory=StepFunctions)
    moving_machine: StepFunctions = field(default_factory=StepFunctions)
    batch_machine: StepFunctions = field(default_factory=StepFunctions)
    budget: Budget = field(default_factory=lambda: Budget("", "megapixels", lambda: 0, dict))
    terms: Terms = field(default_factory=lambda: Terms("", dict))
    denylist: DenylistStore = field(init=False)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    claims: MemoryClaims = field(default_factory=MemoryClaims)
    sandboxes: Sandboxes = field(default_factory=lambda: Sandboxes("", 120, int, dict))
    step_sandboxes: Sandboxes = field(default_factory=lambda: Sandboxes("", 900, int, dict))

    batches: BatchRecords = field(init=False)

    def __post_init__(self) -> None:
        from tests.unit.swap.fake_batches import MemoryBatches

        self.batches = MemoryBatches(self.records)
        self.denylist = DenylistStore(cast(Any, self.storage), MODELS)
        self.storage.put(MODELS, "faces/default.png", _one_face())
        self.storage.put(UPLOADS, "requests/1/meme", _one_face())

    @property
    def services(self) -> Services:
        return Services(
            settings=self.settings,
            storage=cast(Any, self.storage),
            models=cast(Any, self.models),
            idempotency=Idempotency("", self.table),
            jobs=Jobs(self.settings.state_machine_arn, lambda: self.machine),
            moving_jobs=Jobs(self.settings.moving_machine_arn, lambda: self.moving_machine),
            budget=self.budget,
            terms=self.terms,
            denylist=self.denylist,
            records=self.records,
            claims=self.claims,
            pseudonyms=FixedPseudonyms(),
            sandboxes=self.sandboxes,
            step_sandboxes=self.step_sandboxes,
            batches=self.batches,
            batch_jobs=Jobs(self.settings.batch_machine_arn, lambda: self.batch_machine),
            batch_room=lambda: 5,
        )


@dataclass
class FakeContext:
    """The context of an invocation."""

    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    function_name: str = "swap"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:swap"
    left: Callable[[], int] = lambda: 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left()
