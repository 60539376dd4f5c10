"""A stand-in for Pexels' video search and its file host, with drawn footage.

https://www.pexels.com/api/documentation/#videos-search
"""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from local.standins.http_server import HTML, Fault, Request, Response
from local.standins.stock_footage import FOLDER, SCENES, FootageFile, FootageScene, rendition_file

API_KEY = "standin563492ad6f91700001000001"
MOST_PER_PAGE = 80
QUOTA = 20_000  # requests a month
SIZES = {"small": 720, "medium": 1080, "large": 2160}  # minimum of the short side, in pixels

_FILE = re.compile(r"/video-files/(\d+)/\d+-\w+_(\d+)_(\d+)_\d+fps\.mp4")
_PAGE = re.compile(r"/video/[a-z-]*?(\d+)/?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_VIDEO = {"Content-Type": "video/mp4"}


class PexelsStandIn:
    """The search. Its own faults:

    rate_limit (429; headers=False: without X-Ratelimit; retry_after=S), key (401), none (no results), few (count=N),
    null_sizes (renditions without width and height), hls (HLS entries only), unparsable (a 200 that is not JSON).
    """

    def __init__(self, files_url: str) -> None:
        self._files_url = files_url
        self._left = QUOTA
        self.url = ""  # of this service, for next_page

    def answer(self, request: Request, fault: Fault | None) -> Response:
        """Respond as Pexels does."""
        kind = fault.kind if fault else ""
        if request.path not in ("/v1/videos/search", "/videos/search"):
            return Response.of({"status": 404, "error": "Not Found"}, 404)
        if request.headers.get("authorization") != API_KEY or kind == "key":
            return Response.of({"error": "Unauthorized: the API key is missing or not valid."}, 401)
        if fault and kind == "rate_limit":
            return self._rate_limit_response(fault)
        if kind == "unparsable":
            return Response(200, {"Content-Type": "text/html"}, HTML)
        query = request.query
        words, per_page, page = query.get("query", ""), query.get("per_page", "15"), query.get("page", "1")
        if not words.strip() or not per_page.isdigit() or not page.isdigit():
            return Response.of({"status": 400, "code": "Bad Request", "error": "No query provided."}, 400)
        count, number = max(1, min(int(per_page), MOST_PER_PAGE)), max(1, int(page))
        scenes = [] if kind == "none" else search(words, query.get("orientation"), query.get("size"))
        if fault and kind == "few":
            scenes = scenes[: fault.how["count"]]
        self._left -= 1
        value: dict[str, Any] = {
            "page": number,
            "per_page": count,
            "total_results": len(scenes),
            "url": f"{self._files_url}/search/videos/",
            "videos": [self._video(scene, kind) for scene in scenes[(number - 1) * count : number * count]],
        }
        if number * count < len(scenes):
            value["next_page"] = f"{self.url}{request.path}?{urlencode({**query, 'page': number + 1})}"
        return Response.of(value, headers=self._quota())

    def _rate_limit_response(self, fault: Fault) -> Response:
        headers = self._quota() if fault.how.get("headers", True) else {}
        if "retry_after" in fault.how:
            headers["Retry-After"] = str(fault.how["retry_after"])
        return Response.of({"status": 429, "code": "Too Many Requests"}, 429, headers)

    def _quota(self) -> dict[str, str]:
        return {
            "X-Ratelimit-Limit": str(QUOTA),
            "X-Ratelimit-Remaining": str(self._left),
            "X-Ratelimit-Reset": str(int(time.time()) + 3600),
        }

    def _video(self, scene: FootageScene, kind: str) -> dict[str, Any]:
        width, height = (2160, 3840) if scene.portrait else (3840, 2160)
        files = [] if kind == "hls" else [self._file(scene, rendition, kind) for rendition in scene.renditions]
        return {
            "id": scene.id,
            "width": width,
            "height": height,
            "duration": scene.seconds,
            "full_res": None,
            "tags": [],
            "url": f"{self._files_url}/video/{scene.name}-{scene.id}/",
            "image": f"{self._files_url}/videos/{scene.id}/preview.jpg",
            "avg_color": None,
            "user": {"id": 1, "name": "Coldswap (drawn)", "url": f"{self._files_url}/@coldswap"},
            "video_files": [*files, self._hls(scene)],
            "video_pictures": [],
        }

    def _file(self, scene: FootageScene, rendition: FootageFile, kind: str) -> dict[str, Any]:
        width, height = rendition.width, rendition.height
        return {
            "id": scene.id * 10_000 + min(width, height),
            "quality": rendition.quality,
            "file_type": "video/mp4",
            "width": None if kind == "null_sizes" else width,
            "height": None if kind == "null_sizes" else height,
            "fps": float(rendition.fps),
            "link": f"{self._files_url}/video-files/{scene.id}/{_file_name(scene, rendition)}",
            "size": rendition.size,
        }

    def _hls(self, scene: FootageScene) -> dict[str, Any]:
        link = f"{self._files_url}/video-files/{scene.id}/{scene.id}.m3u8"
        unknown = dict.fromkeys(("width", "height", "fps", "size"))
        return {"id": scene.id * 10_000, "quality": "hls", "file_type": "video/mp4", "link": link, **unknown}


def search(words: str, orientation: str | None = None, size: str | None = None) -> list[FootageScene]:
    """The scenes for a query, those with most of its words first; empty if no scene has any of its words."""
    query_words = set(re.findall(r"\w+", words.lower()))
    query_words |= {word.removesuffix("s") for word in query_words}
    candidates = [scene for scene in SCENES if orientation in (None, "portrait" if scene.portrait else "landscape")]
    if SIZES.get(size or "", 0) > max(SIZES.values()) or not any(query_words & scene.tags for scene in SCENES):
        return []
    return sorted(candidates, key=lambda scene: -len(query_words & scene.tags))


class FootageFileHost:
    """The file host, with ranges. Its own faults:

    no_range (always the whole file), late_moov (the index at the end), garbage (bytes that are not a video), larger
    (bytes=N: the file is padded with zeros to N bytes), missing (404).
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def answer(self, request: Request, fault: Fault | None) -> Response:
        """Respond with a file, a range of it, or a page about a scene."""
        kind = fault.kind if fault else ""
        target = _FILE.fullmatch(request.path)
        scene = _find_scene(int(target[1])) if target else None
        sizes = (int(target[2]), int(target[3])) if target else ()
        matches = [one for one in scene.renditions if (one.width, one.height) == sizes] if scene else []
        if not scene or not matches or kind == "missing":
            return _serve_page(request.path)
        if kind == "garbage":
            return Response(200, _VIDEO, bytes(range(256)) * 4096)
        path = rendition_file(scene, matches[0], self._folder, faststart=kind != "late_moov")
        if fault and kind == "larger":
            return Response(200, _VIDEO, path.read_bytes().ljust(fault.how["bytes"], b"\0"))
        return _serve_range(path, request.headers.get("range") if kind != "no_range" else None)


def _serve_range(path: Path, range_header: str | None) -> Response:
    """Serve one range (RFC 9110, section 14); a header that is not one is ignored."""
    size = path.stat().st_size
    headers = _VIDEO | {"Accept-Ranges": "bytes", "ETag": f'"{path.stem}"'}
    match = _RANGE.fullmatch(range_header or "")
    if not match or not (match[1] or match[2]):
        return Response(200, headers, file=path, length=size)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
    if first > last:
        return Response(416, headers | {"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Range": f"bytes {first}-{last}/{size}"}
    return Response(206, headers, file=path, offset=first, length=last - first + 1)


def _serve_page(path: str) -> Response:
    if path.endswith(".m3u8"):
        return Response(200, {"Content-Type": "application/vnd.apple.mpegurl"}, b"#EXTM3U\n#EXT-X-ENDLIST\n")
    page = _PAGE.fullmatch(path)
    scene = _find_scene(int(page[1])) if page else None
    if not scene:
        return Response(404, {"Content-Type": "text/html; charset=utf-8"}, HTML)
    rendition = next(one for one in scene.renditions if min(one.width, one.height) == SIZES["medium"])
    link = f"/video-files/{scene.id}/{_file_name(scene, rendition)}"
    title = html.escape(scene.title)
    text = f"<!DOCTYPE html><title>{title}</title><h1>{title}</h1><video controls loop height=800 src={link}></video>"
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, text.encode())


def _file_name(scene: FootageScene, rendition: FootageFile) -> str:
    return f"{scene.id}-{rendition.quality}_{rendition.width}_{rendition.height}_{rendition.fps}fps.mp4"


def _find_scene(id: int) -> FootageScene | None:
    return next((scene for scene in SCENES if scene.id == id), None)
