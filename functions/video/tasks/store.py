"""Tasks, one for each video that was requested, in a DynamoDB table."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from functions.video.values import (
    CaptionStyle,
    Credit,
    PublishedVideo,
    Scene,
    Search,
    Shot,
    Stage,
    Status,
    VideoRequest,
)
from layers.core.dynamodb import translate_errors
from layers.core.errors import Cancelled
from layers.core.ids import creation_time, is_id, time_sort_key

# An item outlives its video, so that a request for a deleted video is told that it has expired.
REMEMBERED_SECONDS = 7 * 24 * 3600

# The share of each step in the whole, roughly by its time; all clips together are one step.
_SHARES: dict[str, float] = {
    "footage": 0.1,
    "voice": 0.2,
    "plan": 0.02,
    "clips": 0.45,
    "assemble": 0.18,
    "publish": 0.05,
}
_STAGES: dict[str, Stage] = {
    "footage": "footage",
    "voice": "voice-over",
    "plan": "plan",
    "clips": "clips",
    "assemble": "assemble",
    "publish": "publish",
}


@dataclass(frozen=True)
class Task:
    """A video being made. Times are whole seconds of the epoch."""

    id: str
    request: VideoRequest
    caller: str  # a pseudonym
    created_at: int
    updated_at: int
    expiration: int  # when the item may be deleted
    status: Status = "queued"
    done: frozenset[str] = frozenset()  # names of steps; a clip is "clip#N"
    clips: int | None = None  # how many the plan has
    finished_at: int | None = None
    published: PublishedVideo | None = None
    problem: Mapping[str, Any] | None = None  # RFC 9457
    callback: str | None = None  # its outcome: delivered, or failed
    artifact_keys: frozenset[str] = frozenset()  # in the artifact store, which its steps made or used
    deleted_digest: str | None = None  # of a deleted task: the digest of its request, which is gone
    earlier: bool = False  # requested under 0.1.0, whose items have no kind

    @property
    def digest(self) -> str:
        """The digest of the request: the same Idempotency-Key with another one is a mistake."""
        return self.deleted_digest or digest(self.request)

    @property
    def execution(self) -> str:
        """The name of the workflow's execution: the task's id, unless that was made from an Idempotency-Key. Such an id
        may come again within the 90 days for which AWS remembers names and would start nothing."""
        return f"{self.id}-{self.created_at}" if creation_time(self.id) is None else self.id

    @property
    def over(self) -> bool:
        """Whether the task has ended: its status is final."""
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def stage(self) -> Stage:
        """The first step that is not done."""
        if self.status == "queued":
            return "queued"
        return next((_STAGES[step] for step in _SHARES if self._done_share(step) < 1), "done")

    @property
    def progress(self) -> float:
        """The share that is done, 0 to 1."""
        if self.status == "succeeded":
            return 1.0
        return round(sum(share * self._done_share(step) for step, share in _SHARES.items()), 3)

    def _done_share(self, step: str) -> float:
        if step != "clips":
            return float(step in self.done)
        return sum(each.startswith("clip#") for each in self.done) / self.clips if self.clips else 0.0


BLANK = VideoRequest("", "")
"""The request of a deleted task."""


# What a request had in 0.1.0; of what came later only what is not the default is written, so that a request means, and
# has the digest, that it had before.
_FIRST_FIELDS = ("script_text", "search_query", "voice_id", "callback_url", "captions", "badge", "quality")

# The fields that JSON has as objects and lists.
_GROUPS: dict[str, Callable[[Any], Any]] = {
    "search_query": lambda value: tuple(value) if isinstance(value, list) else value,
    "scenes": lambda value: tuple(Scene(**each) for each in value),
    "caption_style": lambda value: CaptionStyle(**value),
}


def digest(request: VideoRequest) -> str:
    """SHA-256 of a request."""
    return hashlib.sha256(json.dumps(_request_document(request), sort_keys=True).encode()).hexdigest()


def _request_document(request: VideoRequest) -> dict[str, Any]:
    """A request as JSON."""
    defaults = asdict(BLANK)
    values = asdict(request)
    return {name: value for name, value in values.items() if name in _FIRST_FIELDS or value != defaults[name]}


def _read_request(document: dict[str, Any]) -> VideoRequest:
    """The request of such a document."""
    groups = {name: kind(document[name]) for name, kind in _GROUPS.items() if name in document}
    return VideoRequest(**{**document, **groups})


class TaskStore:
    """Items `task#ID`. Every method raises StorageFailed when the table does not answer."""

    def __init__(self, table: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._client = client
        self._now = now

    def new(self, task_id: str, request: VideoRequest, caller: str, kept_seconds: int) -> Task:
        """A task that is not in the table yet; its video will be kept for `kept_seconds`."""
        now = int(self._now())
        return Task(task_id, request, caller, now, now, now + kept_seconds + REMEMBERED_SECONDS)

    def add(self, task: Task) -> bool:
        """Put a new task into the table; False if there is one with this id already."""
        item: dict[str, Any] = {
            "id": {"S": f"task#{task.id}"},
            "request": {"S": json.dumps(_request_document(task.request))},
            "caller": {"S": task.caller},
            "kind": {"S": "video"},
            "listed": {"S": time_sort_key(task.created_at, task.id)},
            "state": {"S": task.status},
            "created_at": {"N": str(task.created_at)},
            "updated_at": {"N": str(task.updated_at)},
            "expiration": {"N": str(task.expiration)},
        }
        with translate_errors():
            client = self._client()
            try:
                client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(id) OR expiration <= :now",
                    ExpressionAttributeValues={":now": {"N": str(int(self._now()))}},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def find(self, task_id: str) -> Task | None:
        """The task as it is now; None if there is no such task, or it has expired."""
        if not is_id(task_id):
            return None
        with translate_errors():
            response = self._client().get_item(
                TableName=self._table, Key={"id": {"S": f"task#{task_id}"}}, ConsistentRead=True
            )
        task = _task(response["Item"]) if "Item" in response else None
        return task if task and task.expiration > self._now() else None

    def remove(self, task_id: str) -> None:
        """Delete the task, as if it had never been requested."""
        with translate_errors():
            self._client().delete_item(TableName=self._table, Key={"id": {"S": f"task#{task_id}"}})

    def enter(self, task_id: str) -> Task:
        """The task, now running, for a step that starts. Raises Cancelled if it is over, or does not exist."""
        return self._while_open(task_id, "SET #state = :running", {":running": {"S": "running"}})

    def step_done(self, task_id: str, step: str, artifact_keys: Collection[str] = (), clips: int | None = None) -> Task:
        """Mark a step done, with the keys of the artifacts that it made or used; the plan also has a number of clips.

        Raises Cancelled if the task is over.
        """
        change, values = _step_change(step, artifact_keys)
        if clips is not None:
            change = f"SET clips = :clips {change}"
            values[":clips"] = {"N": str(clips)}
        return self._while_open(task_id, change, values)

    def succeed(self, task_id: str, published: PublishedVideo, artifact_keys: Collection[str] = ()) -> Task:
        """Record the published video. Raises Cancelled if the task is over."""
        change, values = _step_change("publish", artifact_keys)
        values |= {":state": {"S": "succeeded"}, ":published": {"S": json.dumps(asdict(published))}}
        return self._while_open(
            task_id, f"SET #state = :state, published = :published, finished_at = :now {change}", values
        )

    def keep_artifacts(self, task_id: str, artifact_keys: Collection[str]) -> bool:
        """Remember the artifacts of a step that failed, whatever became of the task.

        False if the task was deleted, or never existed: nobody will ever delete these artifacts.
        """
        values = {":work": {"SS": sorted(artifact_keys)}}
        task = self._update(
            task_id, "ADD #work :work", values, "attribute_exists(id) AND attribute_not_exists(forgotten)"
        )
        return task is not None

    def end(self, task_id: str, status: Status, problem: Mapping[str, Any]) -> Task:
        """Record that the task failed, or was cancelled. Raises Cancelled if it is over already."""
        change = "SET #state = :state, problem = :problem, finished_at = :now"
        return self._while_open(
            task_id, change, {":state": {"S": status}, ":problem": {"S": json.dumps(dict(problem))}}
        )

    def forget(self, task: Task) -> Task | None:
        """Blank the request, except for its digest; returns the task with all that is left to delete.

        From now on no step leaves artifacts behind. None if there is no such task any more.
        """
        values = {":blank": {"S": json.dumps(asdict(BLANK))}, ":digest": {"S": task.digest}}
        return self._update(task.id, "SET #request = :blank, forgotten = :digest", values, "attribute_exists(id)")

    def clear(self, task_id: str) -> Task | None:
        """Record that files and artifacts of a forgotten task are deleted; returns the task as it is now."""
        return self._update(task_id, "REMOVE published, #work, listed", {}, "attribute_exists(id)")

    def record_callback(self, task_id: str, outcome: str) -> None:
        """Record the outcome of the callback."""
        self._update(task_id, "SET callback = :outcome", {":outcome": {"S": outcome}}, "attribute_exists(id)")

    def _while_open(self, task_id: str, change: str, values: dict[str, Any]) -> Task:
        values = {**values, ":queued": {"S": "queued"}, ":running": {"S": "running"}}
        task = self._update(task_id, change, values, "#state IN (:queued, :running)")
        if task is None:
            raise Cancelled("The task is over, or never existed.")
        return task

    def _update(self, task_id: str, change: str, values: dict[str, Any], condition: str) -> Task | None:
        """The task after the change; None where the condition does not hold."""
        verb, _, rest = change.partition(" ")
        update = f"SET updated_at = :now, {rest}" if verb == "SET" else f"SET updated_at = :now {change}"
        # Reserved words of DynamoDB.
        names = {name: name[1:] for name in ("#state", "#work", "#request") if name in update + condition}
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"task#{task_id}"}},
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={**values, ":now": {"N": str(int(self._now()))}},
                    ReturnValues="ALL_NEW",
                    **({"ExpressionAttributeNames": names} if names else {}),
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _task(response["Attributes"])


def _task(item: Mapping[str, Mapping[str, Any]]) -> Task:
    published = json.loads(item["published"]["S"]) if "published" in item else None
    return Task(
        id=item["id"]["S"].removeprefix("task#"),
        request=_read_request(json.loads(item["request"]["S"])),
        caller=item["caller"]["S"],
        created_at=int(item["created_at"]["N"]),
        updated_at=int(item["updated_at"]["N"]),
        expiration=int(item["expiration"]["N"]),
        status=item["state"]["S"],
        done=frozenset(item["done"]["SS"]) if "done" in item else frozenset(),
        clips=int(item["clips"]["N"]) if "clips" in item else None,
        finished_at=int(item["finished_at"]["N"]) if "finished_at" in item else None,
        published=_published_video(published) if published else None,
        problem=json.loads(item["problem"]["S"]) if "problem" in item else None,
        callback=item["callback"]["S"] if "callback" in item else None,
        artifact_keys=frozenset(item["work"]["SS"]) if "work" in item else frozenset(),
        deleted_digest=item["forgotten"]["S"] if "forgotten" in item else None,
        earlier="kind" not in item,
    )


def _step_change(step: str, artifact_keys: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The change that adds a step and its artifacts to a task's item; DynamoDB has no empty sets."""
    values: dict[str, Any] = {":step": {"SS": [step]}}
    if not artifact_keys:
        return "ADD done :step", values
    return "ADD done :step, #work :work", values | {":work": {"SS": sorted(artifact_keys)}}


def _published_video(document: dict[str, Any]) -> PublishedVideo:
    # What 0.1.0 published has none of these but credits.
    lists: dict[str, Any] = {
        "credits": tuple(Credit(**each) for each in document["credits"]),
        "shots": tuple(Shot(**each) for each in document.get("shots", ())),
        "searches": tuple(Search(**each) for each in document.get("searches", ())),
        "captions_left_out": tuple(document.get("captions_left_out", ())),
    }
    return PublishedVideo(**{**document, **lists})
