"""A short video: by mouse, by keyboard alone, its plan without spending, its progress over reloads, and each error."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from local.standins.servers import StandIns
from tests.page.conftest import PageStack
from tests.page.panels import ShortTab, show_tab
from tests.page.visitor import Visitor, press, tab_to, type_into

MINUTE = 60.0  # seconds that a short may take, waits included
TASKS = "**/task/*"


def test_a_mouse_alone_makes_a_short_within_a_minute(guest: Visitor) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    expect(page.get_by_role("tab", name="Make a short")).to_be_visible()
    start = time.monotonic()
    show_tab(page, "Make a short")
    page.get_by_role("button", name="Use an example").click()
    expect(tab.script).not_to_have_value("")
    tab.make.click()
    expect(tab.progress).to_be_visible()
    tab.expect_video()
    seconds = time.monotonic() - start
    guest.inspect("short-3-video")
    assert seconds < MINUTE

    with page.expect_download() as download:
        tab.result.get_by_role("button", name="Download").click()
    assert download.value.path().read_bytes()[4:8] == b"ftyp"
    assert page.url == f"{guest.address}/"
    page.get_by_text("This video is labelled").click()
    tab.result.get_by_role("button", name="Check the label").click()
    expect(tab.result).to_contain_text("valid, and this stack\u2019s own")


def test_a_keyboard_alone_plans_and_makes_a_short_and_deletes_it(guest: Visitor, standins: StandIns) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    tab_to(page, page.get_by_role("tab", name="Swap a face"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Make a short")).to_be_focused()
    type_into(page, tab.script, "Hello there.")
    type_into(page, tab.query, "nature")
    spoken = len(standins.requests_to("elevenlabs"))
    press(page, tab.plan)
    expect(page.get_by_role("heading", name="The plan")).to_be_visible()
    expect(tab.panel).to_contain_text("12 characters that the voice service charges for")
    expect(tab.panel).to_contain_text("Nothing has been spent on speech.")
    assert len(standins.requests_to("elevenlabs")) == spoken
    guest.inspect("short-1-plan")

    press(page, tab.make)
    tab.expect_video()
    assert page.evaluate("document.activeElement.textContent") == "Your video"
    press(page, tab.delete)
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete"))
    expect(tab.result).to_be_hidden()
    page.reload()
    expect(tab.make).to_be_visible()
    expect(tab.script).to_have_value("Hello there.")


def test_a_reload_at_each_stage_of_a_short_makes_one(guest: Visitor) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    show_tab(page, "Make a short")
    tab.script.fill("Hello there.")
    tab.query.fill("nature")
    page.reload()
    expect(tab.script).to_have_value("Hello there.")
    keys = []
    guest.context.on(
        "request",
        lambda request: keys.append(request.headers["idempotency-key"]) if "generate-video" in request.url else None,
    )
    with guest.network.hold("**/generate-video"):
        tab.make.click()
        expect(tab.progress).to_be_visible()
        page.reload()
        expect(tab.progress).to_be_visible()
    with guest.network.hold(TASKS):
        page.reload()
        expect(tab.progress).to_be_visible()
        guest.inspect("short-2-progress")
    tab.expect_video()
    page.reload()
    tab.expect_video()
    assert len(set(keys)) == 1, "the same key is the same video"


def test_a_short_that_is_cancelled_ends_on_the_stack_too(guest: Visitor, open_stack: PageStack) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    show_tab(page, "Make a short")
    page.get_by_role("button", name="Use an example").click()
    with page.expect_response("**/generate-video") as made:
        tab.make.click()
    task = made.value.json()["task_id"]
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    expect(tab.progress).to_be_hidden()
    expect(tab.make).to_be_visible()
    assert open_stack.cloud.request("GET", f"/task/{task}").json()["status"] == "cancelled"


def test_each_error_of_a_short_stands_beside_its_field(guest: Visitor) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    show_tab(page, "Make a short")
    tab.make.click()
    expect(tab.script).to_have_attribute("aria-invalid", "true")
    expect(tab.error_of(tab.script)).not_to_be_empty()
    expect(tab.script).to_be_focused()
    guest.inspect("short-1-error")

    tab.script.fill("Hello there.")
    tab.query.fill("x" * 300)
    tab.plan.click()
    expect(tab.query).to_have_attribute("aria-invalid", "true")
    expect(tab.error_of(tab.query)).to_contain_text("200")
    expect(tab.script).to_have_attribute("aria-invalid", "false")

    tab.query.fill("nature")
    guest.network.cut("**/generate-video")
    tab.plan.click()
    expect(page.get_by_role("alert").filter(has_text="The stack cannot be reached.")).to_be_visible()
    tab.plan.click()
    expect(page.get_by_role("heading", name="The plan")).to_be_visible()


# The choices that a stack may offer beyond those of 0.1.0, as its API describes them.
TEXT = {"type": "string"}
SCENE = {"type": "object", "properties": {"text": TEXT, "search_query": TEXT, "clip": TEXT}}
SOURCE = {"type": "object", "properties": {"uri": TEXT, "name": TEXT}}
LOOKS = {"type": "object", "properties": {"look": {"type": "string", "enum": ["highlight", "karaoke"]}}}
OFFER = {
    "scenes": {"anyOf": [{"type": "array", "items": SCENE}, {"type": "null"}]},
    "voice": {"anyOf": [SOURCE, {"type": "null"}]},
    "music": {"anyOf": [SOURCE, {"type": "null"}]},
    "captions": {"oneOf": [{"type": "boolean"}, LOOKS]},
    "aspect": {"type": "string", "enum": ["9:16", "1:1"]},
}


def describe_more(stack: PageStack) -> dict[str, Any]:
    """The description of an API with these choices."""
    document: dict[str, Any] = stack.cloud.request("GET", "/openapi.json").json()
    body = document["paths"]["/generate-video"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"].update(OFFER)
    return document


def test_scenes_look_voice_and_music_are_asked_for_where_the_stack_offers_them(
    guest: Visitor, open_stack: PageStack, tmp_path: Path
) -> None:
    page, tab = guest.page, ShortTab(guest.page)
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3" + bytes(2000))
    guest.network.answer("**/openapi.json", 200, describe_more(open_stack), times=None)
    page.reload()
    show_tab(page, "Make a short")
    page.get_by_label("How do you write it?").select_option(label="Scene by scene")
    expect(tab.script).to_be_hidden()
    page.get_by_label("What the voice says").fill("The sea was here first.")
    page.get_by_role("button", name="Add a scene").click()
    second = page.get_by_role("group", name="Scene 2")
    second.get_by_label("What the voice says").fill("It will be here last.")
    second.get_by_label("What is shown").fill("waves")
    page.get_by_label("Captions", exact=True).select_option(label="Karaoke")
    page.get_by_label("Shape").select_option(label="Square (1:1)")
    page.get_by_label("Music", exact=True).select_option(label="A file of mine")
    page.get_by_label("Music file").set_input_files(song)
    expect(page.get_by_role("status").filter(has_text="song.mp3")).to_be_visible()
    guest.inspect("short-1-scenes")
    page.reload()
    expect(second.get_by_label("What is shown")).to_have_value("waves")

    refusal = {
        "code": "invalid_request",
        "detail": "Wrong.",
        "errors": [{"field": "music.uri", "message": "No sound."}],
    }
    guest.network.answer("**/generate-video", 422, refusal)
    with page.expect_request("**/generate-video") as sent:
        tab.plan.click()
    body = sent.value.post_data_json
    assert [scene["text"] for scene in body["scenes"]] == ["The sea was here first.", "It will be here last."]
    assert body["scenes"][1]["search_query"] == "waves"
    assert "script_text" not in body
    assert (body["captions"], body["aspect"]) == ({"look": "karaoke"}, "1:1")
    assert body["music"]["uri"].startswith("s3://")
    expect(page.get_by_label("Music file")).to_have_accessible_description(re.compile("No sound."))
