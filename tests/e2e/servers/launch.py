"""The program that runs one server as its child and prints its address when it answers; then it waits for its end.

Usage: launch.py PORT COMMAND...

It is started on a leash (cli/leash.py), which ends both when the tests are gone. Ready is whoever answers HTTP with
anything but 503, which says that the model is still being loaded.
"""

import http.client
import subprocess
import sys
import time

PATIENCE = 400.0
"""Seconds. vLLM takes 40 on two idle cores, and tests are not run on idle ones."""


def answers(port: int) -> bool:
    """Whether something answers, and is not loading."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status != 503
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Start, wait, print, wait."""
    port, command = int(sys.argv[1]), sys.argv[2:]
    # What it prints is for the log.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as server:
        late = time.monotonic() + PATIENCE
        while server.poll() is None and not answers(port):
            if time.monotonic() > late:
                server.kill()
                return 1
            time.sleep(0.1)
        if server.poll() is None:
            print(f"http://127.0.0.1:{port}", flush=True)
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
