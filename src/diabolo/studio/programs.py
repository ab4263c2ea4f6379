"""The routes for programs: samples in, samples, codes or scores out, in the same form.

A body is a .npy file, one image, or JSON `{"samples": [...]}` (`{"codes": [...]}` for codes).
Answers are those of Python and of the command line, to the bit; images are rounded as files are.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from diabolo.commands import listing, runs
from diabolo.data import memory
from diabolo.data.sources import checked
from diabolo.errors import InputError
from diabolo.studio.opened import Opened
from diabolo.studio.rows import sent
from diabolo.studio.service import (
    BINARY,
    BODY,
    BYTES,
    TEMPERATURE,
    Name,
    Seed,
    Served,
    Service,
)
from diabolo.tasks import whole
from diabolo.tasks.denoising import denoise as in_tiles
from diabolo.tasks.evaluation import pictured

NPY, PNG, JSON = "application/x-npy", "image/png", "application/json"
MOST = 10_000  # samples that are generated at a time
NUMBERS = 1 << 26  # in them
LEVEL = "Standard deviation of the noise, of 255; without it, it is estimated."
GAP = 2  # pixels between the images of a sheet
Format = Literal["npy", "json", "png"]


class Samples(BaseModel):
    """Samples (N, ...) in the units of the model."""

    samples: list[Any]


class Codes(BaseModel):
    """Codes (N, K)."""

    codes: list[list[float]]


class Scores(BaseModel):
    """How normal samples are: larger is more normal; odd: flagged at the rate of the detector."""

    scores: list[float]
    p_values: list[float]
    odd: list[bool]
    threshold: float | None
    rate: float


class Uploaded(BaseModel):
    """Under what name a model is asked for."""

    path: str


def _described(given: type[BaseModel], *answers: type[BaseModel] | str) -> dict[str, Any]:
    """What OpenAPI says of a route that takes and gives several forms."""
    content: dict[str, Any] = {JSON: {"schema": given.model_json_schema()}, NPY: BINARY}
    if given is Samples:
        content |= {PNG: BINARY, "image/jpeg": BINARY}
    answer = {
        JSON if isinstance(form, type) else form: (
            {"schema": form.model_json_schema()} if isinstance(form, type) else BINARY
        )
        for form in answers
    }
    return {
        "responses": {200: {"content": answer, "description": "In the form of the body."}},
        "openapi_extra": {"requestBody": {"content": content, "required": True}},
        "response_class": Response,
    }


api = APIRouter(tags=["programs"])


async def _samples(request: Request, opened: Opened, *, any_size: bool = False) -> Any:
    """The form of the body and the samples in it."""
    body, form = await request.body(), _form(request)
    x = await run_in_threadpool(_read, body, form, "samples", opened, any_size=any_size)
    return form, x


@api.post("/reconstruct", **_described(Samples, Samples, NPY, PNG))
async def reconstruct(service: Served, request: Request, model: Name = "") -> Response:
    """What the model makes of samples."""
    opened = await service.take(model)
    form, x = await _samples(request, opened)
    return await _answer(form, await service.batch(opened.model.reconstruct, x), opened)


@api.post("/denoise", **_described(Samples, Samples, NPY, PNG))
async def denoise(
    service: Served,
    request: Request,
    model: Name = "",
    job: Annotated[str, Query(max_length=100, description="A name for /api/progress.")] = "",
    level: Annotated[float | None, Query(ge=0, le=255, description=LEVEL)] = None,
) -> Response:
    """What the model makes of images of any size, in tiles; a file keeps its form, as PNG.

    The header X-Noise says what noise was found in a file.
    """
    opened = await service.take(model)
    if _form(request) == "png" and whole.takes_any_size(opened.model):
        return await _photograph(service, request, opened, job, level)
    form, x = await _samples(request, opened, any_size=True)
    if x.shape[1:] == opened.model.sample_shape_ and level is None:
        clean = await service.batch(opened.model.reconstruct, x)
    else:
        clean = await service.watched(
            job, request, lambda told: in_tiles(opened.model, x, level, progress=told)
        )
    return await _answer(form, clean, opened, x.dtype)


@api.post("/encode", **_described(Samples, Codes, NPY))
async def encode(service: Served, request: Request, model: Name = "") -> Response:
    """The codes of samples."""
    opened = await service.take(model)
    form, x = await _samples(request, opened)
    codes = await service.batch(opened.model.transform, x)
    return await _answer("json" if form == "png" else form, codes, opened, name="codes")


@api.post("/decode", **_described(Codes, Samples, NPY))
async def decode(service: Served, request: Request, model: Name = "") -> Response:
    """The samples of codes."""
    opened = await service.take(model)
    body, form = await request.body(), _form(request)
    codes = await run_in_threadpool(_read, body, form, "codes", opened)
    _need_few(len(codes), opened)
    return await _answer(form, await service.batch(opened.decode, codes), opened)


@api.post(
    "/score",
    response_model=Scores,
    **{**_described(Samples, Scores), "response_class": JSONResponse},
)
async def score(service: Served, request: Request, model: Name = "") -> Any:
    """How normal samples are, beside the normal ones that the detector was calibrated on."""
    opened = await service.take(model)
    _, x = await _samples(request, opened)
    detector = await service.heavily(opened.need_detector)
    scores = await service.batch(detector.score_samples, x)
    threshold = float(detector.offset_)
    return {
        "scores": scores.tolist(),
        "p_values": detector.p_values_of(scores).tolist(),
        "odd": (scores < threshold).tolist(),
        "threshold": threshold if np.isfinite(threshold) else None,
        "rate": detector.false_alarm_rate,
    }


@api.get("/generate", **_described(Codes, Samples, NPY, PNG) | {"openapi_extra": {}})
async def generate(
    *,
    service: Served,
    model: Name = "",
    n: Annotated[int, Query(ge=1, le=MOST, description="How many.")] = 1,
    temperature: Annotated[float, Query(ge=0, le=100, description=TEMPERATURE)] = 1.0,
    seed: Seed = 0,
    format: Annotated[Format, Query(description="The form of the answer.")] = "npy",
) -> Response:
    """New samples, from the prior, or from a law of the codes; PNG is a sheet of them."""
    opened = await service.take(model)
    _need_few(n, opened)
    new = await service.heavily(lambda: opened.sample(n, temperature, seed))
    return await _answer(format, _sheet(new, opened) if format == "png" else new, opened)


@api.post("/upload", status_code=201, openapi_extra=BODY)
async def upload(service: Served, request: Request) -> Uploaded:
    """Keep a model file and give its path. Only where the service takes uploads."""
    if not service.uploads:
        raise HTTPException(403, "This service takes no models: start it with --allow-uploads.")
    path = await run_in_threadpool(listing.keep, service.root, await request.body())
    return Uploaded(path=service.shelf.name(path))


def _need_few(n: int, opened: Opened) -> None:
    """Refuse to make so many samples of a model that they would fill the memory."""
    most = NUMBERS // opened.model.n_features_in_
    if n > most:
        raise InputError(f"{n} samples of this model are too many at a time: at most {most}.")


async def _photograph(
    service: Service, request: Request, opened: Opened, job: str, level: float | None
) -> Response:
    """The file that is the body, cleaned."""
    body = await request.body()

    def work(told: Callable[[float], None]) -> tuple[bytes, str]:
        before = memory.read_photograph_bytes(body)
        after, _, words = whole.cleaned(opened.model, before, level, told)
        return memory.photograph_bytes(after), words

    png, words = await service.watched(job, request, work)
    return Response(png, media_type=PNG, headers={"X-Noise": words})


def _form(request: Request) -> str:
    """The form of a body, by its content type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in (NPY, BYTES):
        return "npy"
    if kind.startswith("image/"):
        return "png"
    if kind == JSON:
        return "json"
    raise HTTPException(415, f"The body must be {JSON}, {NPY} or an image: name its content type.")


def _read(body: bytes, form: str, name: str, opened: Opened, *, any_size: bool = False) -> Any:
    """The samples or codes in a body."""
    if form == "npy":
        return memory.read_npy_bytes(body)
    if form == "json":
        return _numbers(body, name, "float32" if name == "codes" else opened.model.dtype_)
    if name == "codes":
        raise HTTPException(415, f"Codes are {JSON} or {NPY}.")
    if any_size:
        return memory.read_image_bytes(body)
    return memory.read_image_bytes(body, opened.model.image_shape_, runs.fit_of(opened.model))


def _numbers(body: bytes, name: str, dtype: str) -> np.ndarray:
    """The array that a JSON body has under a name; whole numbers become the model's type."""
    try:
        content = json.loads(body)
        array = np.array(content[name]) if isinstance(content, dict) else None
    except (ValueError, KeyError, RecursionError, OverflowError):
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise InputError(f'The body must be {{"{name}": [...]}}, with numbers of one shape in it.')
    array = checked("The body", array)
    if array.dtype.kind in "iu" and np.dtype(dtype).kind != "f":
        return array.astype(dtype) if (array == array.astype(dtype)).all() else array
    return array.astype(np.float32) if dtype == "float32" and array.dtype.kind != "f" else array


async def _answer(
    form: str, array: np.ndarray, opened: Opened, dtype: Any = None, *, name: str = "samples"
) -> Response:
    """An array in a form; an image is rounded to the type of the model's samples."""
    if form == "npy":
        return Response(await run_in_threadpool(memory.npy_bytes, array), media_type=NPY)
    if form == "json":
        rows: Callable[[], list[Any]] = array.tolist
        if name == "samples" and opened.model.fitted_.intake.table is not None:
            rows = partial(sent, opened.model, array)  # in words
        return Response(await run_in_threadpool(_json, name, rows), media_type=JSON)
    kind = np.dtype(dtype or opened.model.dtype_)
    return Response(await run_in_threadpool(memory.png_bytes, array, kind), media_type=PNG)


def _json(name: str, rows: Callable[[], list[Any]]) -> str:
    """Rows under a name, one by one: other threads wait while one call writes."""
    return f'{{"{name}": [{", ".join(map(json.dumps, rows()))}]}}'


def _sheet(images: np.ndarray, opened: Opened) -> np.ndarray:
    """Images side by side in one, (1, C, H, W)."""
    if not pictured(opened.model):
        raise InputError("This model has no pictures: ask for npy or json.")
    channels, height, width = opened.model.image_shape_ or (1, 1, 1)
    columns = int(np.ceil(np.sqrt(len(images))))
    lines = -(-len(images) // columns)
    tall, wide = height + GAP, width + GAP
    sheet = np.full((1, channels, lines * tall - GAP, columns * wide - GAP), images.max())
    for number, image in enumerate(images):
        y, x = (number // columns) * tall, (number % columns) * wide
        sheet[0, :, y : y + height, x : x + width] = image.reshape(channels, height, width)
    return sheet
