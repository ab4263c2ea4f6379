"""`diabolo recipes`: what can be trained by name."""

from typing import Annotated

from diabolo import recipes as shipped
from diabolo.arguments import Usage
from diabolo.commands import command


@command("more", "diabolo recipes dae-32")
def recipes(name: Annotated[str | None, Usage("RECIPE"), "print this recipe"] = None) -> list[str]:
    """What can be trained by name."""
    if name is not None:
        return [shipped.read(name).text.removesuffix("\n")]
    names = shipped.names()
    return [f"{name:{max(map(len, names))}}  {shipped.read(name).title}" for name in names]
