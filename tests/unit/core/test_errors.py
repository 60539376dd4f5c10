"""The family of errors."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path

from layers.core import errors
from layers.core.errors import ColdswapError, NoFaceInMeme, VideoError, family, problem

ROOT = Path(__file__).resolve().parents[3]


def draw(error_class: type[ColdswapError], indent: str = "") -> list[str]:
    """The lines of the tree under a class, as the module's docstring has them."""
    lines: list[str] = []
    children = error_class.__subclasses__()
    for child in children:
        is_last = child is children[-1]
        name = f"{indent}{'└── ' if is_last else '├── '}{child.__name__}"
        lines.append(name if child.__subclasses__() else f"{name:<32}{child.status}  {child.code}")
        lines += draw(child, indent + ("    " if is_last else "│   "))
    return lines


def test_the_docstring_draws_the_tree_that_the_code_has() -> None:
    tree = ["ColdswapError", *draw(ColdswapError)]
    documented = [line.removeprefix("    ") for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    assert documented == tree


def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    kinds = set(family().values()) - {ColdswapError, VideoError}
    codes = Counter(kind.code for kind in kinds)
    assert codes.most_common(1)[0][1] == 1
    assert all(400 <= kind.status < 600 and kind.title and kind.__doc__ for kind in kinds)
    assert all(name == kind.__name__ for name, kind in family().items())


def details_in_code(path: Path) -> list[str]:
    """The sentences, or their parts, with which the module makes errors of the family."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    raised = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in family()]
    constants = [node for call in raised for node in ast.walk(call) if isinstance(node, ast.Constant)]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_a_detail_has_no_markup_because_people_read_it_as_it_is() -> None:
    modules = [path for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")]
    details = [detail for path in modules for detail in details_in_code(path)]

    assert len(details) > 100
    assert [detail for detail in details if "`" in detail] == []


def test_a_problem_is_as_rfc_9457_has_it_and_extras_never_replace_it() -> None:
    document = problem(NoFaceInMeme("Look closer.", picture="meme", code="mine", status=1), instance="/swap/1")
    assert document == {
        "type": "urn:coldswap:problem:no_face_in_meme",
        "title": NoFaceInMeme.title,
        "status": 422,
        "detail": "Look closer.",
        "code": "no_face_in_meme",
        "retryable": False,
        "instance": "/swap/1",
        "picture": "meme",
    }
    json.dumps(document)
