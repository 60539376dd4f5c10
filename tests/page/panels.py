"""The page's tabs by what people read and hear there: roles and names, never classes or ids."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

DRAWN = "It is drawn, and nobody\u2019s"
WORK_MS = 60_000  # until work of the stack is done, on a busy machine
READY = "Look at the result"
LOADED = "picture => picture.tagName === 'CANVAS' || (picture.complete && picture.naturalWidth > 0)"


class Picker:
    """A place for one picture."""

    def __init__(self, page: Page, label: str) -> None:
        self.page, self.label = page, label
        self.root = page.get_by_role("group", name=label, exact=True)
        self.file = page.get_by_label(f"{label}: choose a file")
        self.camera = self._button("use the camera")
        self.address = self._button("use a web address")
        self.change = self._button("change the picture")
        self.error = self.root.get_by_role("alert")

    def sample(self, name: str) -> Locator:
        """The button of a sample."""
        return self._button(f"sample {name}")

    def take(self, sample: str) -> None:
        """Take a sample, by mouse, and wait until it is shown."""
        self.sample(sample).click()
        self.expect_picture(sample)

    def expect_error(self, sentence: str | re.Pattern[str]) -> None:
        """Wait until the sentence stands beside it."""
        expect(self.error).to_contain_text(sentence)

    def expect_no_error(self) -> None:
        """Check that nothing is wrong with it."""
        expect(self.error).to_be_hidden()

    def expect_picture(self, name: str) -> None:
        """Wait until it shows the picture of that name."""
        expect(self.root.get_by_role("img", name=f"{self.label}: {name}")).to_be_visible()

    def give_address(self, address: str) -> None:
        """Write a web address and use it."""
        self.address.click()
        self.write_address(address)

    def write_address(self, address: str) -> None:
        """Write a web address into the form that is open, and use it."""
        self.root.get_by_label("Address of the picture (https)").fill(address)
        self.root.get_by_role("button", name="Use it").click()

    def drop(self, file: Path, media_type: str) -> None:
        """Drop a file from the desktop."""
        self.root.dispatch_event("drop", {"dataTransfer": transfer_file(self.page, file, media_type)})

    def _button(self, what: str) -> Locator:
        return self.page.get_by_role("button", name=f"{self.label}: {what}", exact=True)


class SwapTab:
    """The four steps of a swap."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.meme = Picker(page, "Meme")
        self.face = Picker(page, "Face A")
        self.consent = page.get_by_label("Why may this face be used?")
        self.submit = page.get_by_role("button", name="Swap the faces")
        self.progress = page.get_by_role("progressbar", name="Progress")
        self.cancel = page.get_by_role("button", name="Cancel")
        self.result = page.get_by_role("region", name=re.compile(READY))
        self.download = self.result.get_by_role("button", name="Download")
        self.share = self.result.get_by_role("button", name="Share")
        self.delete = self.result.get_by_role("button", name="Delete")
        self.again = self.result.get_by_role("button", name="Swap again with another face")

    def person(self, number: int) -> Locator:
        """Who replaces this person, counted from 1."""
        return self.page.get_by_label(f"Person {number}", exact=True)

    def source(self, letter: str) -> Picker:
        """The place of a further face."""
        return Picker(self.page, f"Face {letter}")

    def choose_samples(self, meme: str = "It works on my machine", face: str = "Ruby") -> None:
        """Take both pictures from the samples, by mouse."""
        self.face.take(face)
        self.meme.sample(meme).click()
        self.expect_faces()

    def expect_faces(self) -> None:
        """Wait until the faces of the meme are listed."""
        expect(self.person(1)).to_be_visible(timeout=WORK_MS)

    def expect_result(self) -> None:
        """Wait until the result is shown, with its picture loaded."""
        expect(self.result).to_be_visible(timeout=WORK_MS)
        picture = self.result.get_by_role("img", name="Result").first
        expect(picture).to_be_visible()
        self.page.wait_for_function(LOADED, arg=picture.element_handle())

    def swap(self) -> None:
        """Swap one sample into another, by mouse, up to the result."""
        self.choose_samples()
        self.consent.select_option(DRAWN)
        self.submit.click()
        self.expect_result()


def show_tab(page: Page, name: str) -> None:
    """Choose a tab by mouse."""
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tabpanel", name=name)).to_be_visible()


def transfer_file(page: Page, file: Path, media_type: str) -> object:
    """A DataTransfer that holds the file, as a drop brings it."""
    return page.evaluate_handle(
        """([bytes, name, type]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], name, {type}));
            return transfer;
        }""",
        [list(file.read_bytes()), file.name, media_type],
    )


def copy_picture(page: Page, png: Path) -> None:
    """Put a picture on the clipboard, as another program would."""
    page.evaluate(
        """async bytes => navigator.clipboard.write(
            [new ClipboardItem({"image/png": new Blob([Uint8Array.from(bytes)], {type: "image/png"})})])""",
        list(png.read_bytes()),
    )


class ShortTab:
    """A short video: script or scenes, plan, progress and the video."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.get_by_role("tabpanel", name="Make a short")
        self.script = page.get_by_label("Script", exact=True)
        self.query = page.get_by_label("What the footage shows")
        self.make = page.get_by_role("button", name="Make the video")
        self.plan = page.get_by_role("button", name="Show the plan and its price")
        self.progress = self.panel.get_by_role("progressbar", name="Progress")
        self.result = page.get_by_role("region", name="Your video")
        self.video = self.result.get_by_label("Your video")
        self.delete = self.result.get_by_role("button", name="Delete")

    def error_of(self, field: Locator) -> Locator:
        """The sentence beside a field, as it is read out with it."""
        return self.page.locator(f"#{field.get_attribute('aria-describedby')}".replace(" ", ", #")).last

    def expect_video(self) -> None:
        """Wait until the video is shown, and can be played."""
        expect(self.result).to_be_visible(timeout=WORK_MS)
        expect(self.video).to_have_js_property("error", None)
        self.page.wait_for_function("() => document.querySelector('video.short').readyState > 0")
