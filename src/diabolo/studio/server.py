"""Opening the studio: the socket, who may ask, and how it ends."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from diabolo.arguments import Usage
from diabolo.commands import MODEL, command, runs
from diabolo.errors import InputError
from diabolo.store import read_config

if TYPE_CHECKING:
    import socket

HOST, PORT = "127.0.0.1", 8642
TRIED = 20  # ports from the first on, where none is asked for
Say = Callable[[str], object]


@command("measure", "diabolo studio runs/vae", name="studio")
def serve(
    target: Annotated[
        str | Path | None,
        Usage("MODEL|DIR"),
        f"{MODEL}, or a folder of them; default: the newest in this folder",
    ] = None,
    *,
    port: Annotated[int | None, Ge(0), Le(65535), "default: the first free from 8642"] = None,
    host: Annotated[
        str,
        Usage("--host ADDRESS"),
        "listen for others, too: who asks needs the token in the printed address",
    ] = HOST,
    browser: Annotated[bool, "do not open the page"] = True,
    uploads: Annotated[bool, Usage("--allow-uploads"), "take model files over HTTP"] = False,
    say: Say = print,
) -> None:
    """See a model think, in the browser; an HTTP service.

    Serves the page and its API until SIGINT or SIGTERM. `target` is a model file or a run folder,
    or a folder in whose runs one can choose; without one the working directory. Beyond this
    machine (`host`) a token is needed, which is in the address that is said. Raises `InputError`
    where the model or the address cannot be had.
    """
    import secrets
    import socket
    import webbrowser
    from ipaddress import ip_address

    import uvicorn

    from diabolo.studio.connections import Patient
    from diabolo.studio.opening import Opening

    root, model = _served(target)
    with _socket(host, port) as listener:
        bound, number = listener.getsockname()[:2]
        token = None if _is_loopback(bound) else secrets.token_urlsafe(24)
        name = socket.gethostname() if ip_address(bound).is_unspecified else _written(host)
        address = f"http://{name}:{number}/" + (f"#token={token}" if token else "")
        say(f"Studio: {address}  (Ctrl-C ends it)")
        if browser and sys.stdout.isatty() and _has_screen():
            webbrowser.open(address)
        opening = Opening(
            lambda: _loaded(root, model, uploads=uploads),
            failed=lambda: setattr(server, "should_exit", True),
        )
        app = opening.guarded(hosts=_hosts(host, bound, number), token=token)
        settings = uvicorn.Config(
            app, http=Patient, log_level="warning", timeout_graceful_shutdown=5, ws="none"
        )
        server = uvicorn.Server(settings)
        server.run(sockets=[listener])
    if opening.failure is not None:
        raise opening.failure


def _loaded(root: Path, model: Path | None, *, uploads: bool) -> Any:
    """The application, the model read."""
    import torch

    from diabolo.studio.app import application
    from diabolo.studio.service import Service

    torch.set_num_threads(1)  # more wait for each other where something trains beside
    service = Service(root, model, uploads=uploads)
    if model is not None:
        service.shelf.take(service.shelf.name(model))
    return application(service)


def _served(target: str | Path | None) -> tuple[Path, Path | None]:
    """The folder to serve, and the model to begin with."""
    if target is None:
        return Path(), None
    path = Path(target)
    if path.is_dir() and not runs.is_run(path):
        os.chdir(path)
        return Path(), None
    read_config(runs.model_file(path))
    return Path(), path


def _socket(host: str, port: int | None) -> "socket.socket":
    """A socket that listens; where no port is asked for, on the first that is free."""
    import socket

    ports = range(PORT, PORT + TRIED) if port is None else [port]
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError:
        raise InputError(f"{host!r} is no address of this machine.") from None
    for number in ports:
        try:
            listener = socket.create_server((host, number), family=family, backlog=256)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return listener
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise InputError(f"{host!r} is no address of this machine.") from None
            reason = os.strerror(error.errno or 0)
    raise InputError(f"Cannot listen on {host}, port {ports[-1]}: {reason}; give another --port.")


def _hosts(host: str, bound: str, port: int) -> set[str] | None:
    """The names, with the port, under which the service may be asked; None: any."""
    from ipaddress import ip_address

    if ip_address(bound).is_unspecified:
        return None
    names = {_written(host), _written(bound)}
    if _is_loopback(bound):
        names |= {"localhost", "127.0.0.1", "[::1]"}
    return {f"{name}:{port}" for name in names} | (names if port == 80 else set())


def _is_loopback(bound: str) -> bool:
    from ipaddress import ip_address

    return ip_address(bound).is_loopback


def _written(host: str) -> str:
    """A host as it is written in an address."""
    return f"[{host}]" if ":" in host else host


def _has_screen() -> bool:
    seen = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform != "linux" or any(name in os.environ for name in seen)
