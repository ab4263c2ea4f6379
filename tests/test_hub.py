"""Models on the Hugging Face Hub, played by a server on this machine."""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest
from tests.conftest import SMALL, floats, run

from diabolo import AnomalyDetector, Autoencoder, load
from diabolo.errors import InputError
from diabolo.hub import parsed

X = floats()


class Hub(BaseHTTPRequestHandler):
    """What the client asks of the Hub: a repository, its files and a commit to them."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.endswith("/preupload/main"):
            names = [one["path"] for one in json.loads(body)["files"]]
            kept = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            return self.answer({"files": kept})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.files[line["value"]["path"]] = content
            return self.answer({"commitUrl": self.url("/commit/1"), "commitOid": "1" * 40})
        return self.answer({"url": self.url("")})

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if not self.path.startswith("/me/digits/resolve/") or name not in self.files:
            return self.answer({"error": "Repository not found"}, 404)
        return self.answer(self.files[name], 200, ETag='"1"', **{"X-Repo-Commit": "1" * 40})

    do_HEAD = do_GET  # noqa: N815

    def url(self, rest):
        return f"http://{self.headers['Host']}/me/digits{rest}"

    def answer(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers |= {"Content-Length": str(len(content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        place = here + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", here)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        monkeypatch.setattr(Hub, "files", {})
        yield Hub.files
        server.shutdown()


def test_a_model_comes_back_from_the_hub(hub, capsys):
    model = Autoencoder(**SMALL).fit(X)
    assert model.push_to_hub("me/digits") == "hf://me/digits"
    card = hub["README.md"].decode()
    assert 'diabolo.load("hf://me/digits")' in card
    assert f"loss ({model.loss_unit_}) | {model.history_['loss'][-1]:.5g} |" in card
    back = load("hf://me/digits")
    assert np.array_equal(back.transform(X), model.transform(X))
    run("summary", "hf://me/digits")
    assert "parameters" in capsys.readouterr().out


def test_a_detector_comes_back_from_the_hub(hub):
    detector = AnomalyDetector(Autoencoder(**SMALL)).fit(X)
    detector.push_to_hub("me/digits", private=True, token="a-token")
    back = load("hf://me/digits@main")
    assert np.array_equal(back.decision_function(X), detector.decision_function(X))


def test_mistakes_get_a_sentence(hub, monkeypatch):
    with pytest.raises(InputError, match="not reached: "):
        load("hf://me/nothing")
    with pytest.raises(InputError, match="hf://owner/name"):
        load("hf://digits")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"diabolo\[hub\]"):
        load("hf://me/digits")


def test_an_address_has_an_owner_a_name_and_a_revision():
    assert parsed("hf://me/digits@v1.0") == ("me/digits", "v1.0")
    assert parsed("me/digits.2") == ("me/digits.2", None)
