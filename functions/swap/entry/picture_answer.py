"""The answer that is the picture itself, for callers who ask for that."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from aws_lambda_powertools.event_handler import Response

from functions.swap.entry.swap_answer import arrange_result
from functions.swap.services import Services
from layers.core.deadline import Deadline
from layers.core.errors import NotFound, ObjectNotFound
from layers.core.web import JSON

MAX_INLINE_BYTES = 4_600_000  # of a picture: in base64 and with the headers, an answer has less than Lambda's 6 MB


def answer_with_picture(
    result: Mapping[str, Any], headers: Mapping[str, str], services: Services, deadline: Deadline
) -> Response[Any]:
    """The picture of a result that has its link; where it is too large for an answer, a redirect to the link.

    Raises NotFound, StorageFailed or OutOfTime.
    """
    if result["bytes"] > MAX_INLINE_BYTES:
        own = {"Location": result["url"], "Cache-Control": "no-store"}
        return Response(303, content_type=JSON, body=json.dumps(arrange_result(result)), headers={**headers, **own})
    bucket, key = services.settings.outputs_bucket, result["key"]
    try:
        picture = services.storage.read(bucket, key, MAX_INLINE_BYTES, deadline).data
    except ObjectNotFound:
        raise NotFound("The picture has been deleted, or has expired.") from None
    name = PurePosixPath(key).name
    own = {
        "Content-Disposition": f'inline; filename="{name}"',
        "Content-Location": f"/swap/{PurePosixPath(key).stem}",
        "Cache-Control": "no-store",
    }
    # Powertools would take bytes for text in UTF-8 when it serializes what a route returns.
    body = base64.b64encode(picture).decode()
    response = Response(200, content_type=result["content_type"], body=body, headers={**headers, **own})
    response.base64_encoded = True
    return response
