"""README, CONTRIBUTING, SECURITY and docs/ name only what exists, and link only to what is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, code, links, read

MOST_README_LINES = 110
MOST_COLUMNS = 120
RESULT_LINES = 15  # within which a reader knows what to type, and what comes out

FOLDERS = ("functions", "layers", "local", "tools", "tests", "coldswap", "docs", "examples", "requirements", ".ci")
SOURCES = ("py", "cpp", "inc", "h", "yaml", "toml", "md")  # a file of these is never only the product of a command
_PATH = re.compile(rf"(?<![\w./:-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*")
_FILE = re.compile(rf"(?<![\w./*-])[\w][\w.-]*\.(?:{'|'.join(SOURCES)})\b")
_MODULE = re.compile(rf"(?<![\w./])(?:{'|'.join(FOLDERS[:6])})(?:\.\w+)+(?![\w./(])")
_TARGET = re.compile(r"\bmake ((?:[a-z]|\.venv)[\w./-]*)")


def names(pattern: re.Pattern[str], text: str) -> set[str]:
    """What a pattern finds in the code of a page; comments in shell lines are prose."""
    lines = [re.sub(r"(?:^|\s)#\s.*", "", line) for line in code(text)]
    return {match.rstrip(".") for line in lines for match in pattern.findall(line)}


@cache
def targets() -> set[str]:
    """Everything that make can make."""
    return set(re.findall(r"^([.\w/-]+):", read(ROOT / "Makefile"), re.MULTILINE))


@cache
def file_names() -> set[str]:
    """The names of all files in the repository's folders, and beside them."""
    inner = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*")}
    return inner | {path.name for path in ROOT.iterdir()}


def is_module(name: str) -> bool:
    """Whether there is such a module or package."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def title(page: Path) -> str:
    """The page's name in the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    paths = names(_PATH, read(page))

    assert {path for path in paths if not list(ROOT.glob(path.rstrip("/")))} == set()


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    assert names(_FILE, read(page)) - file_names() == set()


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    assert {name for name in names(_MODULE, read(page)) if not is_module(name)} == set()


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    assert names(_TARGET, read(page)) - targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(read(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(read(target))):
            broken.append(link)

    assert broken == []


def test_the_readme_is_short_and_narrow() -> None:
    lines = read(ROOT / "README.md").splitlines()

    assert len(lines) <= MOST_README_LINES
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []


def test_the_readme_begins_with_a_result() -> None:
    beginning = "\n".join(read(ROOT / "README.md").splitlines()[:RESULT_LINES])

    assert "make demo" in beginning
    assert "out/memes.jpg" in beginning


def test_the_readme_maps_every_folder_of_code() -> None:
    mapped = names(_PATH, read(ROOT / "README.md"))
    functions = {f"functions/{path.name}/" for path in (ROOT / "functions").iterdir() if (path / "app.py").exists()}

    assert {*functions, "layers/", "tools/", "local/", "tests/", "docs/"} <= mapped


def test_notice_lists_each_package_under_the_images_that_have_it() -> None:
    def list_locked(function: str) -> set[str]:
        locks = (ROOT / "functions" / function).glob("requirements*.txt")
        return {name for lock in locks for name in re.findall(r"^([\w.-]+)==", read(lock), re.MULTILINE)}

    swap, video = list_locked("swap"), list_locked("video")
    parts = re.findall(r"^(\S.*)\n\n((?: {4}.*\n)+)", read(ROOT / "NOTICE"), re.MULTILINE)
    lists = {title: set(re.findall(r"^ {4}(\S+)", lines, re.MULTILINE)) for title, lines in parts}

    assert lists["In the images of both functions"] == swap & video
    assert lists["In the image of the swap function alone"] == swap - video
    assert lists["In the image of the video function alone"] == video - swap
