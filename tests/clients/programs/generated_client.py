"""Swaps with a client that was generated from the API's description; its arguments are two pictures."""

import base64
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import coldswap_client
from coldswap_client import AuthenticatedClient
from coldswap_client.api.results import delete_result, get_terms, list_results
from coldswap_client.api.swaps import get_swap, list_faces, swap_faces
from coldswap_client.models import FacesBody, ProblemResponse, SwapBody, SwapBodyFacesType0, SwapResponse


def data_uri(path: str) -> str:
    """The picture inside its URI."""
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def main() -> None:
    """Print what the client got, in its own types."""
    for module in pkgutil.walk_packages(coldswap_client.__path__, "coldswap_client."):
        importlib.import_module(module.name)
    client = AuthenticatedClient(base_url=os.environ["API"], token=os.environ["KEY"], raise_on_unexpected_status=True)
    meme, face = map(data_uri, sys.argv[1:3])
    terms = get_terms.sync(client=client)
    listing = list_faces.sync(client=client, body=FacesBody(meme=meme))
    result = swap_faces.sync(client=client, body=SwapBody(meme=meme, face=face, faces=SwapBodyFacesType0.LARGEST))
    assert isinstance(result, SwapResponse), result
    name = result.key.removeprefix("swaps/").partition(".")[0]
    answers = {
        "accepted": terms.accepted,
        "listed": len(listing.faces),
        "swapped": [each.swapped for each in result.faces],
        "url": result.url,
        "status": get_swap.sync(name, client=client).status,
        "first": list_results.sync(client=client, limit=1).items[0].id == name,
        "deleted": delete_result.sync(name, client=client).status,
    }
    problem = swap_faces.sync(client=client, body=SwapBody(meme="ftp://example.com/meme.jpg", face=face))
    assert isinstance(problem, ProblemResponse)
    print(json.dumps({**answers, "code": problem.code}))


main()
