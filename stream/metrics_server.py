"""`/metrics` and `/healthz` on a thread of their own: a scrape never waits for the scoring, nor the scoring for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app

from stream.errors import SettingsError

# -> (healthy, what to say of it)
Health = Callable[[], tuple[bool, dict[str, Any]]]


class MetricsServer:
    """Serves until closed. Raises SettingsError where the port is taken."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        metrics: Callable[[dict[str, Any], Any], Iterable[bytes]] = make_wsgi_app(registry)

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/metrics":
                return metrics(environ, start_response)
            if environ["PATH_INFO"] == "/healthz":
                healthy, facts = health()
                start_response(
                    "200 OK" if healthy else "503 Service Unavailable", [("Content-Type", "application/json")]
                )
                return [orjson.dumps({"healthy": healthy, **facts}) + b"\n"]
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"expected /metrics or /healthz\n"]

        try:
            self._server = make_server(host, port, app, _Server, _QuietHandler)
        except OSError as error:
            raise SettingsError(
                f"--metrics-port={port}: cannot listen on {host}:{port} ({error.strerror}); choose another, or 0"
            ) from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection: one that asks nothing holds up no other."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing of each scrape."""
