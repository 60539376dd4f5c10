"""Which modules may import which, and what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = "layers.models.tools"
HEAVY = ("boto3", "botocore", "cv2", "requests", "urllib3", "idna", "aws_lambda_powertools", "pydantic")
BUILD = re.compile(r"^FROM \S+ AS build$(.*?)^FROM ", re.MULTILINE | re.DOTALL)
COPY = re.compile(r"^COPY ((?:layers|functions)/\S+) /opt/python/(\S+)$", re.MULTILINE)


def modules_under(folder: str) -> set[str]:
    """Names of the modules in a folder, at any depth."""
    return {module_name(path) for path in (ROOT / folder).rglob("*.py")}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def source_of(module: str) -> Path | None:
    """The file of one of our modules or packages; None for anything else."""
    path = ROOT / module.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def imports_of(module: str) -> Iterator[str]:
    """Our own modules that a module imports, early or late; not those that only type checkers see."""
    path = source_of(module)
    assert path is not None, module
    names: list[str] = []
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        nodes += ast.iter_child_nodes(node)
    for name in names:
        if name.partition(".")[0] in ("coldswap", "functions", "layers", "local", "tools") and source_of(name):
            yield name


def reachable(roots: Iterable[str]) -> set[str]:
    """These modules and all of ours that they import, directly or not, with the packages that hold them."""
    modules_reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in modules_reached:
            continue
        modules_reached.add(module)
        package = module.rpartition(".")[0]
        if package and source_of(package):
            waiting.append(package)
        waiting += imports_of(module)
    return modules_reached


def copied(function: str) -> set[Path]:
    """Our Python files in an image, by its Dockerfile."""
    build = BUILD.search((ROOT / "functions" / function / "Dockerfile").read_text())
    assert build is not None
    files: set[Path] = set()
    for source, target in COPY.findall(build[1]):
        assert source == target, "the path of a file is its import path in an image, too"
        path = ROOT / source
        files |= {path} if path.is_file() else set(path.rglob("*.py"))
    return files


def test_nothing_heavy_is_imported_by_the_basic_modules_or_by_who_chooses_a_backend() -> None:
    code = (
        "import sys, layers.core.storage, layers.core.http_fetch, layers.core.telemetry, layers.media.decode, "
        "layers.media.encode, layers.media.xmp_label, functions.swap.backends.whole_still; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_what_says_what_this_is_needs_nothing_heavy() -> None:
    code = "import sys, functions.swap.entry.welcome; print([each for each in sys.argv[1:] if each in sys.modules])"
    names = (*HEAVY, "numpy", "onnxruntime")
    process = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


ASK_FOR_MODELS = """
import os, sys
os.environ.update(
    AWS_LAMBDA_INITIALIZATION_TYPE="on-demand", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1769", AWS_REGION="eu-west-1",
    AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_ENDPOINT_URL="http://127.0.0.1:1",
    MODELS_BUCKET="m", UPLOADS_BUCKET="u", OUTPUTS_BUCKET="o",
)
from functions.swap import app
from layers.models.runtime.model_store import ModelStore

def look_up(store, deadline):
    print([name for name in sys.argv[1:] if name in sys.modules], len(sys.modules))

class Context:
    aws_request_id = "1"
    get_remaining_time_in_millis = lambda _: 9000

ModelStore.current_pack = look_up
event = {"requestContext": {"http": {"method": "POST"}}, "rawPath": "/swap", "headers": {}}
app._anticipate(event, Context())
app.load_services().models._lookup.exception(20)
"""


def test_a_cold_swap_asks_for_its_models_before_anything_heavy_is_imported() -> None:
    names = (*HEAVY, "numpy", "onnxruntime", "c2pa", "cryptography", "functions.swap.pipeline")
    process = subprocess.run(
        [sys.executable, "-c", ASK_FOR_MODELS, *names], capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    modules, number = process.stdout.rsplit(maxsplit=1)
    assert modules == "[]"
    assert int(number) <= 240, "modules of Python and of ours; it was 812"


CHECK_URLS = """
import sys
from contextlib import suppress
from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed
from layers.core.http_fetch import check_url, fetch

def look(url):
    with suppress(RefusedUrl, UpstreamFailed):
        check_url(url)
        fetch(url, limit=1, deadline=Deadline.after(1), resolve=lambda *_: ["10.0.0.1"])
    print([name for name in ("requests", "urllib3", "idna") if name in sys.modules])

look("http://pictures.example/")
look("https://pictures.example/")
look("https://b\u00fccher.example/")
sys.modules.pop("idna")
with suppress(UpstreamFailed):
    origin = "http://127.0.0.1:1"
    fetch(origin, limit=1, deadline=Deadline.after(5), trusted_origins=frozenset({origin}))
print([name for name in ("requests", "urllib3") if name in sys.modules])
"""


def test_what_speaks_http_is_imported_when_a_url_that_passed_is_asked_for() -> None:
    process = subprocess.run([sys.executable, "-c", CHECK_URLS], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["[]", "[]", "['idna']", "['requests', 'urllib3']"]


@pytest.mark.parametrize("function", ["swap", "video"])
def test_an_image_holds_every_module_that_its_function_imports(function: str) -> None:
    needed = {source_of(module) for module in reachable(modules_under(f"functions/{function}"))}
    assert needed - copied(function) == set()


@pytest.mark.parametrize(("function", "other"), [("swap", "video"), ("video", "swap")])
def test_a_function_never_imports_the_other(function: str, other: str) -> None:
    imported = reachable(modules_under(f"functions/{function}"))
    assert [module for module in imported if module.startswith(f"functions.{other}")] == []


@pytest.mark.parametrize(
    "folder", ["functions", "layers/core", "layers/engine", "layers/media", "layers/models/runtime"]
)
def test_what_runs_never_imports_the_tools_that_publish_models(folder: str) -> None:
    imported = reachable(modules_under(folder))
    assert [module for module in imported if module.startswith(TOOLS)] == []
    assert f"{TOOLS}.cli" in modules_under("layers/models"), "the tools are where this test looks for them"


def test_the_core_imports_no_other_layer() -> None:
    imported = reachable(modules_under("layers/core"))
    assert {module for module in imported if not module.startswith("layers.core")} == {"layers"}
