"""The check of commit messages, on repositories of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci/check-commits"
PERSON = {
    **{f"GIT_{role}_{field}": "nobody@example.com" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
BODY = "Because it is tested."


class Repository:
    """A git repository with the check in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str) -> None:
        """Run git here."""
        environment = {"PATH": os.environ["PATH"], **PERSON}
        subprocess.run(["git", *arguments], cwd=self.root, env=environment, capture_output=True, check=True)

    def commit(self, *paragraphs: str) -> None:
        """A commit of everything, with these paragraphs as its message."""
        self.git("add", "--all")
        self.git("commit", "--allow-empty", *(f"--message={each}" for each in paragraphs))

    def check(self, environment: Mapping[str, str] = PERSON) -> subprocess.CompletedProcess[str]:
        """Run the check that is in this repository."""
        command = [self.root / ".ci/check-commits"]
        path = {"PATH": os.environ["PATH"]}
        return subprocess.run(command, env={**path, **environment}, capture_output=True, text=True, check=False)


def install(root: Path) -> None:
    """Put the check where it belongs."""
    (root / ".ci").mkdir(parents=True)
    shutil.copy(SCRIPT, root / ".ci")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One whose history began before the check, without rules."""
    made = Repository(tmp_path / "here")
    made.root.mkdir()
    made.git("init", "--initial-branch=main")
    made.commit("A poem without an area")
    install(made.root)
    made.commit("Add a check that is younger than its own commit")
    return made


def test_commits_before_the_check_are_not_checked(repository: Repository) -> None:
    checked = repository.check()

    assert (checked.returncode, checked.stdout) == (0, "Commit messages: 0 checked.\n")


@pytest.mark.parametrize(
    "subject",
    ["docs: say it", "swap: take c:1", "layers/core: do it", "demo pack: draw it", "tests: x" + "y" * 64],
)
def test_a_subject_with_area_and_verb_and_a_body_passes(repository: Repository, subject: str) -> None:
    repository.commit(subject, BODY)

    checked = repository.check()

    assert (checked.returncode, checked.stdout) == (0, "Commit messages: 1 checked.\n")


@pytest.mark.parametrize(
    ("paragraphs", "mistake"),
    [
        (["Say it", BODY], "area: verb what"),
        (["Docs: say it", BODY], "area: verb what"),
        (["docs: Say it", BODY], "area: verb what"),
        (["docs:say it", BODY], "area: verb what"),
        (["docs", BODY], "area: verb what"),
        (["tests: x" + "y" * 65, BODY], "73 columns"),
        (["docs: say it"], "body is empty"),
        (["docs: say it", "Signed-off-by: Nobody <nobody@example.com>"], "body is empty"),
    ],
)
def test_a_message_that_breaks_a_rule_is_named(repository: Repository, paragraphs: list[str], mistake: str) -> None:
    repository.commit("docs: begin", BODY)
    repository.commit(*paragraphs)

    checked = repository.check()

    assert checked.returncode == 1
    assert paragraphs[0] in checked.stderr
    assert mistake in checked.stderr
    assert "docs: begin" not in checked.stderr


def diverge(repository: Repository) -> None:
    """Two branches, each with a commit that follows the rules; main is checked out."""
    repository.git("switch", "--create", "other")
    repository.commit("docs: say it there", BODY)
    repository.git("switch", "main")
    repository.commit("docs: say it here", BODY)


def test_a_merge_with_gits_own_subject_is_refused(repository: Repository) -> None:
    diverge(repository)
    repository.git("merge", "--no-ff", "--no-edit", "other")

    checked = repository.check()

    assert checked.returncode == 1
    assert "Merge branch 'other'" in checked.stderr


def test_a_merge_that_says_what_it_brings_passes(repository: Repository) -> None:
    diverge(repository)
    repository.git("merge", "--no-ff", "--message=merge: bring what is said there", f"--message={BODY}", "other")

    assert repository.check().stdout == "Commit messages: 3 checked.\n"


def test_a_branch_older_than_the_check_is_checked_once_it_is_merged(repository: Repository) -> None:
    repository.git("switch", "--create", "older", "main~1")
    repository.commit("A poem of a branch", BODY)
    repository.git("switch", "main")
    repository.git("merge", "--no-ff", "--message=merge: bring a poem", f"--message={BODY}", "older")

    checked = repository.check()

    assert checked.returncode == 1
    assert "A poem of a branch" in checked.stderr


def test_a_shallow_clone_passes_and_says_so(repository: Repository) -> None:
    repository.commit("A poem", BODY)
    shallow = Repository(repository.root.with_name("shallow"))
    repository.git("clone", "--depth=1", f"file://{repository.root}", str(shallow.root))

    checked = shallow.check()

    assert (checked.returncode, checked.stdout) == (0, "Commit messages are not checked: the clone is shallow.\n")


def test_a_copy_without_git_passes_and_says_so(tmp_path: Path) -> None:
    install(tmp_path)

    checked = Repository(tmp_path).check({**PERSON, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})

    assert checked.returncode == 0
    assert "not checked" in checked.stdout
