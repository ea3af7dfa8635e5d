"""An identity provider for tests: OpenID Connect as far as a sign-in needs it, on a free port of this machine.

It says yes to whoever it is told to be. What it signs can be checked with the key it publishes, as with any other.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwk, jwt

CLIENT, SECRET = "midband", "kept between the two"


class IdentityProvider:
    """claims: what it says of the person in front of it. asked: how often it was asked for one."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.asked = 0
        self.ended = 0
        self._key = jwk.RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "end_session_endpoint": f"{self.url}/end",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [self._key.as_dict(private=False)]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes next."""
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        self.asked += 1
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        client, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        assert (unquote(client), unquote(secret).replace("+", " ")) == (CLIENT, SECRET)
        asked = self._codes.pop(form["code"])
        moment = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": self.claims.get("email", "somebody"),
            "iat": moment,
            "exp": moment + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self._key)
        return {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "expires_in": 300, "id_token": signed}


def _handler(provider: IdentityProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self._send(302, {}, location=provider.authorize(_single(parts.query)))
            elif parts.path == "/end":
                provider.ended += 1
                self._send(302, {}, location=_single(parts.query)["post_logout_redirect_uri"])
            elif parts.path == "/keys":
                self._send(200, provider.keys())
            else:
                self._send(200, provider.metadata())

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            self._send(200, provider.token(_single(form), self.headers.get("authorization", "")))

        def _send(self, status: int, content: dict[str, Any], *, location: str = "") -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    return Handler


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
