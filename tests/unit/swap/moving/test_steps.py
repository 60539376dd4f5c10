"""The three steps of a moving meme's swap: what they write, what they do again, and what stops them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from functions.swap.backends.interfaces import Capabilities
from functions.swap.backends.worker import Worker
from functions.swap.context import SwapContext
from functions.swap.moving import steps
from functions.swap.moving.job import MovingJob
from functions.swap.moving.outcome import MovingResult
from functions.swap.values import RemoteUse, SwapRequest
from layers.core import http_fetch
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import (
    BudgetSpent,
    ContentRefused,
    FaceRefused,
    InvalidRequest,
    MovingMeme,
    NoFaceInMeme,
    NotFound,
    PictureTooLarge,
    StorageFailed,
    UnreadablePicture,
    WorkGone,
)
from layers.media.ffmpeg import program
from layers.media.moving.description import Frame, Limits
from layers.media.moving.labels import read_moving_label
from layers.media.moving.reader import MovingReader
from layers.media.picture import Pixels
from layers.media.xmp_label import SOURCE_TYPE
from tests.support.plain_gifs import write_gif
from tests.unit.swap.backends.fake_worker import TOKEN, FakeWorker
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, FlatSwapper, drawing, encode, settings
from tests.unit.swap.networks import FixedClassifier
from tests.unit.swap.safeguards.test_denylist import put_denylist

MEME = f"s3://{UPLOADS}/requests/1/meme"
FRAMES = 8
PLAIN = SwapRequest(MEME, color_match=False, soft_edges=False, detail="fast")


def scene(number: int, faces: int = 2) -> Pixels:
    """Two faces that move to the right by a pixel a frame."""
    return np.roll(drawing(faces, width=400, height=200, scale=0.8), number, axis=1)


@cache
def gif() -> bytes:
    return write_gif([scene(number) for number in range(FRAMES)])


@pytest.fixture
def stack() -> FakeSwapStack:
    stack = FakeSwapStack()
    stack.storage.put(UPLOADS, "requests/1/meme", gif())
    return stack


def context(stack: FakeSwapStack) -> SwapContext:
    return stack.services.context(Deadline.after(60))


def job(request: SwapRequest = PLAIN, **more: Any) -> MovingJob:
    return MovingJob("1", request, **more)


def swap(stack: FakeSwapStack, request: SwapRequest = PLAIN) -> MovingResult:
    outcome = steps.swap_moving(job(request), context(stack), key="swaps/1", add_extension=True)
    return cast(MovingResult, outcome.result)


def work_files(stack: FakeSwapStack) -> list[str]:
    return sorted(key for bucket, key in stack.storage.objects if bucket == OUTPUTS and key.startswith("work/"))


def read(data: bytes, folder: Path) -> tuple[MovingReader, list[Frame]]:
    path = folder / "file"
    path.write_bytes(data)
    reader = MovingReader(path, Limits())
    return reader, list(reader.frames(Deadline.after(60)))


def changed(before: Pixels, after: Pixels) -> Any:
    return (before[:, :, :3] != after[:, :, :3]).any(2)


def test_all_faces_of_all_frames_are_replaced_and_all_else_stays(stack: FakeSwapStack, tmp_path: Path) -> None:
    result = swap(stack)

    data = stack.storage.objects[OUTPUTS, "swaps/1.gif"].data
    before_file, before = read(stack.storage.objects[UPLOADS, "requests/1/meme"].data, tmp_path)
    after_file, after = read(data, tmp_path)
    assert (after_file.picture.raw_delays, after_file.picture.loop) == (before_file.picture.raw_delays, 0)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        mask = changed(old.pixels, new.pixels)
        for middle in (100 + number, 300 + number):
            assert np.abs(new.pixels[100, middle, :3].astype(int) - FlatSwapper.colour).max() <= 8
        far = [abs(np.arange(400) - (middle + number)) > 90 for middle in (100, 300)]
        assert not mask[:, far[0] & far[1]].any()
        assert not mask[[0, 1, -2, -1]].any()
    assert read_moving_label(tmp_path / "file", "gif") == SOURCE_TYPE
    assert (result.key, result.content_type, result.format) == ("swaps/1.gif", "image/gif", "gif")
    assert (result.frames, result.face_frames, result.seconds) == (FRAMES, 2 * FRAMES, 0.8)
    assert [(each.index, each.swapped, each.reason) for each in result.people] == [(0, True, None), (1, True, None)]
    assert [[asdict(span) for span in each.times] for each in result.people] == [[{"start": 0.0, "end": 0.7}]] * 2
    assert json.dumps(asdict(result))
    assert work_files(stack) == []


@pytest.mark.parametrize("fails", [False, True])
def test_crops_go_to_a_swapper_elsewhere_side_by_side(stack: FakeSwapStack, fails: bool) -> None:
    with FakeWorker() as worker:
        remote = Worker(worker.url, TOKEN, 0.0002, capabilities=Capabilities(4, repeats=True))
        if fails:
            worker.fault("status", times=None, status=401)
        outcome = steps.swap_moving(
            job(), replace(context(stack), remotes=(remote,)), key="swaps/1", add_extension=True
        )

    result = outcome.result
    crops = 2 * FRAMES
    if fails:
        assert (result.engine, result.remote, len(stack.models.pending)) == (FlatSwapper.name, None, 1)
    else:
        assert result.remote == RemoteUse("worker cuda", 0.25 * crops / 4, 0.00005 * crops / 4)
        assert result.engine == "worker cuda"
        assert len(worker.swapped) == crops / 4
        assert not stack.models.pending


def test_a_loop_that_runs_to_and_fro_is_swapped_once_and_pasted_everywhere(
    stack: FakeSwapStack, tmp_path: Path
) -> None:
    order = (0, 1, 2, 3, 2, 1, 0, 1, 2)
    stack.storage.put(UPLOADS, "requests/1/meme", write_gif([scene(number) for number in order]))

    result = swap(stack)

    assert (result.frames, result.face_frames) == (9, 2 * 4)
    after = read(stack.storage.objects[OUTPUTS, "swaps/1.gif"].data, tmp_path)[1]
    for number, frame in zip(order, after, strict=True):
        for middle in (100 + number, 300 + number):
            assert np.abs(frame.pixels[100, middle, :3].astype(int) - FlatSwapper.colour).max() <= 8


def test_a_frame_that_repeats_another_is_not_swapped_again(stack: FakeSwapStack, tmp_path: Path) -> None:
    shown = [scene(number) for number in (0, 0, 0, 1, 1, 2)]
    stack.storage.put(UPLOADS, "requests/1/meme", write_gif(shown))

    result = swap(stack)

    frames = read(stack.storage.objects[OUTPUTS, "swaps/1.gif"].data, tmp_path)[1]
    assert result.face_frames == len(stack.models.swapper.crops) == 6
    assert [frame.is_repeat for frame in frames] == [False, True, True, False, True, False]


@pytest.mark.parametrize(
    ("faces", "reasons"),
    [
        ("largest", {None: 1, "not_chosen": 1}),
        ([1], {"not_chosen": 1, None: 1}),
        ([{"index": 0, "face": MEME.replace("meme", "face")}], {None: 1, "not_chosen": 1}),
    ],
)
def test_only_the_people_who_are_chosen_are_replaced(
    stack: FakeSwapStack, faces: Any, reasons: dict[str | None, int]
) -> None:
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))

    result = swap(stack, replace(PLAIN, faces=faces))

    assert {each.reason: 1 for each in result.people} == reasons
    assert result.face_frames == FRAMES


def test_a_number_that_nobody_has_is_refused(stack: FakeSwapStack) -> None:
    with pytest.raises(InvalidRequest, match="there is no face 2"):
        swap(stack, replace(PLAIN, faces=[2]))


def test_a_step_that_was_done_is_not_done_again(stack: FakeSwapStack) -> None:
    first = steps.analyse(job(), context(stack))
    files = work_files(stack)
    stack.storage.objects.pop((UPLOADS, "requests/1/meme"))

    assert steps.analyse(job(), context(stack)) == first
    assert steps.swap_chunk(job(), context(stack), 0).face_frames == first.face_frames
    assert steps.swap_chunk(job(), context(stack), 0).seconds == 0.0
    assert len(stack.models.swapper.crops) == first.face_frames == 2 * FRAMES
    assert set(files) < set(work_files(stack))


def test_an_analysis_that_was_killed_is_done_again(stack: FakeSwapStack) -> None:
    stack.storage.failures["write", "work/swaps/1/crops"] = StorageFailed("gone")
    with pytest.raises(StorageFailed):
        steps.analyse(job(), context(stack))
    stack.storage.failures.clear()

    assert swap(stack).face_frames == 2 * FRAMES


def test_an_analysis_that_was_killed_does_not_fetch_its_url_again(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch_into(file: Any, url: str, **_: Any) -> None:
        asked.append(url)
        file.write(gif())

    monkeypatch.setattr(http_fetch, "fetch_into", fetch_into)
    stack.storage.failures["write", "work/swaps/1/crops"] = StorageFailed("gone")
    at_url = job(replace(PLAIN, meme="https://me.example/a.gif?token=secret"))

    with pytest.raises(StorageFailed):
        steps.analyse(at_url, context(stack))
    stack.storage.failures.clear()
    assert steps.analyse(at_url, context(stack)).frames == FRAMES

    assert len(asked) == 1
    assert "secret" not in str(stack.storage.objects[OUTPUTS, "work/swaps/1/meme"].metadata)


def test_another_request_of_the_same_id_is_analysed_anew(stack: FakeSwapStack) -> None:
    steps.analyse(job(), context(stack))

    assert steps.analyse(job(replace(PLAIN, faces=[0])), context(stack)).face_frames == FRAMES


def test_a_step_whose_files_are_gone_says_so(stack: FakeSwapStack) -> None:
    with pytest.raises(WorkGone):
        steps.swap_chunk(job(), context(stack), 0)
    steps.analyse(job(), context(stack))
    with pytest.raises(WorkGone, match="swapped"):
        steps.compose(job(), context(stack), key="swaps/1")


def test_what_is_discarded_leaves_nothing(stack: FakeSwapStack) -> None:
    steps.analyse(job(), context(stack))
    steps.swap_chunk(job(), context(stack), 0)
    assert work_files(stack)

    steps.discard("1", context(stack))
    steps.discard("1", context(stack))

    assert work_files(stack) == []


def test_a_swap_that_was_deleted_stops_at_the_next_step(stack: FakeSwapStack) -> None:
    steps.analyse(job(), context(stack))
    deleted = job(is_wanted=lambda: False)

    for step in (
        lambda: steps.analyse(deleted, context(stack)),
        lambda: steps.swap_chunk(deleted, context(stack), 0),
        lambda: steps.compose(deleted, context(stack), key="swaps/1"),
    ):
        with pytest.raises(NotFound, match="deleted"):
            step()
    assert (OUTPUTS, "swaps/1") not in stack.storage.objects


def test_progress_is_reported_and_a_deletion_noticed_within_a_step(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.swap.moving.job.POLL_SECONDS", 0.0)
    heard: list[tuple[str, int, int]] = []
    answers = iter([True, True, True, False])
    watched = job(is_wanted=lambda: next(answers), report=lambda *progress: heard.append(progress))

    with pytest.raises(NotFound):
        steps.analyse(watched, context(stack))

    assert heard == [("analyse", 1, FRAMES), ("analyse", 2, FRAMES), ("analyse", 3, FRAMES)]


def test_somebody_on_the_do_not_swap_list_stays_in_all_frames(stack: FakeSwapStack, tmp_path: Path) -> None:
    class Embedder:
        """Sees two people, by how bright the crop's left edge is."""

        def run(self, crops: Any) -> Any:
            return np.eye(512, dtype=np.float32)[[int(crops[0, 0, 0, 0] > 0)]] * 9

    marked = [scene(number) for number in range(FRAMES)]
    for picture in marked:
        picture[:, 200:][(picture[:, 200:] == (150, 170, 190)).all(2)] = (20, 20, 20)
    stack.storage.put(UPLOADS, "requests/1/meme", write_gif(marked))
    stack.models.embedder_network = Embedder()
    put_denylist(stack, np.eye(512, dtype=np.float32)[0])

    result = swap(stack)

    assert [each.reason for each in result.people] == [None, "refused"]
    before = read(stack.storage.objects[UPLOADS, "requests/1/meme"].data, tmp_path)[1]
    after = read(stack.storage.objects[OUTPUTS, "swaps/1.gif"].data, tmp_path)[1]
    for old, new in zip(before, after, strict=True):
        assert not changed(old.pixels, new.pixels)[:, 220:].any()


def test_a_source_on_the_do_not_swap_list_is_refused(stack: FakeSwapStack) -> None:
    class Embedder:
        def run(self, crops: Any) -> Any:
            return np.eye(512, dtype=np.float32)[:1]

    stack.models.embedder_network = Embedder()
    put_denylist(stack, np.eye(512, dtype=np.float32)[0])

    with pytest.raises(FaceRefused):
        swap(stack)
    assert not [key for key in work_files(stack) if "crops" in key]


def test_the_content_filter_sees_frames_and_the_notes_say_how_many(stack: FakeSwapStack) -> None:
    stack.models.digests["gate"] = "9" * 64
    stack.models.classifier = FixedClassifier(0.1)
    assert "The content filter saw 2 of 8 frames, two for each second." in swap(stack).notes

    stack.models.classifier = FixedClassifier(0.9)
    with pytest.raises(ContentRefused, match="About meme"):
        swap(stack)


def test_faces_of_all_frames_are_paid_for_once_before_they_are_swapped(stack: FakeSwapStack) -> None:
    class Counting(Budget):
        def __init__(self, limit: int) -> None:
            super().__init__("table", "megapixels", lambda: limit, dict)
            self.spent: list[tuple[int, str | None]] = []

        def spend(self, caller: str | None, amount: int, payment: str | None = None) -> None:
            self.spent.append((amount, payment))
            if sum(amount for amount, _ in self.spent) > self._limit():
                raise BudgetSpent("Too much.")

    stack.budget = Counting(100)
    summary = steps.analyse(job(replace(PLAIN, queued="1")), context(stack))
    assert stack.budget.spent == [(0, "1#frames"), (2 * FRAMES // 4, "1#face-frames"), (0, "1#sources")]
    assert summary.cost == 2 * FRAMES // 4

    steps.discard("1", context(stack))
    stack.budget = Counting(3)
    with pytest.raises(BudgetSpent):
        swap(stack)
    assert not stack.models.swapper.crops


def test_a_meme_without_faces_is_refused(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", write_gif([scene(n, faces=0) for n in range(3)]))

    with pytest.raises(NoFaceInMeme):
        swap(stack)


def test_of_too_many_face_frames_the_largest_people_are_swapped(stack: FakeSwapStack) -> None:
    stack.settings = settings(max_face_frames=FRAMES)

    result = swap(stack)

    assert sorted(str(each.reason) for each in result.people) == ["None", "over_limit"]


def test_the_limits_hold_before_any_frame_is_read(stack: FakeSwapStack) -> None:
    stack.settings = settings(max_moving_frames=FRAMES - 1)
    with pytest.raises(PictureTooLarge, match="About meme"):
        swap(stack)


def test_a_format_that_the_meme_cannot_have_is_refused(stack: FakeSwapStack) -> None:
    with pytest.raises(InvalidRequest) as caught:
        swap(stack, replace(PLAIN, format="jpeg"))
    assert caught.value.extra["errors"][0]["field"] == "format"


def test_a_gif_becomes_a_webp_on_demand_and_the_notes_say_so(stack: FakeSwapStack, tmp_path: Path) -> None:
    result = swap(stack, replace(PLAIN, format="webp"))

    reader, frames = read(stack.storage.objects[OUTPUTS, "swaps/1.webp"].data, tmp_path)
    assert (reader.picture.kind, len(frames)) == ("webp", FRAMES)
    assert "The result has another format than the meme." in result.notes


def test_a_badge_is_in_one_corner_of_all_frames(stack: FakeSwapStack, tmp_path: Path) -> None:
    swap(stack, replace(PLAIN, badge=True))

    frames = read(stack.storage.objects[OUTPUTS, "swaps/1.gif"].data, tmp_path)[1]
    corners = [frame.pixels[-20:, -40:, :3] for frame in frames]
    assert np.ptp(corners[0].reshape(-1, 3).astype(int), axis=0).max() > 100
    assert all(np.array_equal(corner, corners[0]) for corner in corners)


def test_people_are_listed_by_the_numbers_of_a_swap(stack: FakeSwapStack) -> None:
    listing = steps.list_people(job(), context(stack))

    result = swap(stack)
    assert (listing.width, listing.height, listing.frames, listing.seconds) == (400, 200, FRAMES, 0.8)
    for listed, swapped in zip(listing.people, result.people, strict=True):
        assert listed.index == swapped.index
        assert listed.box == pytest.approx(swapped.box, abs=0.01)
    assert [(each.swappable, each.reason) for each in listing.people] == [(True, None)] * 2
    assert [each.times for each in listing.people] == [each.times for each in result.people]


def test_a_meme_that_moves_is_told_to_the_caller_of_a_still_swap(stack: FakeSwapStack) -> None:
    with pytest.raises(MovingMeme):
        stack.services.swap(PLAIN, key="swaps/1", deadline=Deadline.after(60))
    with pytest.raises(MovingMeme):
        stack.services.list_faces(MEME, None, Deadline.after(60))


def test_a_video_is_recognised_by_its_first_bytes_and_a_large_animation_by_its_kind(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.storage.put(UPLOADS, "requests/1/video", b"\0\0\0\x20ftypisom" + bytes(2000))
    with pytest.raises(UnreadablePicture, match="not an MP4 video"):
        stack.services.swap(replace(PLAIN, meme=MEME.replace("meme", "video")), key="1", deadline=Deadline.after(60))

    monkeypatch.setattr("functions.swap.inputs.START_BYTES", 1000)
    stack.settings = settings(max_picture_bytes=2000)
    with pytest.raises(MovingMeme):
        stack.services.swap(PLAIN, key="swaps/1", deadline=Deadline.after(60))


def test_an_animation_of_one_frame_is_a_still_picture(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", write_gif([scene(0)]))

    result = stack.services.swap(PLAIN, key="swaps/1", deadline=Deadline.after(60), add_extension=True).result

    assert (result.key, result.content_type, len(result.faces)) == ("swaps/1.png", "image/png", 2)


def test_a_video_keeps_its_frames_and_its_own_sound(stack: FakeSwapStack, tmp_path: Path) -> None:
    """The video is stored without loss, so that the marks of faces keep their colours."""
    meme, frames = tmp_path / "meme.mp4", b"".join(scene(number).tobytes() for number in range(FRAMES))
    pictures = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "400x200", "-r", "10", "-i", "-")
    codecs = ("-f", "lavfi", "-i", "sine=d=0.8", "-c:v", "libx264rgb", "-crf", "0", "-c:a", "aac")
    subprocess.run([program(), "-loglevel", "error", *pictures, *codecs, str(meme)], input=frames, check=True)
    stack.storage.put(UPLOADS, "requests/1/meme", meme.read_bytes())

    result = swap(stack)

    after = tmp_path / "after.mp4"
    after.write_bytes(stack.storage.objects[OUTPUTS, "swaps/1.mp4"].data)
    reader = MovingReader(after, Limits())
    shown = list(reader.frames(Deadline.after(60)))
    assert [float(frame.start) for frame in shown] == pytest.approx([number / 10 for number in range(FRAMES)])
    assert digest_sound(after) == digest_sound(meme)
    assert (result.format, result.face_frames, result.notes) == ("mp4", 2 * FRAMES, [])
    for number, frame in enumerate(shown):
        assert np.abs(frame.pixels[100, 100 + number].astype(int) - FlatSwapper.colour).max() <= 12


def digest_sound(path: Path) -> bytes:
    """A digest of the packets of a video's sound."""
    command = [program(), "-loglevel", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_what_is_transparent_stays_so(stack: FakeSwapStack, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    pictures = []
    for number in range(FRAMES):
        alpha = np.full((200, 400), 255, np.uint8)
        alpha[:40] = 0
        alpha[150:, :200] = 0
        pictures.append(Image.fromarray(np.dstack((scene(number)[:, :, ::-1], alpha))))
    pictures[0].save(tmp_path / "meme", name, save_all=True, append_images=pictures[1:], duration=70, loop=3, **options)
    stack.storage.put(UPLOADS, "requests/1/meme", (tmp_path / "meme").read_bytes())

    result = swap(stack)

    before_file, before = read(stack.storage.objects[UPLOADS, "requests/1/meme"].data, tmp_path)
    after_file, after = read(stack.storage.objects[OUTPUTS, result.key].data, tmp_path)
    assert after_file.picture.raw_delays == before_file.picture.raw_delays
    assert (after_file.picture.plays, len(after)) == (before_file.picture.plays, FRAMES)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(old.pixels[:, :, 3], new.pixels[:, :, 3])
        assert not changed(old.pixels, new.pixels)[:8].any()
        assert np.abs(new.pixels[100, 100 + number, :3].astype(int) - FlatSwapper.colour).max() <= 1
