"""Whether there is a network to download from, answered within seconds."""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

TIMEOUT = 3.0  # Seconds for each step of one probe.
DEADLINE = 5.0  # Seconds for all: name resolution obeys no timeout.
_MAX_SITES = 8
_GATEWAY_ERRORS = {407, 502, 503, 504}


def sites(urls: Iterable[str]) -> list[str]:
    """Returns the distinct ``scheme://host/`` of the URLs, at most eight."""
    parts = (urlsplit(url) for url in urls)
    found = {f"{part.scheme}://{part.netloc}/": None for part in parts if part.netloc}
    return list(found)[:_MAX_SITES]


def any_reachable(
    site_urls: Iterable[str], *, timeout: float = TIMEOUT, deadline: float = DEADLINE
) -> bool:
    """Asks all sites at once; True as soon as one answers.

    Any HTTP answer of a site counts. Proxies are used as the environment says
    (``https_proxy``, ``no_proxy``, ...), and a proxy's own error does not count.

    Args:
        site_urls: as returned by ``sites``.
        timeout: seconds to wait for a connection and for an answer.
        deadline: seconds after which what has not answered does not count.
    """
    pending = list(site_urls)
    answers: queue.Queue[bool] = queue.Queue()
    for url in pending:
        # Daemons: a name server that does not answer must not hold up the exit.
        threading.Thread(
            target=lambda url=url: answers.put(_answers(url, timeout)), daemon=True
        ).start()
    end = time.monotonic() + deadline
    for _ in pending:
        try:
            if answers.get(timeout=max(0.0, end - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; where it leads does not matter."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def _answers(url: str, timeout: float) -> bool:
    # Nothing is read here, so certificates do not matter; TFDS's downloader checks
    # them, against a list of its own that may differ from Python's.
    opener = urllib.request.build_opener(
        _NoRedirect,
        urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
    )
    request = urllib.request.Request(url, method="HEAD")
    direct_host = request.host
    try:
        opener.open(request, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        by_proxy = request.host != direct_host
        return not (by_proxy and error.code in _GATEWAY_ERRORS)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True
