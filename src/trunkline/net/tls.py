"""TLS: contexts made from settings, and what a failed handshake means.

Owns the two kinds of SSLContext and the words for TLS errors. Does not own handshakes
(net/connector.py, net/http1_server.py). A context costs milliseconds and reads files: make one per
backend at start, not one per connection.
"""

import ssl
from pathlib import Path

from trunkline import errors
from trunkline.errors import ConfigError, Fault
from trunkline.routing.backend import BackendSettings

_ALPN = ["http/1.1"]

# X509_V_ERR_* of openssl/x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_UNTRUSTED = (2, 18, 19, 20, 21)

_CERTIFICATE_HINTS = {
    _NOT_YET_VALID: "check the clock of this machine",
    _EXPIRED: "the server needs a new certificate (or check the clock of this machine)",
    _WRONG_HOST: "use a host name in `url` that the certificate is made for",
    _WRONG_ADDRESS: "use a host name in `url` that the certificate is made for",
    **dict.fromkeys(
        _UNTRUSTED,
        "set `ca_bundle_path` to the PEM file of the CA that signed it (the system's trust store does not know it)",
    ),
}
# Parts of OpenSSL's reason codes; the prefixes differ between its versions.
_REASON_HINTS = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port: use http:// in `url` or another port",
    "RECORD_LAYER_FAILURE": "the server does not speak TLS on this port: use http:// in `url` or another port",
    "CERTIFICATE_REQUIRED": "the server wants a client certificate: set `client_cert_path` and `client_key_path`",
    "HANDSHAKE_FAILURE": "the server may want a client certificate: set `client_cert_path` and `client_key_path`",
    "BAD_CERTIFICATE": "the server refused the client certificate: see `client_cert_path`",
    "UNKNOWN_CA": "the server does not trust the client certificate: see `client_cert_path`",
    "PROTOCOL_VERSION": "the server must speak TLS 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "the server must speak TLS 1.2 or newer",
    "UNRECOGNIZED_NAME": "the server does not know this host name: check the host in `url`",
}


def client_context(settings: BackendSettings) -> ssl.SSLContext:
    """Make the context for connections to one backend. Without `ssl_verify` the CA bundle is not even looked at.

    Raises:
        ConfigError: a file is missing or is not what it should be; names the setting and the path.

    """
    context = proxy_context(settings)
    if settings.client_cert_path is not None:
        _load_chain(context, ("client_cert_path", settings.client_cert_path), settings.client_key_path)
    elif settings.client_key_path is not None:
        raise ConfigError("client_key_path needs client_cert_path, the certificate of that key")
    return context


def proxy_context(settings: BackendSettings) -> ssl.SSLContext:
    """Make the context for connections to an https proxy of a backend: the same trust, no client certificate.

    Raises:
        ConfigError: as `client_context`.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not settings.ssl_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_bundle_path is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cafile=settings.ca_bundle_path)
        except OSError as error:
            raise _unusable("ca_bundle_path", settings.ca_bundle_path, "certificates", error) from error
    # The same verdict on every Python version: 3.13 trusts an intermediate or server certificate that stands
    # alone in the bundle, which is what people put there; its strict mode, which refuses the CAs of many
    # corporate proxies, comes with ssl.create_default_context only and is not taken over.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _finish(context)


def server_context(cert_path: str, key_path: str | None) -> ssl.SSLContext:
    """Make the context of a TLS listener; without `key_path` the key is in the certificate's file.

    Raises:
        ConfigError: a file is missing or is not what it should be; names the setting and the path.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_chain(context, ("tls_cert_path", cert_path), key_path)
    return _finish(context)


def tls_fault(address: str, error: OSError, source: str = "`url`") -> Fault:
    """Say what a TLS error on the way to `address` (host:port) means and what to do.

    `source` is the setting that names the server.

    Also for errors that end a connection after the handshake: with TLS 1.3 a server refuses a client
    certificate only then.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL's sentence is built from the certificate and the host name: no secret in it.
        why = f"certificate verify failed: {error.verify_message.rstrip('.')}"
        hint = _CERTIFICATE_HINTS.get(
            error.verify_code, "check the server's certificate and `ca_bundle_path`"
        )
    elif isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        reason = error.reason or "unknown TLS error"
        why = reason.replace("_", " ").lower()
        hints = (hint for part, hint in _REASON_HINTS.items() if part in reason)
        hint = next(hints, "check that `url` names a TLS server")
    else:
        why = "the server closed the connection"
        hint = "it may not speak TLS on this port (http:// in `url`?) or may want a client certificate"
    hint = hint.replace("`url`", source)
    return Fault(errors.TLS, f"TLS handshake with {address} failed: {why}; {hint}")


def _finish(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    return context


def _load_chain(context: ssl.SSLContext, cert: tuple[str, str], key_path: str | None) -> None:
    setting, cert_path = cert
    key_setting = setting.replace("cert", "key")
    # Opened by hand first, because OpenSSL's "no such file" does not say which of the two.
    for name, path in ((setting, cert_path), (key_setting, key_path)):
        try:
            if path is not None:
                with Path(path).open("rb"):
                    pass
        except OSError as error:
            raise _unusable(name, path or "", "certificates", error) from error
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal and block.
        context.load_cert_chain(cert_path, key_path, password="")
    except OSError as error:
        files = cert_path if key_path is None else f"{cert_path} with {key_setting} {key_path}"
        raise _unusable(setting, files, "a certificate and its unencrypted key", error) from error


def _unusable(setting: str, path: str, wanted: str, error: OSError) -> ConfigError:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not readable as PEM").replace("_", " ").lower()
        return ConfigError(f"{setting} {path}: not a PEM file of {wanted} ({reason})")
    return ConfigError(f"{setting} {path}: cannot be read ({error.strerror or error})")
