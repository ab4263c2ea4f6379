"""Models on the Hugging Face Hub: pushed with a card, and loaded by `hf://owner/name`.

A repository there has the safetensors file that `save` writes, and the card, README.md. Nothing is
fetched or sent but by these names; huggingface_hub keeps the token and the cache.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diabolo.errors import InputError
from diabolo.store import MODEL

SCHEME, CARD = "hf://", "README.md"
MISSING = 'The Hugging Face Hub needs huggingface_hub: pip install "diabolo[hub]".'
TEXT = """---
library_name: diabolo
tags:
- autoencoder
---
# {repository}

`{kind}` on samples of {shape} values, with codes of {size} numbers.

```python
import diabolo

model = diabolo.load("hf://{repository}")
```

| figure | value |
|---|---|
{figures}

{findings}
"""
_ADDRESS = re.compile(r"(?:hf:/{1,2})?([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")


class Pushed:
    """Beside a `save`: what is saved can be pushed to the Hub."""

    def push_to_hub(
        self: Any, name: str, *, private: bool = False, token: str | None = None
    ) -> str:
        """Put the fitted model and its card into the repository `owner/name`; its address.

        The repository is made where there is none, for you alone if `private`. Without a `token`
        that of `hf auth login` is taken. The card has the figures of the run, or of the training.
        `diabolo.load("hf://owner/name")` gives the model back. Raises `InputError` where the Hub
        refuses or is not reached.
        """
        repository, revision = parsed(name)
        with TemporaryDirectory(prefix="diabolo-") as folder, _sentences(name):
            self.save(file := Path(folder) / MODEL)
            hub = _hub()
            parts = {MODEL: file, CARD: card(self, repository).encode()}
            api = hub.HfApi(token=token)
            api.create_repo(repository, private=private, exist_ok=True)
            api.create_commit(
                repository,
                [hub.CommitOperationAdd(place, content) for place, content in parts.items()],
                commit_message=f"{type(self).__name__} of diabolo",
                revision=revision,
            )
        return f"{SCHEME}{repository}"


def find(address: str | Path) -> Path | None:
    """The model file of `hf://owner/name`, or `hf://owner/name@revision`, as it is kept here.

    Fetched where it is not; None of any other name.
    """
    if not str(address).startswith("hf:/"):  # a Path has one slash
        return None
    repository, revision = parsed(str(address))
    with _sentences(str(address)):
        return Path(_hub().HfApi().hf_hub_download(repository, MODEL, revision=revision))


def parsed(address: str) -> tuple[str, str | None]:
    """owner/name and the revision, where there is one."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(f"{address} is no address of the Hub: give hf://owner/name.")
    return found[1], found[2]


def card(model: Any, repository: str) -> str:
    """The card of a fitted model, Markdown: what it is, how it is loaded, its figures."""
    whole = getattr(model, "model_", model)
    figures = [f"| {name} | {value} |" for name, value in _figures(whole.fitted_)]
    return TEXT.format(
        repository=repository,
        kind=type(model).__name__,
        shape=" x ".join(map(str, whole.sample_shape_)),
        size=whole.code_size_,
        figures="\n".join(figures),
        findings="\n".join(f"- {one.what} {one.fix}" for one in whole.findings_),
    )


def _figures(record: Any) -> Iterator[tuple[str, str]]:
    """Names and figures: those of the run where there was one, otherwise of the training."""
    history = {n: values[-1] for n, values in record.history.items() if values}
    unit = {f"{n} ({record.loss_unit})" if "loss" in n else n: v for n, v in history.items()}
    yield from _flat(record.metrics or unit)


def _flat(numbers: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif isinstance(value, int | float | str):
            text = f"{value:.5g}" if isinstance(value, float) else str(value)
            yield f"{before}{name}", text.replace("|", r"\|")


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(MISSING) from None
    return huggingface_hub


@contextmanager
def _sentences(address: str) -> Iterator[None]:
    """What the Hub refuses is a mistake, in a sentence."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:  # of httpx, of the Hub, of the connection
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise InputError(f"{address}: the Hub refuses or is not reached: {first:.300}") from None
