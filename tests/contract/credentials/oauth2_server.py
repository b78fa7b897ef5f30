"""A real OAuth2 server (authlib's) and a resource that wants its tokens, on one TLS port: a script of its own.

    python oauth2_server.py CERTIFICATE CLIENT_ID CLIENT_SECRET

It prints its port. `POST /token` is the token endpoint, `POST /resource` answers 401 without a valid token.
`POST /control` takes a JSON object with what to change (`State`), and answers with the counts.
"""

import importlib
import json
import secrets
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

# authlib has no types.
rfc6749: Any = importlib.import_module("authlib.oauth2.rfc6749")
rfc6750: Any = importlib.import_module("authlib.oauth2.rfc6750")


class State:
    """What `/control` changes, and what happened."""

    lock = threading.Lock()
    expires_in: Any = 3600
    token_type = "Bearer"
    instead: list[list[Any]]
    """Answers to give instead of a token, first one first: status, header fields, text, seconds of delay."""
    valid: set[str]
    scopes: list[str]
    asked = refused = served = 0


class Client(rfc6749.ClientMixin):
    def __init__(self, name: str, secret: str) -> None:
        self.name, self.secret = name, secret

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


class Grant(rfc6749.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)


def make_token(**_: Any) -> str:
    return secrets.token_urlsafe(32)


class Request(rfc6749.OAuth2Request):
    def __init__(self, uri: str, headers: dict[str, str], form: dict[str, str]) -> None:
        super().__init__("POST", uri, headers=headers)
        self.payload = importlib.import_module("authlib.oauth2.rfc6749.requests").BasicOAuth2Payload(form)

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data

    @property
    def args(self) -> dict[str, str]:
        return {}


class Server(rfc6749.AuthorizationServer):
    def __init__(self, client: Client, state: State) -> None:
        super().__init__(scopes_supported=["read", "https://models.example/.default"])
        self.client, self.state = client, state
        self.register_grant(Grant)
        self.register_token_generator("default", rfc6750.BearerTokenGenerator(make_token))

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == self.client.name else None

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        self.state.valid.add(token["access_token"])
        self.state.scopes.append(request.scope or "")

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """There is no framework to tell."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "idp"
    oauth2: Server
    state: State

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        route = {"/token": self.token, "/resource": self.resource, "/control": self.control}[self.path]
        route(body.decode())

    def token(self, body: str) -> None:
        with self.state.lock:
            self.state.asked += 1
            if self.state.instead:
                status, fields, text, delay = self.state.instead.pop(0)
                time.sleep(delay)
                self.answer(status, text, fields)
                return
            # Strict: what is not form-encoded is no request.
            form = dict(parse_qsl(body, strict_parsing=True))
            request = Request(f"https://{self.headers['host']}/token", dict(self.headers), form)
            status, answer, fields = self.oauth2.create_token_response(request)
            if status == 200:
                answer.update(token_type=self.state.token_type, expires_in=self.state.expires_in)
            self.answer(status, answer if isinstance(answer, str) else json.dumps(answer), fields)

    def resource(self, body: str) -> None:
        with self.state.lock:
            kind, _, token = self.headers.get("authorization", "").partition(" ")
            good = kind.lower() == "bearer" and token in self.state.valid
            if good:
                self.state.served += 1
            else:
                self.state.refused += 1
        self.answer(200 if good else 401, json.dumps({"kind": kind}), [])

    def control(self, body: str) -> None:
        with self.state.lock:
            for name, value in json.loads(body).items():
                if name == "revoke":
                    self.state.valid.clear()
                else:
                    setattr(self.state, name, value)
            counts = {name: getattr(self.state, name) for name in ("asked", "refused", "served", "scopes")}
        self.answer(200, json.dumps(counts), [])

    def answer(self, status: int, text: str, fields: Any) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("connection", "close")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
        self.close_connection = True


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        # The handshake belongs to the thread of the connection, not to the one that accepts.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust the certificate are expected."""


def main(certificate: str, name: str, secret: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    state = State()
    state.instead, state.valid, state.scopes = [], set(), []
    Handler.state, Handler.oauth2 = state, Server(Client(name, secret), state)
    listener = Listener(context)
    print(listener.server_port, flush=True)
    listener.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
