import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.contract.credentials.calling import CLIENT, SECRET, IdentityProvider


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    """The OAuth2 server, with a certificate of a CA that nobody else knows."""
    folder = tmp_path_factory.mktemp("idp")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "cert.pem"))
    script = str(Path(__file__).parent / "oauth2_server.py")
    command = [sys.executable, script, str(folder / "cert.pem"), CLIENT, SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield IdentityProvider(int(child.stdout.readline()), str(folder / "ca.pem"))
        finally:
            child.kill()


@pytest.fixture
def idp(process: IdentityProvider) -> IdentityProvider:
    process.reset()
    return process
