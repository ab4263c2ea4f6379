"""What the page asks and is answered, as JSON."""

from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, create_model, model_validator

from diabolo.commands.listing import Entry
from diabolo.data import spec
from diabolo.studio import forms
from diabolo.studio.pictures import Picture
from diabolo.studio.rows import Column, Row, Sample
from diabolo.studio.service import LARGEST

Number = float | None
Code = Annotated[list[float], Len(1, 100_000)]


@dataclass
class Model(Entry):
    """A model below the folder, as it is listed."""

    running: bool


class Compared(BaseModel):
    """A number that models are compared by, in a group of `metrics`."""

    group: str
    name: str
    title: str
    help: str


class Models(BaseModel):
    """The models, and what they are compared by."""

    default: str | None
    models: list[Model]
    columns: list[Compared]


class Counts(BaseModel):
    """How many samples there are."""

    train: int
    test: int


class About(BaseModel):
    """A model that is open: of images, of a `shape`, or of tables, with `columns`.

    `signal`: the channels and steps, where the columns are those of a signal.
    `photographs`: it was trained on patches, to clean images of any size; `told_level`: it is
    told the level of their noise.
    """

    path: str
    name: str
    title: str
    kind: str
    shape: tuple[int, int, int] | None
    columns: list[Column] | None
    signal: tuple[int, int] | None
    photographs: bool
    told_level: bool
    code_size: int
    parameters: int
    loss_unit: str
    corruption: dict[str, Any] | None
    prior: bool
    samples: Counts | None
    code_range: tuple[list[float], list[float]]
    code_mean: list[float]
    threshold: Number
    rate: Number


class Item(BaseModel):
    index: int
    label: int | None
    picture: Sample


class Items(BaseModel):
    total: int
    items: list[Item]


class Progress(BaseModel):
    """The share that is done; none: nothing of that name is under way."""

    done: Number


class Question(BaseModel):
    """What is looked at: an image or the cells of a row, a test sample, or a code."""

    model: str = ""
    image: Picture | Row | None = None
    sample: Annotated[int, Ge(0)] | None = None
    code: Code | None = None
    corruption: dict[str, Any] | None = None
    seed: Annotated[int, Ge(0), Le(LARGEST)] = 0

    @model_validator(mode="after")
    def one(self) -> "Question":
        if (self.image, self.sample, self.code).count(None) != 2:
            raise ValueError("give exactly one of image, sample and code")
        return self


class OddCell(BaseModel):
    """The number of a column, the value there, and one that would have been normal."""

    column: int
    value: str
    normal: str


class Look(BaseModel):
    """What a model makes of a sample: what it saw, the code, the output, and how they differ.

    `error` is |output - input| a pixel, in [0, 1] units; of colours the root of the mean square.
    Of a row it is the share of each cell in its error. `odd_cell`: the oddest of an odd row.
    """

    input: Sample | None
    seen: Sample | None
    code: list[float]
    output: Sample
    error: Picture | list[float] | None
    odd_cell: OddCell | None
    mse: Number
    psnr: Number
    seen_psnr: Number
    score: Number
    p_value: Number
    odd: bool | None


class Decoding(BaseModel):
    model: str = ""
    codes: Annotated[list[Code], Len(1, 256)]


class Pictures(BaseModel):
    pictures: list[Sample]


class Point(BaseModel):
    x: float
    y: float
    label: int | None
    index: int


class Map(BaseModel):
    """Test samples where their codes are, in the plane of their two main directions."""

    points: list[Point]
    labels: list[int]


class CodeList(BaseModel):
    codes: list[list[float]]


class Nearest(BaseModel):
    """The training sample that is nearest to a new one; the distance is in [0, 1] units."""

    index: int
    label: int | None
    distance: float
    picture: Picture


class New(BaseModel):
    picture: Sample
    nearest: Nearest | None


class Drawn(BaseModel):
    law: str
    items: list[New]


class Normal(BaseModel):
    """The histogram of the scores of the normal samples that the threshold is from."""

    edges: list[float]
    counts: list[int]
    threshold: Number
    rate: float
    count: int
    what: str


class Kind(BaseModel):
    kind: str
    title: str
    parameters: list[forms.Field]


class Kinds(BaseModel):
    corruptions: list[Kind]


class RecipeName(BaseModel):
    name: str
    title: str


class RecipeNames(BaseModel):
    recipes: list[RecipeName]


class Form(BaseModel):
    """A recipe as a form; `files`: what is there that it could be trained on."""

    name: str
    title: str
    article: str
    notes: list[str]
    kind: str
    fields: list[forms.Field]
    data: list[forms.Field]
    files: list[str]


_Options: Any = create_model(  # type: ignore[call-overload]
    "Options",
    **{n: (h, None) for n, h in get_type_hints(spec.Options, include_extras=True).items()},
)


class Order(_Options):
    """A training: values of parameters are text, as on the command line."""

    recipe: str
    parameters: dict[str, str] = {}  # noqa: RUF012

    @property
    def options(self) -> dict[str, Any]:
        """The data options that were given."""
        return self.model_dump(include=set(spec.OPTIONS), exclude_none=True)
