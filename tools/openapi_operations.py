"""What the functions' own descriptions do not say: each operation's name, its kind, and examples of its request.

Generated clients name their methods after these names, so a name never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEME, FACE = "https://example.com/meme.jpg", "https://example.com/me.jpg"

FILE = {
    "type": "object",
    "title": "FileBody",
    "required": ["content"],
    "properties": {"content": {"type": "string", "format": "binary", "description": "the file"}},
}


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    id: str  # snake_case, a verb first
    tag: str
    examples: Mapping[str, Any] = field(default_factory=dict)  # bodies in JSON, by a short name
    body: Mapping[str, Any] = field(default_factory=dict)  # by media type, what OpenAPI says of a body beside JSON


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("post", "/swap"): Operation(
        "swap_faces",
        "swaps",
        {
            "one face for all": {"meme": MEME, "face": FACE},
            "the stack's own face into the largest": {"meme": MEME, "faces": "largest", "format": "webp"},
            "several pictures of one person": {"meme": MEME, "face": [FACE, "https://example.com/me-smiling.jpg"]},
            "a face of its own for one of them": {"meme": MEME, "faces": [0, {"index": 1, "face": FACE}]},
        },
    ),
    ("get", "/swap/{name}"): Operation("get_swap", "swaps"),
    ("post", "/faces"): Operation("list_faces", "swaps", {"a picture": {"meme": MEME}}),
    ("get", "/faces/{name}"): Operation("get_faces", "swaps"),
    ("post", "/uploads"): Operation("create_upload", "swaps", {"a meme of a batch": {"batch": "holidays"}}),
    ("post", "/batches"): Operation(
        "create_batch", "batches", {"one face for all memes of a name": {"batch": "holidays", "face": FACE}}
    ),
    ("get", "/batches/{name}"): Operation("get_batch", "batches"),
    ("delete", "/batches/{name}"): Operation("delete_batch", "batches"),
    ("get", "/"): Operation("describe_service", "results"),
    ("get", "/pack"): Operation("get_pack", "results"),
    ("get", "/results"): Operation("list_results", "results"),
    ("delete", "/results/{name}"): Operation("delete_result", "results"),
    ("post", "/verify"): Operation("verify_file", "results", {"a picture": {"uri": "https://example.com/swapped.jpg"}}),
    ("get", "/terms"): Operation("get_terms", "results"),
    ("post", "/terms"): Operation("accept_terms", "results", {"the version of GET /terms": {"version": "2026-11-23"}}),
    ("post", "/v1/predictions"): Operation(
        "create_prediction",
        "predictions",
        {
            "as models on Replicate call the pictures": {
                "version": "coldswap/face-swap:1",
                "input": {"input_image": MEME, "swap_image": FACE},
            },
            "as POST /swap calls them": {"input": {"meme": MEME, "face": FACE, "format": "png"}},
        },
    ),
    ("post", "/v1/models/{owner}/{model}/predictions"): Operation(
        "create_model_prediction",
        "predictions",
        {"a source and a target": {"input": {"target_image": MEME, "source_image": FACE}}},
    ),
    ("get", "/v1/predictions/{name}"): Operation("get_prediction", "predictions"),
    ("post", "/v1/predictions/{name}/cancel"): Operation("cancel_prediction", "predictions"),
    ("get", "/v1/models/{owner}/{model}/versions/{version}"): Operation("get_model_version", "predictions"),
    ("post", "/v1/files"): Operation("create_file", "predictions", body={"multipart/form-data": {"schema": FILE}}),
    ("post", "/generate-video"): Operation(
        "create_video",
        "videos",
        {
            "a short video": {
                "script_text": "Deep in the forest, something moves. It is only the wind.",
                "search_query": "misty forest",
            },
            "a plan": {"script_text": "A farmer opens the gate. Her dog waits beside the tractor.", "dry_run": True},
            "scenes": {
                "scenes": [
                    {"text": "This is our shop.", "clip": "https://example.com/shop.jpg"},
                    {"text": "We roast our coffee every morning.", "search_query": "coffee beans"},
                ],
            },
            "told when it is done": {
                "script_text": "Hello there.",
                "search_query": "nature",
                "callback_url": "https://example.com/video-is-done",
            },
        },
    ),
    ("get", "/task/{task_id}"): Operation("get_video", "videos"),
    ("delete", "/task/{task_id}"): Operation("delete_video", "videos"),
    ("get", "/download/{task_id}"): Operation("get_video_link", "videos"),
    ("get", "/video/callback-secret"): Operation("get_callback_secret", "videos"),
}
