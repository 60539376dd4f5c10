"""The stand-ins keep the services' contracts, describe what they send, and fail on demand."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from local.cloud import ROOT
from local.standins import elevenlabs, pexels, speech_synthesis, stock_footage
from local.standins.servers import StandIns
from local.standins.stock_footage import SCENES, FootageFile, FootageScene

TIMEOUT = 60  # seconds, longer than a drawing takes on a busy machine
CITY = next(scene for scene in SCENES if scene.name == "city-night")  # the quickest to draw


@pytest.fixture(scope="module")
def running() -> Iterator[StandIns]:
    with StandIns() as standins:
        yield standins


@pytest.fixture
def standins(running: StandIns) -> Iterator[StandIns]:
    running.requests.clear()
    running.callbacks.clear()
    yield running
    running.clear()


def _speak(standins: StandIns, text: object, **changes: Any) -> requests.Response:
    voice_id = changes.get("voice_id", elevenlabs.VOICE_ID)
    end = "/with-timestamps" if changes.get("timestamps", True) else ""
    return requests.post(
        f"{standins.elevenlabs_url}/v1/text-to-speech/{voice_id}{end}",
        params={"output_format": changes.get("output_format", "mp3_44100_128")},
        json={"text": text, **changes.get("body", {})},
        headers=changes.get("headers", {"xi-api-key": elevenlabs.API_KEY}),
        timeout=TIMEOUT,
    )


def _search(standins: StandIns, query: str, *, key: str = pexels.API_KEY, **params: object) -> requests.Response:
    return requests.get(
        f"{standins.pexels_url}/v1/videos/search",
        params={"query": query, **{name: str(value) for name, value in params.items()}},
        headers={"Authorization": key},
        timeout=TIMEOUT,
    )


def _link(standins: StandIns, scene: FootageScene = CITY, short: int = 720) -> str:
    one = _rendition(scene, short)
    name = f"{scene.id}-{one.quality}_{one.width}_{one.height}_{one.fps}fps.mp4"
    return f"{standins.files_url}/video-files/{scene.id}/{name}"


def _rendition(scene: FootageScene, short: int) -> FootageFile:
    return next(one for one in scene.renditions if min(one.width, one.height) == short)


def _get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False)


def _loudness(speech: speech_synthesis.SynthesizedSpeech, start: float, end: float) -> float:
    samples = np.frombuffer(speech.pcm, np.int16)[
        round(start * speech_synthesis.RATE) : round(end * speech_synthesis.RATE)
    ]
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def test_alignment_says_when_the_sound_is_heard() -> None:
    text = "Look at the waves. They never stop! Do you hear them?"

    speech = speech_synthesis.speak(text)

    times = speech.alignment
    assert "".join(times.characters) == text
    assert times.starts[0] < 0.2
    assert list(times.starts[1:]) == pytest.approx(list(times.ends[:-1]))
    assert times.ends[-1] == pytest.approx(speech.seconds - speech_synthesis.TAIL / speech_synthesis.RATE)
    for pause in (match.start() for match in re.finditer(r"[.!] ", text)):
        silent = _loudness(speech, times.starts[pause] + 0.05, times.ends[pause + 1])
        before = text.rindex(" ", 0, pause) + 1
        spoken_word = _loudness(speech, times.starts[before], times.ends[pause - 1])
        assert silent < spoken_word / 10


@pytest.mark.parametrize(
    "text",
    ["海は静かです。", "大海很平静。", "नमस्ते दुनिया", "مرحبا بالعالم", "a\x00b\nc", "…", "😀 {x}", " "],
)
def test_every_character_of_any_text_has_its_time(text: str) -> None:
    times = speech_synthesis.speak(text).alignment

    assert "".join(times.characters) == text
    assert len(times.starts) == len(times.ends) == len(text)
    assert list(times.starts) == sorted(times.starts)
    assert all(start <= end for start, end in zip(times.starts, times.ends, strict=True))


def test_speech_with_timestamps_is_sound_as_long_as_it_says(standins: StandIns) -> None:
    answer = _speak(standins, "Hello there.").json()

    sound = _decode(base64.b64decode(answer["audio_base64"]))
    ends = answer["alignment"]["character_end_times_seconds"]
    assert len(sound) / 44_100 == pytest.approx(ends[-1] + speech_synthesis.TAIL / speech_synthesis.RATE, abs=0.06)
    assert answer["alignment"]["characters"] == list("Hello there.")
    assert answer["normalized_alignment"] is not None


def test_speech_comes_in_the_format_asked_for(standins: StandIns) -> None:
    mp3 = _speak(standins, "Hello there.", timestamps=False)
    pcm = _speak(standins, "Hello there.", timestamps=False, output_format="pcm_16000")

    assert mp3.headers["content-type"] == "audio/mpeg"
    assert len(pcm.content) / 2 / 16_000 == pytest.approx(len(_decode(mp3.content)) / 44_100, abs=0.06)


def _decode(sound: bytes) -> NDArray[np.int16]:
    """Decode with ffmpeg at 44,100 Hz."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        "-",
        "-ar",
        "44100",
        "-ac",
        "1",
        "-f",
        "s16le",
        "-",
    ]
    return np.frombuffer(subprocess.run(command, input=sound, capture_output=True, check=True).stdout, np.int16)


@pytest.mark.parametrize(
    ("text", "changes", "status", "code"),
    [
        ("Hi", {"headers": {}}, 401, "needs_authorization"),
        ("Hi", {"headers": {"xi-api-key": "wrong"}}, 401, "invalid_api_key"),
        ("Hi", {"voice_id": "nobody"}, 404, "voice_not_found"),
        (" ", {}, 400, "input_text_empty"),
        ("x" * 10_001, {}, 400, "max_character_limit_exceeded"),
        ("x" * 40_001, {"body": {"model_id": "eleven_flash_v2_5"}}, 400, "max_character_limit_exceeded"),
        ("Hi", {"body": {"model_id": "none"}}, 400, "model_not_found"),
        ("Hi", {"body": {"voice_settings": {"speed": 3}}}, 400, "invalid_voice_settings"),
        ("Hi", {"output_format": "wav"}, 400, "invalid_output_format"),
    ],
)
def test_speech_is_refused_as_by_the_service(
    standins: StandIns, text: str, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = _speak(standins, text, **changes)

    assert (answer.status_code, answer.json()["detail"]["code"]) == (status, code)


def test_a_body_that_is_no_request_is_told_as_a_list(standins: StandIns) -> None:
    answer = _speak(standins, 7)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "text"]


@pytest.mark.parametrize(
    ("kind", "how", "status", "error_status"),
    [
        ("rate_limit", {}, 429, "rate_limit_exceeded"),
        ("rate_limit", {"retry_after": 3}, 429, "rate_limit_exceeded"),
        ("concurrency", {}, 429, "concurrent_limit_exceeded"),
        ("quota", {}, 401, "quota_exceeded"),
        ("quota", {"status": 400, "shape": "old"}, 400, "quota_exceeded"),
        ("error", {}, 500, "internal_server_error"),
    ],
)
def test_faults_of_speech(standins: StandIns, kind: str, how: dict[str, Any], status: int, error_status: str) -> None:
    standins.fault(f"elevenlabs.{kind}", **how)

    response, next_response = _speak(standins, "Hi"), _speak(standins, "Hi")

    detail = response.json()["detail"]
    assert (response.status_code, detail["status"]) == (status, error_status)
    assert ("code" in detail) == (how.get("shape") != "old")
    assert response.headers.get("Retry-After") == (str(how["retry_after"]) if "retry_after" in how else None)
    assert next_response.ok


def test_speech_may_come_without_alignment(standins: StandIns) -> None:
    standins.fault("elevenlabs.no_alignment")

    answer = _speak(standins, "Hi").json()

    assert answer["alignment"] is answer["normalized_alignment"] is None
    assert answer["audio_base64"]


def test_a_search_gives_what_fits_best_first(standins: StandIns) -> None:
    response = _search(standins, "night city lights", orientation="portrait", per_page=80)

    body = response.json()
    assert body["videos"][0]["id"] == CITY.id
    assert body["total_results"] == len(body["videos"]) == sum(scene.portrait for scene in SCENES)
    assert all(video["height"] > video["width"] for video in body["videos"])
    assert "next_page" not in body
    assert int(response.headers["X-Ratelimit-Remaining"]) < int(response.headers["X-Ratelimit-Limit"])


def test_search_pages_follow_one_another(standins: StandIns) -> None:
    url, ids = f"{standins.pexels_url}/v1/videos/search?query=nature&per_page=2", []
    while url:
        page = _get(url, Authorization=pexels.API_KEY).json()
        ids += [video["id"] for video in page["videos"]]
        url = page.get("next_page")

    assert sorted(ids) == sorted(scene.id for scene in SCENES)


def test_listed_files_cover_a_portrait_frame_and_one_entry_has_no_size(standins: StandIns) -> None:
    for video in _search(standins, "nature", per_page=80).json()["videos"]:
        files = video["video_files"]
        assert [entry["quality"] for entry in files if entry["width"] is None] == ["hls"]
        assert {min(entry["width"], entry["height"]) for entry in files if entry["width"]} == {360, 720, 1080, 2160}
        assert len({entry["id"] for entry in files}) == len(files)


def test_landscape_is_searched_apart(standins: StandIns) -> None:
    videos = _search(standins, "train", orientation="landscape").json()["videos"]

    assert videos[0]["url"].rstrip("/").endswith("train-9100008")
    assert all(video["width"] > video["height"] for video in videos)


def test_searches_that_find_nothing_or_are_not_allowed(standins: StandIns) -> None:
    assert _search(standins, "xyzzy").json()["videos"] == []
    assert _search(standins, " ").status_code == 400
    assert _search(standins, "sea", key="wrong").status_code == 401
    assert _search(standins, "sea", key=f"Bearer {pexels.API_KEY}").status_code == 401


def test_faults_of_searches(standins: StandIns) -> None:
    standins.fault("pexels.rate_limit", headers=False)
    standins.fault("pexels.few", count=1)
    standins.fault("pexels.null_sizes")
    standins.fault("pexels.hls")
    standins.fault("pexels.none", match="ocean")

    assert "X-Ratelimit-Reset" not in _search(standins, "sea").headers
    assert len(_search(standins, "sea").json()["videos"]) == 1
    assert all(entry["width"] is None for entry in _search(standins, "sea").json()["videos"][0]["video_files"])
    assert {entry["quality"] for entry in _search(standins, "sea").json()["videos"][0]["video_files"]} == {"hls"}
    assert _search(standins, "sea").json()["videos"]
    assert not _search(standins, "ocean").json()["videos"]


def test_a_file_is_as_listed(standins: StandIns, tmp_path: Path) -> None:
    content = _get(_link(standins)).content
    path = tmp_path / "city.mp4"
    path.write_bytes(content)

    assert len(content) == _rendition(CITY, 720).size
    assert content.index(b"moov") < content.index(b"mdat")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path), "-map", "0:v", "-f", "null", "-"]
    ffmpeg_output = subprocess.run(command, capture_output=True, check=True).stderr.decode()
    assert re.search(r"Video: h264 \(High\).*yuv420p\(tv, bt709, progressive\), 720x1280.* 30 fps", ffmpeg_output)
    assert re.search(r"Audio: aac.*48000 Hz, stereo|Audio: aac.*44100 Hz, stereo", ffmpeg_output)
    assert f"Duration: 00:00:{CITY.seconds}." in ffmpeg_output
    assert re.findall(r"frame=\s*(\d+)", ffmpeg_output)[-1] == str(CITY.seconds * CITY.fps)


def test_a_file_with_its_index_at_the_end_shows_the_same(standins: StandIns) -> None:
    standins.fault("files.late_moov")

    late = _get(_link(standins)).content

    assert len(late) == _rendition(CITY, 720).size
    assert late.index(b"moov") > late.index(b"mdat")


def test_parts_of_a_file(standins: StandIns) -> None:
    url, size = _link(standins), _rendition(CITY, 720).size
    whole = _get(url).content

    for byte_range, first, last in (("0-99", 0, 99), ("100-", 100, size - 1), ("-50", size - 50, size - 1)):
        part = _get(url, Range=f"bytes={byte_range}")
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert part.content == whole[first : last + 1]
    beyond = _get(url, Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert [byte_range.range for byte_range in standins.requests_to("files")][1] == "bytes=0-99"
    assert standins.requests_to("files")[1].bytes_sent == 100


def test_faults_of_files(standins: StandIns) -> None:
    url, size = _link(standins), _rendition(CITY, 720).size
    standins.fault("files.no_range")
    standins.fault("files.missing")
    standins.fault("files.garbage")
    standins.fault("files.larger", bytes=size + 5)

    assert (_get(url, Range="bytes=0-9").status_code, standins.requests[-1].bytes_sent) == (200, size)
    assert _get(url).status_code == 404
    assert b"ftyp" not in _get(url).content
    assert len(_get(url).content) == size + 5


def test_a_broken_download_ends_before_it_should(standins: StandIns) -> None:
    standins.fault("files.broken", after=70_000)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _get(_link(standins))

    assert standins.requests[-1].bytes_sent == 70_000


@pytest.mark.parametrize("promised", [10, 9_999_999])
def test_a_length_that_is_a_lie(standins: StandIns, promised: int) -> None:
    standins.fault("files.length", promised=promised)

    with requests.get(_link(standins), stream=True, timeout=TIMEOUT) as answer:
        assert answer.headers["Content-Length"] == str(promised)


@pytest.mark.parametrize("service", ["elevenlabs", "pexels", "files", "callbacks"])
def test_faults_of_every_service(standins: StandIns, service: str) -> None:
    url = {
        "elevenlabs": standins.elevenlabs_url,
        "pexels": standins.pexels_url,
        "files": standins.files_url,
        "callbacks": standins.callback_url,
    }[service]
    standins.fault(f"{service}.drop")
    standins.fault(f"{service}.html", status=503)
    standins.fault(f"{service}.status", status=429, retry_after=2)
    standins.fault(f"{service}.redirect", to="http://10.0.0.1/")

    with pytest.raises(requests.exceptions.ConnectionError):
        _get(url)
    page, busy, redirect = _get(url), _get(url), _get(url)

    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
    assert (redirect.status_code, redirect.headers["Location"]) == (302, "http://10.0.0.1/")
    assert [record.status for record in standins.requests_to(service)] == [0, 503, 429, 302]


@pytest.mark.parametrize("how", [{}, {"after": 1000}])
def test_a_held_answer_waits_until_it_is_released(standins: StandIns, how: dict[str, Any]) -> None:
    fault = standins.fault("files.hold", **how)
    sizes: list[int] = []
    request_thread = threading.Thread(target=lambda: sizes.append(len(_get(_link(standins)).content)))

    request_thread.start()
    assert fault.reached.wait(TIMEOUT)
    assert _get(_link(standins)).ok  # long enough for the first, were it not held
    assert not sizes
    fault.release()
    request_thread.join(TIMEOUT)

    assert sizes == [_rendition(CITY, 720).size]


def test_a_fault_that_no_service_has_is_refused(standins: StandIns) -> None:
    for kind in ("files.quota", "nothing.drop", "drop"):
        with pytest.raises(ValueError, match="no fault"):
            standins.fault(kind)


def test_callbacks_are_kept(standins: StandIns) -> None:
    answer = requests.post(standins.callback_url, data=b"{}", headers={"webhook-id": "msg_1"}, timeout=TIMEOUT)

    assert answer.status_code == 204
    ((headers, body),) = standins.callbacks
    assert (headers["webhook-id"], body) == ("msg_1", b"{}")


_painter = cache(FootageScene.draw)  # which takes a while to create


def test_a_scene_is_told_in_any_of_its_frames_and_nothing_else_is() -> None:
    for scene in SCENES:
        draw = _painter(scene)
        for time in (0.0, scene.seconds * 0.42, scene.seconds - 0.1):
            frame = draw(time)
            if not scene.portrait:
                whole = cv2.resize(frame, None, fx=1280 / 720, fy=1280 / 720)
                left = (whole.shape[1] - 720) // 2
                frame = np.asarray(whole[:, left : left + 720], np.uint8)
            assert stock_footage.identify(_degrade(frame)) == scene.name
    for grey in (0, 90, 255):
        assert stock_footage.identify(np.full((1280, 720, 3), grey, np.uint8)) is None


def _degrade(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame in RGB after strong compression, with a caption."""
    cv2.rectangle(frame, (80, 820), (640, 960), (255, 255, 255), -1)
    jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 12])[1]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def test_scenes_move_and_are_the_same_at_the_same_time() -> None:
    for scene in SCENES:
        draw = _painter(scene)
        first, later, again = draw(0.5).astype(int), draw(2.5).astype(int), draw(0.5).astype(int)
        assert np.abs(first - again).max() == 0
        assert np.abs(first - later).mean() > 0.5
        assert first.shape == (scene.size[1], scene.size[0], 3)


def test_the_voice_starts_once_however_many_ask_first() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from local.standins import speech_synthesis
with ThreadPoolExecutor(8) as pool:
    print(all(spoken.pcm for spoken in pool.map(speech_synthesis.speak, ["Hello."] * 8)))
"""

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)

    assert (result.returncode, result.stdout.strip()) == (0, "True"), result.stderr[-500:]
