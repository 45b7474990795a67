"""Lets schemathesis make requests out of the API's own description, for a while: `make fuzz`.

Against a house of its own that sends nothing and listens on this machine only. What it looks for: a 5xx, an answer that
is not as described, a way in without a credential.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ops.serve import HttpServer, listen
from tests.contract.test_bad_inputs import make_the_world
from tests.house import BOOTSTRAP_TOKEN, a_house, app_of, bearer
from web.server import build_flask

SECONDS = os.environ.get("FUZZ_SECONDS", "60")

# They wait for other servers, or for what happens next.
LEFT_OUT = "/test$|/test-send$|/api/events"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


def main(schemathesis: str) -> int:
    """Return schemathesis' own exit status."""
    with tempfile.TemporaryDirectory() as folder, a_house(Path(folder)) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        make_the_world(client)
        listening = listen("127.0.0.1", 0)
        server = HttpServer(build_flask(house), listening)
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/openapi.json"
            words = ["run", url, f"--header=Authorization: Bearer {BOOTSTRAP_TOKEN}"]
            words += [f"--max-time={SECONDS}", f"--checks={','.join(CHECKS)}"]
            words += [f"--exclude-path-regex={LEFT_OUT}", "--continue-on-failure", *sys.argv[2:]]
            return subprocess.run([schemathesis, *words], check=False).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
