"""`trunkline check` reads the files of certificates and keys, as `serve` would."""

import json
from pathlib import Path

import pytest
import trustme

from trunkline.cli.main import main

CA = trustme.CA()
CERTIFICATE = CA.issue_cert("127.0.0.1")


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRUNKLINE_API_KEY", raising=False)
    CA.cert_pem.write_to_path("ca.pem")
    CERTIFICATE.private_key_and_cert_chain_pem.write_to_path("both.pem")
    CERTIFICATE.private_key_pem.write_to_path("key.pem")
    Path("cert.pem").write_bytes(b"".join(blob.bytes() for blob in CERTIFICATE.cert_chain_pems))
    Path("text.pem").write_text("not a certificate")


def check(
    capsys: pytest.CaptureFixture[str], backend: str, server: str = "{port: 0}"
) -> tuple[int, list[str]]:
    """Exit code and errors."""
    Path("trunkline.yaml").write_text(f"backends:\n- {{name: up, {backend}}}\nserver: {server}\n")
    with pytest.raises(SystemExit) as caught:
        main(["check", "--json"])
    assert isinstance(caught.value.code, int)
    return caught.value.code, json.loads(capsys.readouterr().out)["errors"]


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (
            "url: 'https://h', ca_bundle_path: none.pem",
            "ca_bundle_path: there is no file none.pem",
        ),
        ("url: 'HTTPS://h', ca_bundle_path: text.pem", "backend up: ca_bundle_path text.pem: not a PEM file"),
        (
            "url: 'https://h', client_cert_path: cert.pem, client_key_path: none.pem",
            "client_key_path: there is no file none.pem",
        ),
        (
            "url: 'https://h', client_cert_path: text.pem, client_key_path: key.pem",
            "client_cert_path text.pem",
        ),
    ],
)
def test_files_of_a_backend(capsys: pytest.CaptureFixture[str], backend: str, says: str) -> None:
    code, errors = check(capsys, backend)
    assert code == 2
    assert len(errors) == 1
    assert says in errors[0]


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("{tls_cert_path: text.pem}", "tls_cert_path text.pem"),
        ("{tls_cert_path: cert.pem, tls_key_path: text.pem}", "tls_key_path text.pem"),
        ("{tls_cert_path: cert.pem}", "tls_cert_path cert.pem"),
    ],
)
def test_files_of_the_server(capsys: pytest.CaptureFixture[str], server: str, says: str) -> None:
    code, errors = check(capsys, "url: 'http://h'", server)
    assert code == 2
    assert len(errors) == 1
    assert says in errors[0]


@pytest.mark.parametrize(
    "server", ["{tls_cert_path: both.pem}", "{tls_cert_path: cert.pem, tls_key_path: key.pem}"]
)
def test_good_files(capsys: pytest.CaptureFixture[str], server: str) -> None:
    files = "ca_bundle_path: ca.pem, client_cert_path: cert.pem, client_key_path: key.pem"
    assert check(capsys, f"url: 'https://h', {files}", server) == (0, [])
