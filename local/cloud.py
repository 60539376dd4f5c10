"""The whole stack on this machine: an AWS emulator as a child process, with template.yaml deployed to it.

    with Cloud() as cloud:
        cloud.deploy()
        print(cloud.request("GET", "/openapi.json").json())

Everything listens on the loopback alone. The emulator, and every function that it runs, end with this process,
however it ends (see supervisor.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import requests

from layers.core.identity import ANONYMOUS, identity
from layers.core.pseudonyms import Pseudonyms
from layers.core.terms import VERSION, Terms
from local import template_rewrite
from tools.template import list_nested_templates, load_template

ROOT = Path(__file__).resolve().parent.parent
EMULATOR_PYTHON = ROOT / ".venv-cloud/bin/python"
STATE_FOLDER = ROOT / ".local/cloud"  # stacks and buckets that outlive a run
STACK = "coldswap"
LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "000000000000"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
CODE_BUCKET = "local-code"
TEMPLATE = "template.json"  # in the same bucket
ADDRESS = "endpoint"  # in a cloud's folder while it runs: where it listens
START_SECONDS = 60.0
REQUEST_SECONDS = 60.0


class CloudFailed(Exception):
    """The emulator did not start, or the deployment failed; the message has the end of its log, or says where it is."""


class Cloud:
    """A running local cloud; a context manager."""

    def __init__(
        self, keep: Path | None = None, port: int | None = None, host: str = LOOPBACK, secret: str | None = None
    ) -> None:
        """`keep` is a folder whose buckets outlive this run; without it everything is deleted afterwards.

        `host` is the address to listen on; an address other than the loopback's is for containers of this machine.
        `secret` replaces the well-known secret access key, so that nobody else can sign links to the buckets.
        """
        self.folder = keep or Path(tempfile.mkdtemp(prefix="coldswap-"))
        self._keep = keep is not None
        self._open = False  # whether anyone may call the API
        self.port = port or free_port()
        self._host = host
        self.endpoint = f"http://{host}:{self.port}"
        self.outputs: dict[str, str] = {}
        self.credentials = {**CREDENTIALS, **({"AWS_SECRET_ACCESS_KEY": secret} if secret else {})}
        self._lock: IO[bytes] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Cloud:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """The log file of the emulator and the functions."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the emulator and wait until it responds; raises CloudFailed."""
        self._claim()
        scratch = self.folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        supervisor = [
            sys.executable,
            str(Path(__file__).with_name("supervisor.py")),
            "-" if self._keep else str(self.folder),
        ]
        with self.log.open("wb") as log:
            self._supervisor = subprocess.Popen(
                [*supervisor, str(EMULATOR_PYTHON), "-m", "ministack.app"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(scratch),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _responds(f"{self.endpoint}/_ministack/health"):
            if self._supervisor.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                raise CloudFailed(f"The emulator did not start on port {self.port}:\n{tail}")
            time.sleep(0.05)
        (self.folder / ADDRESS).write_text(self.endpoint)

    def stop(self) -> None:
        """End the emulator and its functions, and wait until they are gone."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
            self._supervisor.wait()
            self._supervisor = None
        if self._lock is not None:
            (self.folder / ADDRESS).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def alive(self) -> bool:
        """Whether the emulator runs."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def _claim(self) -> None:
        """Lock the folder, and move away buckets that no stack belongs to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder)
        if self._lock is None:
            raise CloudFailed("Another local cloud uses these buckets (is make up running?). Stop it first.")
        buckets = self.folder / "s3"
        if buckets.exists() and not (self.folder / "state/cloudformation.json").exists():
            # The first run was interrupted before it saved which stack the buckets belong to.
            shutil.rmtree(self.folder / "s3-cut-off", ignore_errors=True)
            buckets.rename(self.folder / "s3-cut-off")

    def deploy(
        self,
        parameters: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        open_api: bool = False,
        bootstrap: bytes | None = None,
        stage: Mapping[str, str] | None = None,
    ) -> None:
        """Deploy template.yaml, or update the stack that a kept folder holds. Raises CloudFailed.

        `parameters` are the template's; `environment` is set for every function beside what the cloud itself needs,
        TRUSTED_ORIGINS for one; `open_api` is short for the parameter AuthMode=open. `bootstrap` is the zip that every
        function runs instead of its handler from the sources. `stage` replaces values in the mapping of stages, as an
        operator does by editing template.yaml.
        """
        s3 = self.client("s3")
        code = bootstrap or template_rewrite.build_bootstrap(ROOT, Path(sys.executable))
        # As `sam deploy` names it: an update finds other code only under another key.
        bucket, key = CODE_BUCKET, f"{hashlib.sha256(code).hexdigest()}.zip"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=key, Body=code)
        injected = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": REGION, **self.credentials, **(environment or {})}
        # Whoever starts a cloud of their own answers to themselves; no AWS account, and nobody else, is in it.
        self._open = open_api
        accepted = {"AcceptTerms": VERSION, **({"AuthMode": "open"} if open_api else {}), **(parameters or {})}
        place = f"{self.endpoint}/{bucket}"
        source = load_template(ROOT / "template.yaml")
        for each in source["Mappings"]["Stages"].values():
            each.update(stage or {})
        templates = {name: load_template(ROOT / name) for name in list_nested_templates(source).values()}
        templates[TEMPLATE] = template_rewrite.rewrite(source, ROOT, (bucket, key), injected, place)
        for name, template in templates.items():
            s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(template).encode())
        stack = self._change(f"{place}/{TEMPLATE}", accepted)
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        if reserved := int((stage or {}).get("ReservedConcurrency", 0)):
            # The emulator obeys it, but its CloudFormation does not set it.
            self.client("lambda").put_function_concurrency(
                FunctionName=self.outputs["SwapFunctionName"], ReservedConcurrentExecutions=reserved
            )
        self.accept_terms(self.caller())

    def has_stack(self) -> bool:
        """Whether the folder that is kept holds a stack already."""
        return self._describe_stack() is not None

    def _change(self, template_url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Create or update the stack; its description afterwards. Raises CloudFailed."""
        formation = self.client("cloudformation")
        change = formation.update_stack if self._describe_stack() else formation.create_stack
        change(
            StackName=STACK,
            # As `sam deploy` does: a template in the request itself may have no more than 51,200 characters.
            TemplateURL=template_url,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        while (stack := self._describe_stack() or {}).get("StackStatus", "").endswith("_IN_PROGRESS"):
            time.sleep(0.05)
        if stack.get("StackStatus") not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise CloudFailed(f"{stack.get('StackStatus')}: {self._failures()}; log: {self.log}")
        return stack

    def accept_terms(self, caller: str) -> None:
        """Accept the terms for a caller by its pseudonym; others accept for themselves by POST /terms."""
        Terms(self.state_table, lambda: self.client("dynamodb")).accept(caller, VERSION)

    def caller(self) -> str:
        """The pseudonym of the caller that `request` signs as."""
        if self._open:
            return ANONYMOUS
        signer = self.client("sts").get_caller_identity()
        principal = {"callerId": signer["UserId"], "userArn": signer["Arn"]}
        return self.pseudonym(identity({"requestContext": {"authorizer": {"iam": principal}}}, "iam"))

    def pseudonym(self, identity: str) -> str:
        """The pseudonym of an identity, such as key:NAME."""
        return Pseudonyms(self.state_table, lambda: self.client("dynamodb")).caller(identity)

    @property
    def state_table(self) -> str:
        """The table of tasks, terms, budgets and keys."""
        resource = self.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId="StateTable"
        )
        return str(resource["StackResourceDetail"]["PhysicalResourceId"])

    @property
    def api_url(self) -> str:
        """URL of the deployed HTTP API that needs no name resolution."""
        return f"{self.endpoint}/_aws/execute-api/{self.api_id}"

    @property
    def browser_url(self) -> str:
        """The same for a browser, which resolves any name under localhost; absolute paths work there."""
        return f"http://{self.api_id}.execute-api.localhost:{self.port}"

    @property
    def api_id(self) -> str:
        """The HTTP API's id."""
        return self.outputs["ApiUrl"].removeprefix("http://").split(".")[0]

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> requests.Response:
        """Send a request to the HTTP API, signed as AWS_IAM requires; with `key` it has that API key instead, and with
        the key "" neither. `body` is sent as JSON unless it is bytes. Redirects are not followed.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        signed = AWSRequest(method, self.api_url + path, {"Content-Type": "application/json", **(headers or {})}, data)
        if key is None:
            SigV4Auth(Credentials(*self.credentials.values()), "execute-api", REGION).add_auth(signed)
        elif key:
            signed.headers["x-api-key"] = key
        # Ignore this machine's proxies: everything stays on the loopback.
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                signed.url,
                data=data,
                headers=dict(signed.headers),
                timeout=REQUEST_SECONDS,
                allow_redirects=False,  # a presigned link has a signature of its own, and a second is refused
            )

    def force_cold_start(self, timeout: int | None = None) -> None:
        """Make the swap function's next invocation a cold start, as any change of its configuration does.

        `timeout` is the function's new time-out in seconds; by default it stays the same.
        """
        functions, name = self.client("lambda"), self.outputs["SwapFunctionName"]
        before = functions.get_function_configuration(FunctionName=name)["Timeout"]
        functions.update_function_configuration(FunctionName=name, Timeout=timeout or before)

    def bucket(self, name: str) -> str:
        """The bucket `models`, `uploads` or `outputs`."""
        return self.outputs[f"{name.capitalize()}BucketName"]

    def client(self, service: str) -> Any:
        """A boto3 client of the local cloud, whatever credentials this machine has otherwise."""
        if service not in self._clients:
            import boto3  # late: it takes a third of a second
            from botocore.config import Config

            self._clients[service] = boto3.session.Session(
                aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
                region_name=REGION,
            ).client(service, endpoint_url=self.endpoint, config=Config(proxies={}))
        return self._clients[service]

    def _describe_stack(self) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        except ClientError:
            return None
        return dict(stack)

    def _failures(self) -> str:
        events = self.client("cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)

    def _environment(self, scratch: Path) -> dict[str, str]:
        """Environment of the emulator, which functions inherit: none of this machine's AWS settings are in it."""
        keep = {"PERSIST_STATE": "1", "S3_PERSIST": "1"} if self._keep else {}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": self._host,
            "MINISTACK_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **self.credentials,  # the emulator's own: it recognises links that were signed elsewhere by them
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",  # AWS waits one minute and then two
            "SFN_WAIT_SCALE": "0.1",  # so do state machines between two attempts
            "LAMBDA_WARM_TTL_SECONDS": "600",
            # It would remove the containers of other emulators on a Docker that it finds, so it finds none.
            "DOCKER_HOST": f"unix://{self.folder}/none",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            **keep,
        }


def find_running(folder: Path) -> str | None:
    """The endpoint of the local cloud that uses this folder now; None if none does.

    Raises CloudFailed while it is starting or stopping.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    if lock is not None:
        lock.close()
        return None
    try:
        return (folder / ADDRESS).read_text()
    except FileNotFoundError:
        raise CloudFailed("The local cloud is starting or stopping. Try again in a moment.") from None


def _lock(folder: Path) -> IO[bytes] | None:
    """A file whose lock ends when it is closed; None if another cloud holds it."""
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def free_port() -> int:
    """Find a port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
