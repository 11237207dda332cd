"""The HTTP API under `/api`: the same functions as the page's."""

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from crnn_bench.app import answers, limits, measures
from crnn_bench.app.analysis import Model
from crnn_bench.app.worker import GoneError
from crnn_bench.app.workers import RETRY_SECONDS, Busy, TooLongError, Workers
from crnn_bench.errors import BenchError

ABOUT = """What the models of an experiment say of a song, as its page does. No key is needed; an upload is heard, never
kept. Errors are JSON, `{"detail": "…"}`, in words that can be shown to a listener."""
GLANCE_SECONDS = 0.5  # between two looks whether the client is still there
LONGEST_LIST = 200  # songs
MOST_SEEDS = 20
STATUS = ((Busy, 503), (TooLongError, 504), (GoneError, 499), (limits.NotAudioError, 415))  # others: 422
FAULTS: dict[int | str, dict[str, Any]] = {
    code: {"model": answers.Fault, "description": words}
    for code, words in {
        400: "A field has a value that there is not.",
        413: "More than 200 MB; nothing was kept.",
        415: "No audio, by its name or by its header.",
        422: "Audio that cannot be heard: silent, cut off, too short, too long …; or a field is missing.",
        503: "Too many others are being served; `Retry-After` tells when to ask again.",
        504: "It took more than its time.",
    }.items()
}
ABSENT: dict[int | str, dict[str, Any]] = {404: {"model": answers.Fault, "description": "No such song, or no file."}}
SOUND: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/*": {}}, "description": "The file."}}
PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The picture."}}

Song = Annotated[UploadFile, File(description="wav, flac, ogg, mp3, au or aiff; up to 200 MB and 2 hours")]
Lifespan = Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]


def build(
    models: Sequence[Model],
    workers: Workers,
    files: Mapping[str, Sequence[str]],
    library: Sequence[str],
    folder: Path,
    lifespan: Lifespan,
) -> FastAPI:
    """Builds the application.

    Args:
        models: the first answers where none is named.
        workers: that open an `Analysis`.
        files: by the models' keys, those of the songs that it places.
        library: those of the songs of which playlists are made.
        folder: for uploads, each request's in a folder of its own that goes with it.
        lifespan: of the server.
    """
    app = FastAPI(title="crnn-bench", description=ABOUT, version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(BenchError, _in_words)
    _add_models(app, models, workers, files, library)
    _add_hearing(app, workers, [one.key for one in models], folder)
    _add_playlists(app, workers, folder)
    return app


async def _in_words(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return JSONResponse({"detail": str(error)}, status, headers)


def _add_models(
    app: FastAPI, models: Sequence[Model], workers: Workers, files: Mapping[str, Sequence[str]], library: Sequence[str]
) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = resources.files("crnn_bench.app").joinpath("docs.html")
        return HTMLResponse(page.read_text(encoding="utf-8"))

    @app.get("/api/health", summary="Whether the server answers", response_model=answers.Health)
    async def health() -> dict[str, Any]:
        return {"status": "ok", "models": len(models)}

    @app.get(
        "/api/models", summary="The models, the best on validation songs first", response_model=list[answers.Model]
    )
    async def tell() -> Sequence[Model]:
        return models

    @app.get("/api/songs/{key}/{number}", summary="The sound of a song of the experiment", responses=SOUND | ABSENT)
    async def song(request: Request, key: str, number: int) -> Response:
        return await _sound(request, workers, files.get(key, ()), key, number)

    @app.get("/api/library/{number}", summary="The sound of a song of the library", responses=SOUND | ABSENT)
    async def library_song(request: Request, number: int) -> Response:
        return await _sound(request, workers, library, models[0].key, number)


async def _sound(request: Request, workers: Workers, files: Sequence[str], key: str, number: int) -> Response:
    """A file of a list, or the part of it that a player asks for; no client ever names a path.

    A song without a file is made by the dataset of the model whose key is given.
    """
    if not 0 <= number < len(files) or (files[number] and not Path(files[number]).is_file()):
        raise HTTPException(404, "there is no such song, or its file is not here any more")
    if files[number]:
        return FileResponse(files[number], content_disposition_type="inline")
    return Response(await _asked(request, workers, "sound", key, number), media_type="audio/mpeg")


def _add_hearing(app: FastAPI, workers: Workers, keys: Sequence[str], folder: Path) -> None:
    @app.post("/api/analyse", summary="Whose song it is", response_model=answers.Analysed, responses=FAULTS)
    async def analyse(
        request: Request,
        file: Song,
        model: Annotated[str, Form(description="a model's key, or `all`; the first without it")] = keys[0],
        top: Annotated[int, Form(ge=1, description="labels to tell, the most probable first")] = 3,
    ) -> Any:
        if model not in (*keys, "all"):
            raise HTTPException(400, f"there is no model {model!r}; there are {', '.join(keys)}, and all")
        async with _received([file], folder) as (path,):
            said = await _asked(request, workers, "analyse", path, list(keys) if model == "all" else [model])
        for one in said["models"]:
            ranked = sorted(one["probabilities"].items(), key=lambda item: -item[1])[:top]
            one["top"] = [{"label": label, "probability": share} for label, share in ranked]
        return said

    @app.post("/api/features", summary="What it is made of", response_model=answers.Features, responses=FAULTS)
    async def features(request: Request, file: Song) -> Any:
        async with _received([file], folder) as (path,):
            rows = await _asked(request, workers, "features", path)
        return {"first_seconds": measures.TABLE_SECONDS, "features": rows}

    @app.post("/api/spectrogram", summary="How it looks", response_class=Response, responses=FAULTS | PICTURE)
    async def spectrogram(request: Request, file: Song) -> Response:
        async with _received([file], folder) as (path,):
            return Response(await _asked(request, workers, "spectrogram", path), media_type="image/png")


def _add_playlists(app: FastAPI, workers: Workers, folder: Path) -> None:
    @app.post("/api/playlist", summary="Songs that go with some", response_model=answers.Playlist, responses=FAULTS)
    async def playlist(
        request: Request,
        seeds: Annotated[list[UploadFile] | None, File(description="songs that it should go with")] = None,
        numbers: Annotated[list[int] | None, Form(description="of songs of the library, likewise")] = None,
        history: Annotated[
            UploadFile | None, File(description="or a CSV of what was played: `path` or track_id, and `plays`")
        ] = None,
        length: Annotated[int, Form(ge=1, le=LONGEST_LIST, description="songs")] = 20,
        variety: Annotated[float, Form(ge=0, le=1, description="0: the closest songs")] = 0.3,
        as_: Annotated[Literal["json", "m3u8"], Form(alias="format")] = "json",
    ) -> Any:
        if bool(history) == bool(seeds or numbers) or len(seeds or []) > MOST_SEEDS:
            raise HTTPException(400, f"give either a history or seeds, at most {MOST_SEEDS}")
        wanted = (length, variety, f"{request.base_url}api/library/{{number}}")
        if history:
            async with _received([history], folder, ("history.csv",)) as (path,):
                made = await _asked(request, workers, "playlist_by_history", path, *wanted)
        else:
            async with _received(seeds or [], folder) as paths:
                made = await _asked(request, workers, "playlist", paths, numbers or [], *wanted)
        return Response(made["m3u8"], media_type="audio/x-mpegurl") if as_ == "m3u8" else made


@contextlib.asynccontextmanager
async def _received(
    uploads: Sequence[UploadFile], folder: Path, names: Sequence[str] | None = None
) -> AsyncIterator[list[str]]:
    """Uploads as files of harmless names in a folder that is gone afterwards, whatever happens."""
    names = names or [limits.harmless(one.filename) for one in uploads]
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        paths = [own / str(number) / name for number, name in enumerate(names)]
        for one, path in zip(uploads, paths, strict=True):
            await asyncio.to_thread(_keep, one, path)
        yield list(map(str, paths))
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _keep(upload: UploadFile, path: Path) -> None:
    path.parent.mkdir()
    with path.open("xb") as file:
        shutil.copyfileobj(upload.file, file, 2**20)


async def _asked(request: Request, workers: Workers, task: str, *arguments: object) -> Any:
    """A worker's answer; a task whose client goes away does not begin, or ends at its next word."""
    gone = threading.Event()
    answer = asyncio.ensure_future(asyncio.to_thread(workers.ask, task, *arguments, gone=gone.is_set))
    while not answer.done():
        await asyncio.wait([answer], timeout=GLANCE_SECONDS)
        if not answer.done() and await request.is_disconnected():
            gone.set()
    return answer.result()
