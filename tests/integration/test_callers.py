"""What each caller gets when all goes well, from the deployed stack."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import uuid
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote_plus, urlsplit

import cv2
import numpy as np
import pytest
import requests

from layers.media.decode import decode
from layers.media.encode import encode
from layers.media.xmp_label import SOURCE_TYPE, read_label
from local.swap_clients import data_uri, download, upload_form, wait_for
from tests.integration.conftest import Origin
from tests.support.fault_proxy import ProxyFault
from tests.support.pixels import read_pixels
from tests.support.swap_client import SwapClient
from tests.unit.swap.entry_clients import encode_form

CALLERS = ("http", "upload", "workflow")
MEME = "works-on-my-machine"


@pytest.mark.parametrize("caller", CALLERS)
def test_the_face_changes_and_nothing_else(stack: SwapClient, pictures: dict[str, Path], caller: str) -> None:
    meme = pictures[MEME].read_bytes()

    outcome = stack.swap(caller, meme, stack.upload(pictures["ruby"].read_bytes()))

    assert outcome.result, outcome
    (face,) = outcome.result["faces"]
    assert face["swapped"]
    # One loss is inevitable: that of a JPEG that is encoded again at its own quality.
    as_it_was = read_pixels(encode(decode(meme, len(meme), 1_000_000), "jpeg", None))
    assert np.abs(as_it_was - read_pixels(meme)).mean() < 0.5  # levels
    difference = np.abs(read_pixels(outcome.picture) - as_it_was).max(axis=2)
    x0, y0, x1, y1 = (round(each) for each in face["box"])
    around = difference.copy()
    margin = (x1 - x0) // 2
    around[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin] = 0
    assert difference[y0:y1, x0:x1].mean() > 5
    assert not around.any()
    assert read_label(outcome.picture) == SOURCE_TYPE
    assert outcome.result["models"]["pack"] == "demo"
    assert 50 < outcome.result["peak_memory_mb"] < 1024
    assert {"detect", "swap", "paste"} <= outcome.result["timings_ms"].keys()


@pytest.mark.parametrize("caller", CALLERS)
def test_the_default_face_serves_who_names_none(stack: SwapClient, pictures: dict[str, Path], caller: str) -> None:
    bare = stack.swap(caller, pictures[MEME].read_bytes())
    named = stack.swap(caller, pictures[MEME].read_bytes(), stack.upload(pictures["ivy"].read_bytes()))

    assert bare.result, bare
    assert np.array_equal(read_pixels(bare.picture), read_pixels(named.picture))


def test_files_go_in_and_a_picture_comes_out(stack: SwapClient, pictures: dict[str, Path]) -> None:
    files = [(name, pictures[each].read_bytes()) for name, each in (("meme", MEME), ("face", "ruby"))]
    body, content_type = encode_form(*((name, (f"{name}.jpg", content)) for name, content in files), ("faces", "0"))

    response = stack.cloud.request("POST", "/swap", body, {"Content-Type": content_type, "Accept": "image/*"})
    in_json = stack.cloud.request(
        "POST", "/swap", {"meme": data_uri(pictures[MEME]), "face": data_uri(pictures["ruby"])}
    )

    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg"), response.text
    assert read_label(response.content) == SOURCE_TYPE
    assert np.array_equal(read_pixels(response.content), read_pixels(download(in_json.json()["url"])))
    again = stack.cloud.request("GET", response.headers["Content-Location"], headers={"Accept": "image/*"})
    assert again.content == response.content
    assert stack.cloud.request("GET", "/").json()["name"] == "Coldswap"


def test_pictures_come_in_the_request_by_https_and_from_s3(
    stack: SwapClient, pictures: dict[str, Path], origin: Origin
) -> None:
    meme = pictures[MEME]
    faces = (data_uri(pictures["ruby"]), f"{origin.url}/ruby.png", stack.upload(pictures["ruby"].read_bytes()))

    responses = [stack.cloud.request("POST", "/swap", {"meme": data_uri(meme), "face": face}) for face in faces]

    assert [response.status_code for response in responses] == [200, 200, 200]
    results = [read_pixels(download(response.json()["url"])) for response in responses]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[1], results[2])
    timings = responses[0].json()["timings_ms"]
    assert re.match(r"\w+;dur=[\d.]+(, \w+;dur=[\d.]+)*$", responses[0].headers["Server-Timing"])
    assert len(responses[0].headers["Server-Timing"].split(", ")) == len(timings)


def test_a_large_picture_goes_through_the_form(stack: SwapClient, pictures: dict[str, Path]) -> None:
    uri = upload_form(stack.cloud, pictures[MEME])

    response = stack.cloud.request("POST", "/swap", {"meme": uri, "faces": "largest", "format": "png"})

    assert response.status_code == 200
    assert response.json()["content_type"] == "image/png"


def test_a_result_is_there_until_it_is_deleted(stack: SwapClient, pictures: dict[str, Path]) -> None:
    result = stack.cloud.request("POST", "/swap", {"meme": data_uri(pictures[MEME]), "consent": "a drawing"}).json()
    name = PurePosixPath(result["key"]).stem
    assert requests.get(result["url"], timeout=60).status_code == 200

    assert stack.cloud.request("DELETE", f"/results/{name}").status_code == 200

    assert requests.get(result["url"], timeout=60).status_code == 404
    assert stack.cloud.request("DELETE", f"/results/{name}").json()["code"] == "deleted"
    assert stack.cloud.request("GET", f"/swap/{name}").status_code == 410


def test_the_form_takes_no_more_than_its_limit(stack: SwapClient) -> None:
    form = stack.cloud.request("POST", "/uploads").json()

    nothing = requests.post(form["url"], data=form["fields"], files={"file": b""}, timeout=60)

    (limits,) = [each for each in read_policy(form)["conditions"] if each[0] == "content-length-range"]
    assert limits == ["content-length-range", 1, 200 << 20], "of a meme that moves"
    assert (nothing.status_code, "EntityTooSmall" in nothing.text) == (400, True), nothing.text


def read_policy(form: dict[str, Any]) -> dict[str, Any]:
    """What S3 asks of an upload by that form."""
    policy: dict[str, Any] = json.loads(base64.b64decode(form["fields"]["policy"]))
    return {**policy, "conditions": [each for each in policy["conditions"] if isinstance(each, list)]}


def test_who_does_not_sign_is_turned_away(stack: SwapClient) -> None:
    response = requests.post(f"{stack.cloud.api_url}/swap", json={}, timeout=60)

    assert response.status_code == 403


def test_nothing_is_made_for_who_has_not_accepted_the_terms(stack: SwapClient, pictures: dict[str, Path]) -> None:
    record = {"TableName": stack.cloud.state_table, "Key": {"id": {"S": f"terms#{stack.cloud.caller()}"}}}
    assert "Item" in stack.cloud.client("dynamodb").get_item(**record)
    stack.cloud.client("dynamodb").delete_item(**record)
    stack.cloud.force_cold_start()  # a sandbox remembers who has accepted

    swap_response = stack.cloud.request("POST", "/swap", {"meme": data_uri(pictures[MEME])})
    upload_response = stack.cloud.request("POST", "/uploads")
    terms = stack.cloud.request("GET", "/terms").json()
    terms_response = stack.cloud.request("POST", "/terms", {"version": terms["version"]})

    assert (swap_response.status_code, swap_response.json()["code"]) == (403, "terms_not_accepted")
    assert (upload_response.status_code, upload_response.json()["code"]) == (403, "terms_not_accepted")
    assert not terms["accepted"]
    assert terms_response.json()["accepted"]
    assert stack.cloud.request("POST", "/uploads").status_code == 201


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_no_page_of_another_origin_is_let_in(stack: SwapClient, method: str) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}

    response = stack.cloud.request(method, "/openapi.json", headers=headers)

    assert [name for name in response.headers if name.lower().startswith("access-control-")] == []


def test_the_api_describes_itself(stack: SwapClient) -> None:
    document = stack.cloud.request("GET", "/openapi.json").json()
    docs = stack.cloud.request("GET", "/docs")

    assert document["openapi"].startswith("3.")
    assert {"/swap", "/results/{name}", "/generate-video"} <= document["paths"].keys()
    assert document["security"] == [{"signature": []}]
    assert docs.headers["Content-Type"].startswith("text/html")
    assert "swagger" in docs.text.lower()


def test_an_unknown_path_is_a_problem_like_any_other(stack: SwapClient) -> None:
    response = stack.cloud.request("GET", "/nothing/here")

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_the_same_key_gives_the_stored_result(stack: SwapClient, pictures: dict[str, Path]) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    request = {"meme": stack.upload(pictures[MEME].read_bytes())}

    first = stack.cloud.request("POST", "/swap", request, key)
    again = stack.cloud.request("POST", "/swap", request, key)
    other = stack.cloud.request("POST", "/swap", {**request, "quality": 50}, key)

    assert first.status_code == again.status_code == 200
    assert {**first.json(), "url": ""} == {**again.json(), "url": ""}
    assert download(again.json()["url"]) == download(first.json()["url"])
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_conflict"


def test_the_same_key_while_it_is_still_running(stack: SwapClient, pictures: dict[str, Path]) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    meme = stack.upload(pictures[MEME].read_bytes())
    responses = []

    with stack.fault_proxy.fault(ProxyFault("GET", urlsplit(meme).path, hold=60)) as fault:
        first = threading.Thread(
            target=lambda: responses.append(stack.cloud.request("POST", "/swap", {"meme": meme}, key))
        )
        first.start()
        assert fault.reached.wait(60)
        second = stack.cloud.request("POST", "/swap", {"meme": meme}, key)
        fault.release()
        first.join()

    assert second.status_code == 409
    assert second.json()["code"] == "still_running"
    assert responses[0].status_code == 200


def test_who_does_not_wait_is_told_where_to_look(stack: SwapClient, pictures: dict[str, Path]) -> None:
    request = {"meme": data_uri(pictures[MEME]), "face": data_uri(pictures["ruby"])}

    response = stack.cloud.request("POST", "/swap", request, {"Prefer": "respond-async"})
    location = response.headers["Location"]

    assert response.status_code == 202
    assert location == f"/swap/{response.json()['id']}"
    job = wait_for(lambda: _finished_job(stack, location))
    assert job["status"] == "succeeded"
    assert download(job["result"]["url"]) == stack.read_output(job["result"]["key"])
    results = stack.cloud.request("GET", "/results?limit=1").json()
    (item,) = results["items"]
    assert (item["id"], item["kind"], item["status"]) == (response.json()["id"], "swap", "succeeded")
    assert item["links"] == {"self": location, "delete": f"/results/{item['id']}"}


def test_what_fails_behind_the_caller_s_back_is_told_as_a_problem(stack: SwapClient) -> None:
    blank = bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1])

    response = stack.cloud.request("POST", "/swap", {"meme": stack.upload(blank)}, {"Prefer": "respond-async"})
    job = wait_for(lambda: _finished_job(stack, response.headers["Location"]))

    assert job["status"] == "failed"
    assert job["problem"]["code"] == "no_face_in_meme"
    assert "drawn faces only" in job["problem"]["detail"]
    assert "Traceback" not in json.dumps(job)


def test_a_swap_that_nobody_asked_for_is_not_found(stack: SwapClient) -> None:
    response = stack.cloud.request("GET", f"/swap/{uuid.uuid4()}")

    assert response.status_code == 404


def test_a_second_delivery_changes_nothing(stack: SwapClient, pictures: dict[str, Path]) -> None:
    name = f"a b+ü {uuid.uuid4()}.jpg"
    s3, uploads = stack.cloud.client("s3"), stack.cloud.bucket("uploads")
    tag = s3.put_object(Bucket=uploads, Key=f"memes/{name}", Body=pictures[MEME].read_bytes())["ETag"].strip('"')
    wait_for(lambda: stack.read_output(f"swapped/{name}.json"))
    quoted = quote_plus(name)
    event = {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": uploads},
                    "object": {"key": f"memes/{quoted}", "eTag": tag, "sequencer": "0A1B"},
                },
            }
        ]
    }

    def deliver() -> tuple[bytes, bytes | None, bytes | None]:
        response = stack.cloud.client("lambda").invoke(
            FunctionName=stack.cloud.outputs["SwapFunctionName"], Payload=json.dumps(event)
        )
        assert "FunctionError" not in response
        return (
            response["Payload"].read(),
            stack.read_output(f"swapped/{name}"),
            stack.read_output(f"swapped/{name}.json"),
        )

    first, second = deliver(), deliver()

    assert first == second
    assert first[1] is not None


def test_the_later_of_two_uploads_of_one_name_has_the_result(stack: SwapClient, pictures: dict[str, Path]) -> None:
    name = f"{uuid.uuid4()}.jpg"
    s3, uploads, outputs = stack.cloud.client("s3"), stack.cloud.bucket("uploads"), stack.cloud.bucket("outputs")
    older, newer = pictures["on-mute"].read_bytes(), pictures[MEME].read_bytes()

    with stack.fault_proxy.fault(ProxyFault("PUT", f"/{outputs}/swapped/{name}", hold=60, times=1)) as fault:
        s3.put_object(Bucket=uploads, Key=f"memes/{name}", Body=older)
        assert fault.reached.wait(60)
        tag = s3.put_object(Bucket=uploads, Key=f"memes/{name}", Body=newer)["ETag"].strip('"')
        fault.release()

    def newer_result() -> dict[str, Any] | None:
        result = json.loads(stack.read_output(f"swapped/{name}.json") or b"{}")
        return result if result.get("upload_etag") == tag else None

    assert wait_for(newer_result)["digests"]["meme"] == hashlib.sha256(newer).hexdigest()
    assert stack.read_output(f"failed/{name}.json") is None


def _finished_job(stack: SwapClient, location: str) -> dict[str, Any] | None:
    response = stack.cloud.request("GET", location)
    assert response.status_code == 200
    job: dict[str, Any] = response.json()
    return None if job["status"] in ("queued", "running") else job


def test_faces_are_listed_by_the_numbers_at_which_each_gets_a_source_of_its_own(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    meme = data_uri(pictures["on-mute"])
    listing = stack.cloud.request("POST", "/faces", {"meme": meme})
    assert listing.status_code == 200, listing.text
    faces = listing.json()["faces"]
    first, *_, last = (face["index"] for face in faces if face["swappable"])
    ruby, ivy, noor = (pictures[name] for name in ("ruby", "ivy", "noor"))

    choices = [
        {"index": first, "face": data_uri(ruby)},
        {"index": last, "face": [data_uri(ivy), data_uri(noor)]},
    ]
    result = stack.cloud.request("POST", "/swap", {"meme": meme, "faces": choices, "detail": "fast"}).json()

    assert [face["box"] for face in result["faces"]] == [face["box"] for face in faces]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (ruby, ivy, noor)]
    assert {face["index"]: face["source"] for face in result["faces"] if face["swapped"]} == {
        first: digests[0],
        last: digests[1:],
    }
    assert result["detail"] == "fast"
    assert [
        note for note in result["notes"] if f"face[0] and face[1] for face {last} may show different people" in note
    ]
