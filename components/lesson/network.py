"""Where phones in the room find this app."""

import contextlib
import os
import socket
from typing import Any

from starlette.requests import Request

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bound_host() -> str:
    """Where the app listens: `HOST`, with `CLASS=1` in all networks of the machine, else on it alone.

    A Space says with Gradio's own variable that it must be reachable from outside.
    """
    usual = "0.0.0.0" if os.environ.get("CLASS") == "1" else "127.0.0.1"
    return os.environ.get("HOST") or os.environ.get("GRADIO_SERVER_NAME") or usual


def shown_on_this_machine() -> bool:
    """Whether somebody looks at the page on the machine that computes it: at home, or before a class."""
    return bound_host() in LOOPBACK or os.environ.get("CLASS") == "1"


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine in its networks, that of the way out first; asks nobody."""
    found: list[str] = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
        way_out.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737); UDP sends nothing here
        found.append(way_out.getsockname()[0])
    with contextlib.suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return list(dict.fromkeys(address for address in found if not address.startswith("127.")))


def reachable(request: Request) -> dict[str, Any]:
    """Under which addresses phones reach the app that a page was asked of, and whether they do.

    A page opened under a name of this machine alone (localhost) is of no use to a phone: then it is the
    addresses of the machine in its network that count, if the app answers there.

    Returns:
        `addresses`, none where the page's own is the right one; `reachable`.
    """
    host, port = request.url.hostname or "", request.scope["server"][1]
    if host not in LOOPBACK and not host.startswith("127."):
        return {"addresses": [], "reachable": True}
    own = [f"http://{address}:{port}" for address in own_addresses()]
    return {"addresses": own, "reachable": bool(own) and bound_host() not in LOOPBACK}
