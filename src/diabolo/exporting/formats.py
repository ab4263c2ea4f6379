"""The formats of exported graphs: how each is written, and run by what others run it with."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from diabolo import __version__
from diabolo.errors import InputError
from diabolo.exporting.graphs import Use

FEW, ODD = 5, (37, 51)  # samples, and sides of images of any size, that a graph is followed by
Run = Callable[..., list[Tensor]]  # what a file gives for what its graph takes
LACKING = (  # what is said of an operator that ONNX lacks, and of one that onnxruntime lacks
    (re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'"), "ONNX"),
    (re.compile(r"Could not find an implementation for (\w+)"), "onnxruntime"),
)


class Format(ABC):
    """A format of files."""

    suffix: ClassVar[str]
    runtime: ClassVar[str]  # the package that runs it
    needed: ClassVar[tuple[str, ...]] = ()  # packages of the extra

    def check(self) -> None:
        """Raise `InputError` where a package is missing."""
        for name in self.needed:
            try:
                import_module(name)
            except ImportError:
                raise InputError(
                    f"Export to {type(self).__name__.upper()} needs {name}: pip install"
                    " 'diabolo[export]', or use --to torch."
                ) from None

    @abstractmethod
    def write(self, program: ExportedProgram, use: Use, path: Path) -> None:
        """Write a graph; `InputError` where the format cannot hold it."""

    @abstractmethod
    def open(self, path: Path) -> Run:
        """The graph in a file, ready to run."""

    @property
    def runs_on(self) -> str:
        """The runtime with its version."""
        return f"{self.runtime} {version(self.runtime)}"


class Torch(Format):
    """A program of `torch.export`."""

    suffix, runtime = ".pt2", "torch"

    def write(self, program: ExportedProgram, use: Use, path: Path) -> None:
        torch.export.save(program, path)

    def open(self, path: Path) -> Run:
        run = torch.export.load(path).module()

        def outputs(*inputs: Tensor) -> list[Tensor]:
            with torch.no_grad():
                found = run(*inputs)
            return [found] if isinstance(found, Tensor) else list(found)

        return outputs


class Onnx(Format):
    """ONNX, with batch, height and width by these names."""

    suffix, runtime = ".onnx", "onnxruntime"
    needed = ("onnx", "onnxscript", "onnxruntime")

    def write(self, program: ExportedProgram, use: Use, path: Path) -> None:
        names: dict[str, Any] = {"input_names": use.takes, "output_names": use.gives}
        try:
            with _hushed("torch.onnx"):
                found: Any = torch.onnx.export(
                    program,
                    dynamo=True,
                    optimize=False,
                    verbose=False,
                    external_data=False,
                    **names,
                )
        except RuntimeError as error:
            raise _lacking(error) from None
        _tidy(found.model)
        found.save(str(path), external_data=False)

    def open(self, path: Path) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        except Exception as error:  # of many kinds, all its own
            raise _lacking(error) from None
        names = [one.name for one in session.get_inputs()]

        def outputs(*inputs: Tensor) -> list[Tensor]:
            found = session.run(None, dict(zip(names, map(Tensor.numpy, inputs), strict=True)))
            return [torch.from_numpy(one) for one in found]

        return outputs


FORMATS: dict[str, Format] = {"onnx": Onnx(), "torch": Torch()}


def traced(use: Use, like: tuple[Tensor, ...]) -> ExportedProgram:
    """The program of a graph, for batches of any size; `like` is one."""
    inputs = [one.new_zeros(FEW, *one.shape[1:]) for one in like]
    if use.sides:
        inputs[0] = inputs[0].new_zeros(*inputs[0].shape[:-2], *ODD)
    sizes: list[dict[int, Any]] = [{0: Dim.DYNAMIC} for _ in inputs]
    if use.sides:
        sizes[0] |= {inputs[0].ndim - 2: Dim.DYNAMIC, inputs[0].ndim - 1: Dim.DYNAMIC}
    try:
        with torch.no_grad():
            program = torch.export.export(
                use.graph, tuple(inputs), dynamic_shapes=tuple(sizes), strict=False
            )
    except Exception as error:
        raise InputError(
            f"The network is no graph that torch.export can follow ({_first(error)}): its layers"
            " may not choose what to do by the values that they see."
        ) from None
    program.example_inputs = None  # the samples, and checks of their layout in memory
    return program


@contextmanager
def _hushed(name: str) -> Iterator[None]:
    """Silence what a library logs that is no error."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _tidy(model: Any) -> None:
    """Name the sides that vary; leave out where on this machine each operator came from.

    And biases that the layers do not have: onnxscript adds zeros, in three dimensions of a shape
    that no runtime takes.
    """
    model.producer_name, model.producer_version = "diabolo", __version__
    for node in model.graph:
        node.metadata_props.clear()
        if node.op_type == "Conv" and _expanded(*node.inputs[2:]):
            node.replace_input_with(2, None)
    for value in (*model.graph.inputs, *model.graph.outputs):
        last = len(value.shape) - 1
        names = {last - 1: "height", last: "width", 0: "batch"}
        for axis, side in enumerate(value.shape):
            if not isinstance(side, int):
                value.shape[axis] = names[axis]


def _expanded(value: Any = None) -> bool:
    return (
        value is not None and (made := value.producer()) is not None and made.op_type == "Expand"
    )


def _lacking(error: BaseException) -> InputError:
    """That ONNX has no operator for something, or what else is wrong."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    text = "\n".join(map(str, causes))
    found = [(who, match[1]) for words, who in LACKING if (match := words.search(text))]
    lacks = [f"{who} has no operator for {what}" for who, what in found]
    why = lacks[0] if lacks else f"ONNX: {_first(causes[-1])}"
    return InputError(f"{why}, which the model needs: use --to torch, or another network.")


def _first(error: BaseException) -> str:
    """The first line of what an exception says."""
    return f"{str(error).strip() or type(error).__name__}".splitlines()[0].rstrip(".:")[:200]
