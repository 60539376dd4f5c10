"""Every way to give a picture, and what is refused, with the reason beside its field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Response, expect

from tests.page.conftest import PageStack
from tests.page.panels import DRAWN, SwapTab, copy_picture
from tests.page.visitor import Visitor, press


def goes_to_the_bucket(response: Response) -> bool:
    """Whether it answers a form of POST /uploads."""
    return response.request.method == "POST" and "-uploads-" in response.url


def test_files_come_from_a_dialog_a_drop_or_the_clipboard(
    visit: Callable[..., Visitor], open_stack: PageStack, pictures: dict[str, Path]
) -> None:
    visitor = visit(open_stack, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open()
    tab = SwapTab(page)
    tab.meme.drop(pictures["works-on-my-machine"], "image/jpeg")
    tab.meme.expect_picture("works-on-my-machine.jpg")

    tab.face.file.set_input_files(pictures["ruby"])
    tab.face.expect_picture("ruby.png")
    tab.face.change.click()
    copy_picture(page, pictures["ivy"])
    page.keyboard.press("Control+V")
    expect(tab.face.change).to_be_visible()

    tab.expect_faces()
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()


def test_a_large_meme_goes_straight_to_the_bucket_and_survives_a_reload(
    guest: Visitor, pictures: dict[str, Path], tmp_path: Path
) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    poster = tmp_path / "poster.png"
    with Image.open(pictures["works-on-my-machine"]) as drawn:
        drawn.resize((1600, 1600)).save(poster)
    assert poster.stat().st_size > 1_000_000
    with page.expect_response(goes_to_the_bucket) as sent:
        tab.meme.file.set_input_files(poster)
    assert sent.value.ok
    tab.expect_faces()
    page.reload()
    tab.expect_faces()
    tab.meme.expect_picture("poster.png")
    tab.face.take("Ruby")
    tab.submit.click()
    tab.expect_result()
    expect(tab.result).to_contain_text("1600 \u00d7 1600")


def test_an_upload_that_fails_is_said_beside_the_meme_and_tried_again(guest: Visitor, tmp_path: Path) -> None:
    tab = SwapTab(guest.page)
    noise = tmp_path / "noise.png"
    Image.effect_noise((1200, 1200), 90).convert("RGB").save(noise)
    guest.network.cut("**/*-uploads-*")
    tab.meme.file.set_input_files(noise)
    tab.meme.expect_error("The file could not be uploaded.")
    with guest.page.expect_response(goes_to_the_bucket):
        guest.page.get_by_role("button", name="Try again").click()
    tab.meme.expect_no_error()


def test_a_file_is_chosen_by_keyboard_alone(guest: Visitor, pictures: dict[str, Path]) -> None:
    tab = SwapTab(guest.page)
    with guest.page.expect_file_chooser() as chooser:
        press(guest.page, tab.face.file)
    chooser.value.set_files(pictures["noor"])
    tab.face.expect_picture("noor.png")
    expect(tab.face.change).to_be_focused()


def test_the_camera_takes_a_face(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.face.camera.click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    video = dialog.get_by_label("What the camera sees")
    expect(video).to_have_js_property("videoWidth", 640)
    guest.inspect("swap-1-camera")
    dialog.get_by_role("button", name="Take the photo").click()
    tab.face.expect_picture("photo.jpg")
    expect(dialog).to_be_hidden()

    tab.meme.sample("It works on my machine").click()
    tab.expect_faces()
    tab.consent.select_option("own")
    tab.submit.click()
    tab.expect_result()


def test_without_a_camera_a_sentence_says_so_beside_the_face(guest: Visitor) -> None:
    guest.page.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none'))")
    tab = SwapTab(guest.open())
    tab.face.camera.click()
    tab.face.expect_error("There is no camera, or this page may not use it.")
    tab.meme.expect_no_error()


def test_a_file_of_another_kind_is_refused_beside_its_field(guest: Visitor, tmp_path: Path) -> None:
    document = tmp_path / "essay.pdf"
    document.write_bytes(b"%PDF-1.7")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    tab = SwapTab(guest.page)
    tab.face.drop(document, "application/pdf")
    tab.face.expect_error("essay.pdf is not a JPEG, PNG or WebP picture.")
    tab.meme.expect_no_error()
    tab.meme.drop(damaged, "image/png")
    tab.meme.expect_error("This browser cannot read the file. Save it as JPEG or PNG.")


def test_a_photograph_is_met_by_a_sentence_and_samples(guest: Visitor, tmp_path: Path) -> None:
    scene = tmp_path / "beach.jpg"
    Image.effect_noise((640, 480), 40).convert("RGB").save(scene)
    page, tab = guest.page, SwapTab(guest.page)
    expect(page.get_by_role("region", name="Models in use")).to_contain_text("recognise drawn faces only")
    tab.meme.file.set_input_files(scene)
    notice = page.get_by_text("The models in use recognise drawn faces only. Choose one of the sample memes")
    expect(notice).to_be_visible()
    guest.inspect("swap-2-photograph")
    page.get_by_text("About the models").click()
    expect(page.get_by_role("region", name="Models in use")).to_contain_text("make models ACCEPT=1")
    tab.meme.change.click()
    expect(tab.meme.sample("Deploy on Friday")).to_be_visible()
    tab.face.file.set_input_files(scene)
    tab.meme.sample("Deploy on Friday").click()
    tab.expect_faces()
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.face.expect_error("try one of the samples")
    expect(tab.face.error).not_to_contain_text("make models")
    tab.meme.expect_no_error()
    guest.inspect("swap-3-error")
