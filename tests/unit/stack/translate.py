"""SAM's translator on a template: `.venv-cloud/bin/python translate.py REGION`, JSON in, JSON out.

In comes `{"template": …, "parameters": {NAME: {PARAMETER: VALUE}}}`, out `{NAME: template as CloudFormation gets it}`.
"""

from __future__ import annotations

import copy
import json
import sys

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def main() -> None:
    """Asks nobody: the credentials are there because a session wants some."""
    session = boto3.session.Session(region_name=sys.argv[1], aws_access_key_id="none", aws_secret_access_key="none")
    request = json.load(sys.stdin)
    translated = {
        name: Translator({}, Parser(), boto_session=session).translate(copy.deepcopy(request["template"]), parameters)
        for name, parameters in request["parameters"].items()
    }
    json.dump(translated, sys.stdout)


if __name__ == "__main__":
    main()
