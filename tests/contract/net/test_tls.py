import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from trunkline import errors
from trunkline.errors import ConfigError
from trunkline.net.tls import client_context, server_context, tls_fault
from trunkline.routing.backend import BackendSettings

CA = trustme.CA()
LEAF = CA.issue_cert("h.example")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    LEAF.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    LEAF.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    LEAF.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    CA.issue_cert("other.example").private_key_pem.write_to_path(str(tmp_path / "other_key.pem"))
    key = serialization.load_pem_private_key(LEAF.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass"),
    )
    (tmp_path / "encrypted_key.pem").write_bytes(encrypted)
    (tmp_path / "text.pem").write_text("no certificate in here")
    (tmp_path / "empty.pem").touch()
    return tmp_path


def backend(
    *,
    ssl_verify: bool = True,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> BackendSettings:
    return BackendSettings(
        name="b",
        url="https://h.example",
        ssl_verify=ssl_verify,
        ca_bundle_path=ca and str(ca),
        client_cert_path=cert and str(cert),
        client_key_path=key and str(key),
    )


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "h.example") -> ssl.SSLObject:
    """Let two contexts meet in memory; give the client's side."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(down, up, server_hostname=host),
        server.wrap_bio(up, down, server_side=True),
    ]
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert sides[0].version() is not None
    return sides[0]


def test_a_client_verifies_with_the_systems_trust_store_by_default() -> None:
    context = client_context(backend())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    # Loaded at once or found by OpenSSL when needed: whichever, none of ours is in it.
    system = ssl.create_default_context().get_ca_certs()
    assert context.get_ca_certs() == system


def test_a_ca_bundle_replaces_the_systems_trust_store(files: Path) -> None:
    context = client_context(backend(ca=files / "ca.pem"))
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert shake_hands(context, server_context(str(files / "both.pem"), None)).version() == "TLSv1.3"


def test_the_servers_own_certificate_will_do_as_bundle(files: Path) -> None:
    context = client_context(backend(ca=files / "cert.pem"))
    assert shake_hands(context, server_context(str(files / "cert.pem"), str(files / "key.pem"))).version()


def test_both_sides_agree_on_http_1_1(files: Path) -> None:
    client = client_context(backend(ca=files / "ca.pem"))
    server = server_context(str(files / "both.pem"), None)
    assert shake_hands(client, server).selected_alpn_protocol() == "http/1.1"


def test_nothing_older_than_tls_1_2_is_spoken(files: Path) -> None:
    server = server_context(str(files / "both.pem"), None)
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(client_context(backend(ca=files / "ca.pem")), server).version() == "TLSv1.2"


def test_verification_off_wins_over_the_bundle(files: Path) -> None:
    context = client_context(backend(ssl_verify=False, ca=files / "missing.pem"))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert shake_hands(context, server_context(str(files / "both.pem"), None), host="other.example").version()


@pytest.mark.parametrize(("cert", "key"), [("both.pem", None), ("cert.pem", "key.pem")])
def test_a_client_certificate_is_shown(files: Path, cert: str, key: str | None) -> None:
    server = server_context(str(files / "both.pem"), None)
    server.verify_mode = ssl.CERT_REQUIRED
    ca: Any = CA  # its signatures name a pyOpenSSL type that is not installed
    ca.configure_trust(server)
    settings = backend(ca=files / "ca.pem", cert=files / cert, key=files / key if key else None)
    assert shake_hands(client_context(settings), server).version()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.pem", "cannot be read (No such file or directory)"),
        ("text.pem", "not a PEM file of certificates"),
        ("empty.pem", "not a PEM file of certificates"),
        ("key.pem", "not a PEM file of certificates"),
        (".", "ca_bundle_path"),
    ],
)
def test_an_unusable_bundle_is_an_error_that_names_it(files: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client_context(backend(ca=files / name))
    assert str(caught.value).startswith(f"ca_bundle_path {files / name}: ")
    assert words in str(caught.value)


CHAINS = [
    ("missing.pem", None, "_cert_path", "missing.pem: cannot be read"),
    ("cert.pem", "missing.pem", "_key_path", "missing.pem: cannot be read"),
    ("cert.pem", None, "_cert_path", "unencrypted key"),
    ("text.pem", "key.pem", "_cert_path", "text.pem with"),
    ("cert.pem", "other_key.pem", "_cert_path", "key values mismatch"),
    ("cert.pem", "encrypted_key.pem", "_cert_path", "unencrypted key"),
]


@pytest.mark.parametrize(("cert", "key", "setting", "words"), CHAINS)
def test_an_unusable_client_certificate_is_an_error_that_names_it(
    files: Path, cert: str, key: str | None, setting: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        client_context(backend(cert=files / cert, key=files / key if key else None))
    assert str(caught.value).startswith(f"client{setting} {files}")
    assert words in str(caught.value)


@pytest.mark.parametrize(("cert", "key", "setting", "words"), CHAINS)
def test_an_unusable_server_certificate_is_an_error_that_names_it(
    files: Path, cert: str, key: str | None, setting: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        server_context(str(files / cert), str(files / key) if key else None)
    assert str(caught.value).startswith(f"tls{setting} {files}")
    assert words in str(caught.value)


def test_a_key_without_its_certificate_is_an_error(files: Path) -> None:
    with pytest.raises(ConfigError, match="client_key_path needs client_cert_path"):
        client_context(backend(key=files / "key.pem"))


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "text of no use")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (alert("WRONG_VERSION_NUMBER"), ["wrong version number", "http://"]),
        (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), ["wants a client certificate: set `client_cert_path`"]),
        (alert("SSLV3_ALERT_HANDSHAKE_FAILURE"), ["may want a client certificate"]),
        (alert("TLSV1_ALERT_UNKNOWN_CA"), ["does not trust the client certificate"]),
        (alert("TLSV1_ALERT_PROTOCOL_VERSION"), ["TLS 1.2"]),
        (alert("NEW_REASON"), ["new reason", "check that `url` names a TLS server"]),
        (ssl.SSLEOFError(8, "EOF"), ["closed the connection", "http://"]),
        (ConnectionResetError(), ["closed the connection"]),
    ],
)
def test_a_tls_error_says_what_it_means(error: OSError, words: list[str]) -> None:
    fault = tls_fault("h:443", error)
    assert fault.kind is errors.TLS
    assert fault.message.startswith("TLS handshake with h:443 failed: ")
    assert all(word in fault.message for word in words)
