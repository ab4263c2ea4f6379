"""One safe file: (config, tensors) <-> a .safetensors file whose header carries the config.

The config is one canonical JSON entry, so saving the same model twice gives the same bytes.
Reading runs no code. `read_config` reads the header alone, without torch.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo.data.files import atomically
from diabolo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

ENTRY = "diabolo"
FORMAT = 1
LARGEST_HEADER = 100_000_000


def write(path: str | Path, config: dict[str, Any], tensors: "dict[str, Tensor]") -> None:
    """Write a model file, whole or not at all."""
    from safetensors.torch import save_file

    text = json.dumps({"format": FORMAT, **config}, sort_keys=True, separators=(",", ":"))
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with atomically(path) as temporary:
        save_file(plain, temporary, metadata={ENTRY: text})


def read(path: str | Path) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """The config and the tensors of a model file; raises `InputError` where it is not one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_config(path)
    try:
        return config, load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}.") from None


def read_config(path: str | Path) -> dict[str, Any]:
    """The config in a model file's header, read without torch."""
    try:
        with Path(path).open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= LARGEST_HEADER else b""
        config = json.loads(json.loads(header)["__metadata__"][ENTRY])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is not a model file of diabolo, or is cut off.") from None
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise InputError(f"{path} is not a model file of diabolo.")
    if config["format"] > FORMAT:
        raise InputError(
            f"{path} has format {config['format']}, newer than {FORMAT}: install a newer diabolo."
        )
    return config
