"""The network probe against servers of our own."""

import contextlib
import http.server
import socket
import threading
import time

import pytest

from zoo.data import reach


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def server(status: int):
    """Answers every request with a status; yields the URL and the paths asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        do_CONNECT = do_HEAD

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/", asked
        finally:
            httpd.shutdown()


def closed_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 500, 503])
def test_any_answer_counts(status):
    with server(status) as (url, _):
        assert reach.any_reachable([closed_url(), url])


def test_nothing_listens():
    assert not reach.any_reachable([closed_url(), "https://no-such-host.invalid/"])
    assert not reach.any_reachable([])


def test_a_silent_host_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        assert not reach.any_reachable([url], timeout=0.5)
        assert not reach.any_reachable([url], timeout=60, deadline=0.5)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(("status", "expected"), [(200, True), (404, True), (503, 0)])
def test_http_through_a_proxy(monkeypatch, status, expected):
    with server(status) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        assert reach.any_reachable(["http://data.invalid/"]) == expected
        assert asked == ["http://data.invalid/"]
        monkeypatch.setenv("no_proxy", "data.invalid")
        assert not reach.any_reachable(["http://data.invalid/"])
        assert len(asked) == 1


def test_https_through_a_proxy_that_refuses(monkeypatch):
    with server(403) as (proxy, asked):
        monkeypatch.setenv("https_proxy", proxy)
        assert not reach.any_reachable(["https://data.invalid/"])
        assert asked == ["data.invalid:443"]


def test_sites():
    urls = ["https://a.org/x", "https://a.org/y", "http://b.org:80/z", "nonsense"]
    assert reach.sites(urls) == ["https://a.org/", "http://b.org:80/"]
    assert len(reach.sites(f"https://{i}.org/x" for i in range(1000))) == 8
