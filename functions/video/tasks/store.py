"""Tasks: what became of each video that was asked for, in a DynamoDB table."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from functions.video.values import Credit, PublishedVideo, Stage, Status, VideoRequest
from layers.core.dynamodb import translate_errors
from layers.core.errors import Cancelled
from layers.core.ids import by_time, is_id, made_at

# An item outlives its video, so that who asks for a deleted video hears that it has expired.
REMEMBERED_SECONDS = 7 * 24 * 3600

# What part of the whole each step is, roughly by its time; all clips together are one part.
_PARTS: dict[str, float] = {
    "voice": 0.2,
    "footage": 0.1,
    "plan": 0.02,
    "clips": 0.45,
    "assemble": 0.18,
    "publish": 0.05,
}
_STAGES: dict[str, Stage] = {
    "voice": "voice-over",
    "footage": "footage",
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
    caller: str  # who asked, a pseudonym
    created_at: int
    updated_at: int
    expiration: int  # when the item may go
    status: Status = "queued"
    done: frozenset[str] = frozenset()  # steps; a clip is "clip#N"
    clips: int | None = None  # how many the plan has
    finished_at: int | None = None
    published: PublishedVideo | None = None
    problem: Mapping[str, Any] | None = None  # RFC 9457
    callback: str | None = None  # what became of it: delivered, or failed
    work: frozenset[str] = frozenset()  # keys in the work store that its steps made or used
    forgotten: str | None = None  # of a deleted task: the digest of its request, whose text is gone
    earlier: bool = False  # asked for under 0.1.0, whose items have no kind

    @property
    def digest(self) -> str:
        """Of what was asked for: the same Idempotency-Key with another one is a mistake."""
        return self.forgotten or digest(self.request)

    @property
    def execution(self) -> str:
        """The name of the workflow's execution: the task's own, unless it was made from a key. That may come again
        while AWS, which remembers names for 90 days, would start nothing for it."""
        return f"{self.id}-{self.created_at}" if made_at(self.id) is None else self.id

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def stage(self) -> Stage:
        """The first step that is not done. Voice-over and footage are made side by side."""
        if self.status == "queued":
            return "queued"
        return next((_STAGES[part] for part in _PARTS if self._share(part) < 1), "done")

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        if self.status == "succeeded":
            return 1.0
        return round(sum(size * self._share(part) for part, size in _PARTS.items()), 3)

    def _share(self, part: str) -> float:
        if part != "clips":
            return float(part in self.done)
        return sum(each.startswith("clip#") for each in self.done) / self.clips if self.clips else 0.0


BLANK = VideoRequest("", "")
"""What is left of the request of a deleted task."""


def digest(request: VideoRequest) -> str:
    """SHA-256 of a request."""
    return hashlib.sha256(json.dumps(asdict(request), sort_keys=True).encode()).hexdigest()


class TaskStore:
    """Items `task#ID`. Every method raises StorageFailed when the table does not answer."""

    def __init__(self, table: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._client = client
        self._now = now

    def new(self, task_id: str, request: VideoRequest, caller: str, kept_seconds: int) -> Task:
        """A task that is not in the table yet; its video will be kept for that long."""
        now = int(self._now())
        return Task(task_id, request, caller, now, now, now + kept_seconds + REMEMBERED_SECONDS)

    def add(self, task: Task) -> bool:
        """Put a new task there; False if there is one of this id already."""
        item: dict[str, Any] = {
            "id": {"S": f"task#{task.id}"},
            "request": {"S": json.dumps(asdict(task.request))},
            "caller": {"S": task.caller},
            "kind": {"S": "video"},
            "listed": {"S": by_time(task.created_at, task.id)},
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
        """The task as it is now; None where there is none, or none any more."""
        if not is_id(task_id):
            return None
        with translate_errors():
            answer = self._client().get_item(
                TableName=self._table, Key={"id": {"S": f"task#{task_id}"}}, ConsistentRead=True
            )
        task = _task(answer["Item"]) if "Item" in answer else None
        return task if task and task.expiration > self._now() else None

    def remove(self, task_id: str) -> None:
        """As if it had never been asked for."""
        with translate_errors():
            self._client().delete_item(TableName=self._table, Key={"id": {"S": f"task#{task_id}"}})

    def enter(self, task_id: str) -> Task:
        """The task, now running, for a step that starts. Raises Cancelled if it is over, or there is none."""
        return self._while_open(task_id, "SET #state = :running", {":running": {"S": "running"}})

    def step_done(self, task_id: str, step: str, work: Collection[str] = (), clips: int | None = None) -> Task:
        """Mark a step done, with the work keys that it made or used; the plan also says how many clips there are.

        Raises Cancelled if the task is over.
        """
        change, values = _done(step, work)
        if clips is not None:
            change = f"SET clips = :clips {change}"
            values[":clips"] = {"N": str(clips)}
        return self._while_open(task_id, change, values)

    def succeed(self, task_id: str, published: PublishedVideo, work: Collection[str] = ()) -> Task:
        """The video is there. Raises Cancelled if the task is over."""
        change, values = _done("publish", work)
        values |= {":state": {"S": "succeeded"}, ":published": {"S": json.dumps(asdict(published))}}
        return self._while_open(
            task_id, f"SET #state = :state, published = :published, finished_at = :now {change}", values
        )

    def keep_work(self, task_id: str, work: Collection[str]) -> bool:
        """Remember the work keys of a step that did not end well, whatever became of the task.

        False if the task is deleted, or was never there: nobody will ever delete this work.
        """
        values = {":work": {"SS": sorted(work)}}
        kept = self._update(
            task_id, "ADD #work :work", values, "attribute_exists(id) AND attribute_not_exists(forgotten)"
        )
        return kept is not None

    def end(self, task_id: str, status: Status, problem: Mapping[str, Any]) -> Task:
        """The task failed, or was cancelled. Raises Cancelled if it is over already."""
        change = "SET #state = :state, problem = :problem, finished_at = :now"
        return self._while_open(
            task_id, change, {":state": {"S": status}, ":problem": {"S": json.dumps(dict(problem))}}
        )

    def forget(self, task: Task) -> Task | None:
        """Blank what was asked for, keeping a digest of it: the task with all that is left to delete.

        From now on no step leaves work behind. None if there is no such task any more.
        """
        values = {":blank": {"S": json.dumps(asdict(BLANK))}, ":digest": {"S": task.digest}}
        return self._update(task.id, "SET #request = :blank, forgotten = :digest", values, "attribute_exists(id)")

    def clear(self, task_id: str) -> Task | None:
        """The files and the work of a forgotten task are deleted; the task as it is now."""
        return self._update(task_id, "REMOVE published, #work, listed", {}, "attribute_exists(id)")

    def called_back(self, task_id: str, outcome: str) -> None:
        """What became of the callback."""
        self._update(task_id, "SET callback = :outcome", {":outcome": {"S": outcome}}, "attribute_exists(id)")

    def _while_open(self, task_id: str, change: str, values: dict[str, Any]) -> Task:
        values = {**values, ":queued": {"S": "queued"}, ":running": {"S": "running"}}
        task = self._update(task_id, change, values, "#state IN (:queued, :running)")
        if task is None:
            raise Cancelled("The task is over, or was never there.")
        return task

    def _update(self, task_id: str, change: str, values: dict[str, Any], condition: str) -> Task | None:
        """The task after the change; None where the condition does not hold."""
        verb, _, rest = change.partition(" ")
        stamped = f"SET updated_at = :now, {rest}" if verb == "SET" else f"SET updated_at = :now {change}"
        # Words that DynamoDB keeps for itself.
        names = {name: name[1:] for name in ("#state", "#work", "#request") if name in stamped + condition}
        with translate_errors():
            client = self._client()
            try:
                answer = client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"task#{task_id}"}},
                    UpdateExpression=stamped,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={**values, ":now": {"N": str(int(self._now()))}},
                    ReturnValues="ALL_NEW",
                    **({"ExpressionAttributeNames": names} if names else {}),
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _task(answer["Attributes"])


def _task(item: Mapping[str, Mapping[str, Any]]) -> Task:
    published = json.loads(item["published"]["S"]) if "published" in item else None
    return Task(
        id=item["id"]["S"].removeprefix("task#"),
        request=VideoRequest(**json.loads(item["request"]["S"])),
        caller=item["caller"]["S"],
        created_at=int(item["created_at"]["N"]),
        updated_at=int(item["updated_at"]["N"]),
        expiration=int(item["expiration"]["N"]),
        status=item["state"]["S"],
        done=frozenset(item["done"]["SS"]) if "done" in item else frozenset(),
        clips=int(item["clips"]["N"]) if "clips" in item else None,
        finished_at=int(item["finished_at"]["N"]) if "finished_at" in item else None,
        published=_published(published) if published else None,
        problem=json.loads(item["problem"]["S"]) if "problem" in item else None,
        callback=item["callback"]["S"] if "callback" in item else None,
        work=frozenset(item["work"]["SS"]) if "work" in item else frozenset(),
        forgotten=item["forgotten"]["S"] if "forgotten" in item else None,
        earlier="kind" not in item,
    )


def _done(step: str, work: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The change that adds a step and its work keys to a task's item; an empty set is none in DynamoDB."""
    values: dict[str, Any] = {":step": {"SS": [step]}}
    if not work:
        return "ADD done :step", values
    return "ADD done :step, #work :work", values | {":work": {"SS": sorted(work)}}


def _published(said: dict[str, Any]) -> PublishedVideo:
    return PublishedVideo(**{**said, "credits": tuple(Credit(**each) for each in said["credits"])})
