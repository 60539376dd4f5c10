"""A stand-in for Pixabay's video search, with drawn footage on the host that Pexels' stand-in has.

https://pixabay.com/api/docs/#api_search_videos
"""

from __future__ import annotations

from typing import Any

from local.standins.http_server import Fault, Request, Response
from local.standins.pexels import search
from local.standins.stock_footage import FootageScene

API_KEY = "standin-12345678-0123456789abcdef0123456789"
MOST_PER_PAGE, LEAST_PER_PAGE, USUAL_PER_PAGE = 200, 3, 20
MOST_LETTERS = 100  # of a query
LIMIT = 100  # requests in a minute
_OFFSET = 500_000  # between the ids of Pexels' videos and these
_SIZES = (("large", 2160), ("medium", 1080), ("small", 720), ("tiny", 360))  # the short side, in pixels
_TEXT = {"Content-Type": "text/plain; charset=UTF-8"}


class PixabayStandIn:
    """The search. Its own faults:

    rate_limit (429), key (400, as for a wrong one), none (no hits), no_large (an empty address for that size),
    unparsable (a 200 that is not JSON).
    """

    def __init__(self, files_url: str) -> None:
        self._files_url = files_url
        self._left = LIMIT

    def answer(self, request: Request, fault: Fault | None) -> Response:
        """Respond as Pixabay does: errors are plain text."""
        kind, query = fault.kind if fault else "", request.query
        if request.path != "/api/videos/":
            return Response(404, _TEXT, b"[ERROR 404] Not found.")
        if query.get("key") != API_KEY or kind == "key":
            return Response(400, _TEXT, b"[ERROR 400] Invalid or missing API key.")
        if kind == "rate_limit":
            return Response(429, _TEXT | self._limits(60), b"[ERROR 429] API rate limit exceeded.")
        words, count = query.get("q", ""), query.get("per_page", str(USUAL_PER_PAGE))
        if len(words) > MOST_LETTERS or not count.isdigit() or not LEAST_PER_PAGE <= int(count) <= MOST_PER_PAGE:
            return Response(400, _TEXT, b'[ERROR 400] "per_page" is out of valid range.')
        if kind == "unparsable":
            return Response(200, {"Content-Type": "application/json"}, b"<html>")
        self._left -= 1
        scenes = [] if kind == "none" else search(words)
        hits = [self._hit(scene, kind) for scene in scenes[: int(count)]]
        return Response.of({"total": len(scenes), "totalHits": len(scenes), "hits": hits}, headers=self._limits(42))

    def _limits(self, reset: int) -> dict[str, str]:
        left = max(0, self._left)
        return {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": str(reset)}

    def _hit(self, scene: FootageScene, kind: str) -> dict[str, Any]:
        number = scene.id + _OFFSET
        return {
            "id": number,
            "pageURL": f"{self._files_url}/video/{scene.name}-{scene.id}/",
            "type": "film",
            "tags": ", ".join(sorted(scene.tags)),
            "duration": scene.seconds,
            "videos": {name: self._file(scene, side, kind == "no_large" and name == "large") for name, side in _SIZES},
            "views": 1,
            "downloads": 1,
            "likes": 0,
            "comments": 0,
            "user_id": 7,
            "user": "coldswap",
            "userImageURL": "",
        }

    def _file(self, scene: FootageScene, side: int, is_empty: bool) -> dict[str, Any]:
        file = next((one for one in scene.renditions if min(one.width, one.height) == side), None)
        if file is None or is_empty:
            return {"url": "", "width": 0, "height": 0, "size": 0, "thumbnail": ""}
        name = f"{scene.id}-{file.quality}_{file.width}_{file.height}_{file.fps}fps.mp4"
        url = f"{self._files_url}/video-files/{scene.id}/{name}"
        return {"url": url, "width": file.width, "height": file.height, "size": file.size, "thumbnail": ""}
