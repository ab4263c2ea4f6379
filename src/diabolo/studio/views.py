"""The routes for the page: one view, one question.

Pictures are bytes in base64; see `pictures`. Nothing here changes anything but a training.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from diabolo import measures, recipes
from diabolo.commands import listing, runs
from diabolo.corruption import Corruption
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.params import from_config, to_config
from diabolo.studio import forms
from diabolo.studio.answers import (
    About,
    Code,
    CodeList,
    Compared,
    Counts,
    Decoding,
    Drawn,
    Form,
    Item,
    Items,
    Kind,
    Kinds,
    Look,
    Map,
    Model,
    Models,
    Nearest,
    New,
    Normal,
    Order,
    Pictures,
    Point,
    Progress,
    Question,
    RecipeName,
    RecipeNames,
)
from diabolo.studio.looking import finite, look
from diabolo.studio.opened import Opened
from diabolo.studio.pictures import need_pictures, pictures
from diabolo.studio.rows import columns, given, sent, taken
from diabolo.studio.rows import rows as as_rows
from diabolo.studio.service import BODY, TEMPERATURE, Name, Seed, Served, Service
from diabolo.studio.training import BUSY, State
from diabolo.tasks.evaluation import pictured
from diabolo.tasks.sampling import nearest as find_nearest
from diabolo.tasks.whole import takes_level

BINS = 40
ROWS = 200  # of a file that are sent back


api = APIRouter(tags=["page"])


@api.get("/models")
def models(service: Served) -> Models:
    """The runs and model files below the folder, the newest first."""
    state = service.trainer.state
    running = state.run if state.state in BUSY else None
    found = [*listing.models(service.root)]
    default = service.shelf.default
    return Models(
        default=None if default is None else service.shelf.name(default),
        models=[Model(**vars(entry), running=entry.path == running) for entry in found],
        columns=[
            Compared(**column._asdict())
            for column in measures.columns(entry.metrics for entry in found)
        ],
    )


@api.get("/model")
def about(service: Served, model: Name = "") -> About:
    """What a model is."""
    return _about(service.shelf.take(model), service)


@api.get("/report", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def report(service: Served, model: Name = "") -> HTMLResponse:
    """The page of a run, or of a detector."""
    page = listing.report(service.shelf.take(model).path)
    if page is None:
        raise HTTPException(404, f"{model or 'The model'} has no report.")
    return HTMLResponse(page)


@api.get("/samples")
def samples(
    service: Served,
    model: Name = "",
    part: Annotated[Literal["test", "train"], Query(description="Which samples.")] = "test",
    start: Annotated[int, Query(ge=0, description="The first, counted from 0.")] = 0,
    count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 10,
) -> Items:
    """Some of the samples that belong to a model."""
    opened = service.shelf.take(model)
    array, labels = opened.part(part)
    images = sent(opened.model, array[start : start + count])
    return Items(
        total=len(array),
        items=[
            Item(index=start + n, label=_label(labels, start + n), picture=image)
            for n, image in enumerate(images)
        ],
    )


@api.post("/rows", openapi_extra=BODY)
async def rows(
    service: Served,
    request: Request,
    name: Annotated[str, Query(min_length=1, description="Of the file: its suffix counts.")],
    model: Name = "",
) -> Items:
    """The first rows of a table file that is the body, for a model of such tables."""
    opened, body = await service.take(model), await request.body()

    def read() -> Items:
        X = as_rows(opened.model, runs.read_body_for(opened.model, name, body).array)
        first = enumerate(sent(opened.model, X[:ROWS]))
        return Items(total=len(X), items=[Item(index=i, label=None, picture=r) for i, r in first])

    found: Items = await service.heavily(read)
    return found


@api.get("/progress")
async def progress(
    service: Served, job: Annotated[str, Query(description="As it was named.")]
) -> Progress:
    """How far a request is that was given the name of a job."""
    return Progress(done=service.jobs.get(job))


@api.post("/view")
async def view(service: Served, question: Question) -> Look:
    """All about one image or row, or one code."""
    opened, clean, seen = await run_in_threadpool(_asked, service, question)
    if seen is None:
        codes = np.array([question.code], np.float32)
        output = await service.batch(opened.decode, codes)
        return look(opened, (codes, output, np.array([math.nan])))
    answer = await service.batch(opened.look, seen)
    return await run_in_threadpool(look, opened, answer, clean, seen)


@api.post("/decode-pictures")
async def decode(service: Served, asked: Decoding) -> Pictures:
    """The pictures, or the rows, of codes."""
    opened = await service.take(asked.model)
    codes = _codes(asked.codes)
    output = await service.batch(opened.decode, codes)
    return Pictures(pictures=sent(opened.model, output))


@api.get("/map")
async def plane(
    service: Served,
    model: Name = "",
    count: Annotated[int, Query(ge=2, le=5000, description="How many samples.")] = 1000,
) -> Map:
    """The map of test samples by their codes."""
    opened = await service.take(model)
    places = (await service.heavily(lambda: opened.map(count))).round(4).tolist()
    _, labels = opened.part("test")
    points = [Point(x=x, y=y, label=_label(labels, n), index=n) for n, (x, y) in enumerate(places)]
    return Map(points=points, labels=sorted({p.label for p in points if p.label is not None}))


@api.get("/codes")
async def codes(
    service: Served,
    index: Annotated[
        list[Annotated[int, Ge(0)]],
        Query(min_length=1, max_length=100, description="Which, counted from 0; repeated."),
    ],
    model: Name = "",
) -> CodeList:
    """The codes of test samples."""
    opened = await service.take(model)
    array = await run_in_threadpool(lambda: opened.test)
    _need_index(max(index), array)
    found = await service.batch(opened.encode, array[np.array(index)])
    return CodeList(codes=found.tolist())


@api.get("/new")
async def new(
    *,
    service: Served,
    model: Name = "",
    n: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 25,
    temperature: Annotated[float, Query(ge=0, le=10, description=TEMPERATURE)] = 1.0,
    seed: Seed = 0,
    nearest: Annotated[bool, Query(description="Whether to look for training samples.")] = False,
) -> Drawn:
    """New samples, and beside each the nearest training sample."""
    opened = await service.take(model)
    if nearest:
        need_pictures(opened.model)

    def draw() -> Drawn:
        drawn = opened.sample(n, temperature, seed)
        images = sent(opened.model, drawn)
        beside = _nearest(opened, drawn) if nearest else [None] * n
        pairs = zip(images, beside, strict=True)
        return Drawn(law=opened.law[1], items=[New(picture=a, nearest=b) for a, b in pairs])

    found: Drawn = await service.heavily(draw)
    return found


@api.get("/normal")
def normal(service: Served, model: Name = "") -> Normal:
    """The scores of normal samples."""
    opened = service.shelf.take(model)
    detector = opened.need_detector()
    counts, edges = np.histogram(detector.calibration_scores_, BINS)
    own = opened.loaded is detector
    return Normal(
        edges=edges.tolist(),
        counts=counts.tolist(),
        threshold=finite(detector.offset_),
        rate=detector.false_alarm_rate,
        count=len(detector.calibration_scores_),
        what="those that its detector was calibrated on" if own else "test samples",
    )


@api.get("/corruptions")
def corruptions(service: Served) -> Kinds:
    """What an image can suffer."""
    kinds = Corruption.kinds().items()
    return Kinds(
        corruptions=[
            Kind(
                kind=name,
                title=name.replace("-", " ").capitalize(),
                parameters=[forms.field(p, p.default) for p in kind.declared()],
            )
            for name, kind in kinds
        ]
    )


@api.get("/recipes")
def names(service: Served) -> RecipeNames:
    """What can be trained by name."""
    found = [recipes.read(name) for name in recipes.names()]
    return RecipeNames(recipes=[RecipeName(name=r.name, title=r.title) for r in found])


@api.get("/recipes/{name}")
def form(
    service: Served, name: Annotated[str, Path(description="As /api/recipes lists it.")]
) -> Form:
    """A recipe as a form, made from the declarations of its parameters."""
    if name not in recipes.names():
        raise HTTPException(404, f"There is no recipe {name!r}.")
    recipe = recipes.read(name)
    return Form(
        name=recipe.name,
        title=recipe.title,
        article=recipe.article,
        notes=recipe.notes,
        kind=recipe.model["kind"],
        fields=forms.fields(recipe),
        data=forms.data_fields(recipe),
        files=listing.data(service.root),
    )


@api.post("/train", status_code=202)
def train(service: Served, order: Order) -> State:
    """Begin to train, in a process of its own."""
    return service.trainer.start(order.recipe, order.parameters, order.options)


@api.get("/train")
def state(service: Served) -> State:
    """How far the training is."""
    return service.trainer.state


@api.post("/train/stop")
def stop(service: Served) -> State:
    """End the training early; what was trained is kept."""
    return service.trainer.stop()


def _about(opened: Opened, service: Service) -> About:
    model, split, detector = opened.model, opened.split, opened.detector
    recipe = opened.recipe
    low, high = model.code_range_.tolist()
    return About(
        path=service.shelf.name(opened.path),
        name=opened.path.name,
        title=recipe.title if recipe else opened.path.name,
        kind=model.kind,
        shape=model.image_shape_ if pictured(model) else None,
        columns=columns(model),
        signal=_signal(model),
        photographs=_cleans_photographs(opened),
        told_level=takes_level(model),
        code_size=model.code_size_,
        parameters=sum(p.numel() for p in model.net_.parameters()),
        loss_unit=model.loss_unit_,
        corruption=None if model.corruption is None else to_config(model.corruption),
        prior=model.net_.bottleneck.prior() is not None,
        samples=split and Counts(train=len(split.learnt), test=len(split.test.array)),
        code_range=(low, high),
        code_mean=opened.mean_code.tolist(),
        threshold=detector and finite(detector.offset_),
        rate=detector and detector.false_alarm_rate,
    )


def _signal(model: Estimator) -> tuple[int, int] | None:
    grid = model.grid_
    if model.image_shape_ is not None or grid is None or len(grid) != 2:
        return None
    return grid[0], grid[1]


def _cleans_photographs(opened: Opened) -> bool:
    """Whether it is a denoiser of images larger than its own: of patches, or without a code."""
    model, patches = opened.model, opened.recipe is not None and opened.recipe.patches
    denoises = model.corruption is not None or model.paired_
    return pictured(model) and denoises and (bool(patches) or model.latent_dim is None)


def _asked(
    service: Service, question: Question
) -> tuple[Opened, np.ndarray | None, np.ndarray | None]:
    """The model, and the sample that is asked about, clean and as the encoder sees it."""
    opened = service.shelf.take(question.model)
    model, _ = opened.model, opened.detector  # which is made here, not in the thread of inference
    if question.code is not None:
        return opened, None, None
    if question.image is not None:
        clean = taken(model, question.image)
    else:
        _need_index(question.sample or 0, opened.test)
        clean = opened.test[question.sample][None]
    if question.corruption is None:
        return opened, clean, clean
    corruption = _corruption(service, question.corruption)
    x = given(model, clean)
    seen = model.corrupt(x, corruption=corruption, random_state=question.seed)
    return opened, clean, as_rows(model, seen)


def _corruption(service: Service, config: dict[str, Any]) -> Corruption:
    """The corruption that a configuration describes; a picture in it is below the folder."""
    if config.get("image") not in (None, "none"):
        config = {**config, "image": str(listing.within(service.root, str(config["image"])))}
    kinds: Any = Corruption.kinds()
    found = from_config(config, kinds)
    assert isinstance(found, Corruption)
    return found


def _nearest(opened: Opened, new: np.ndarray) -> list[Nearest]:
    model, split = opened.model, opened.data
    low, high = model.net_.scaling.peak.tolist()
    found = find_nearest(new, split.train)
    images = pictures(model, split.train[found.indices])
    return [
        Nearest(index=i, label=_label(split.labels, i), distance=d / (high - low), picture=image)
        for i, d, image in zip(found.indices, found.distances, images, strict=True)
    ]


def _need_index(index: int, array: np.ndarray) -> None:
    if index >= len(array):
        raise InputError(f"There is no test sample {index}: the last is {len(array) - 1}.")


def _codes(codes: list[Code]) -> np.ndarray:
    if len({len(code) for code in codes}) > 1:
        raise InputError("Codes must all have the same length.")
    return np.array(codes, np.float32)


def _label(labels: np.ndarray | None, index: int) -> int | None:
    whole = labels is not None and labels.dtype.kind in "iu"
    return int(labels[index]) if labels is not None and whole else None
