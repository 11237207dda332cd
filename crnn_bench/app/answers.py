"""The shapes of the API's answers, as its documentation tells them."""

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """Why there is no answer, in a listener's words."""

    detail: str = Field(examples=["there is no audio in it, whatever its name says"])


class Health(BaseModel):
    """Whether the server can hear."""

    status: str = Field(examples=["ok"])
    models: int = Field(examples=[6])


class Score(BaseModel):
    """Weighted F1 on songs that were never heard, the mean over seeds, and its 95% interval; null is not known."""

    value: float = Field(examples=[0.86])
    low: float | None = Field(examples=[0.71])
    high: float | None = Field(examples=[0.95])


class Model(BaseModel):
    """A model to choose."""

    model_config = ConfigDict(from_attributes=True)

    key: str = Field(examples=["CRNN-AlbumSplit-3s-seed0-444a7f21"])
    title: str = Field(examples=["CRNN, AlbumSplit, 3 s"])
    classes: list[str] = Field(examples=[["Bach", "Chopin"]])
    score: Score | None


class Label(BaseModel):
    """A label and its mean probability over the slices."""

    label: str = Field(examples=["Bach"])
    probability: float = Field(examples=[0.91])


class Timeline(BaseModel):
    """What the model says of each slice."""

    start_seconds: list[float] = Field(examples=[[0.0, 3.0]])
    seconds: float = Field(description="of a slice", examples=[3.0])
    classes: list[str] = Field(description="of the columns of the probabilities", examples=[["Bach", "Chopin"]])
    probabilities: list[list[float]] = Field(description="a row a slice", examples=[[[0.9, 0.1], [0.8, 0.2]]])


class Familiar(BaseModel):
    """Whether the song is like those that the model was trained on; beyond the threshold do not rely on the label."""

    known: bool
    distance: float = Field(description="to the training songs, in the model's embedding", examples=[2.4])
    threshold: float = Field(description="that 95% of validation songs keep to", examples=[7.0])


class Similar(BaseModel):
    """A song of the experiment; if playable, its sound is at `/api/songs/{key}/{number}`."""

    track_id: str
    title: str
    artist: str
    album: str
    label: str
    number: int
    similarity: float = Field(description="cosine, at most 1")
    playable: bool


class Answer(BaseModel):
    """What one model says."""

    key: str
    title: str
    label: str = Field(description="by the vote of the slices", examples=["Bach"])
    top: list[Label] = Field(description="the most probable first")
    probabilities: dict[str, float] = Field(examples=[{"Bach": 0.91, "Chopin": 0.09}])
    timeline: Timeline
    familiar: Familiar | None
    similar: list[Similar]
    score: Score | None


class Analysed(BaseModel):
    """What the models say of a file."""

    name: str = Field(examples=["prelude.mp3"])
    seconds: float = Field(examples=[214.2])
    remark: str | None = Field(description="what is odd about the file, if anything is")
    models: list[Answer]


class Feature(BaseModel):
    """A feature's mean and variance over the song's frames; the tempo has no variance."""

    feature: str = Field(examples=["Spectral Centroid"])
    mean: float = Field(examples=[1150.4558])
    variance: float | None = Field(examples=[26548.641])


class Features(BaseModel):
    """The table of features."""

    first_seconds: float = Field(description="of the song; what comes later does not count", examples=[120.0])
    features: list[Feature]


class Listed(BaseModel):
    """A song of a playlist, and why it is there."""

    number: int
    track_id: str
    path: str = Field(description="where its sound is")
    playable: bool
    artist: str
    album: str
    title: str
    seconds: float
    label: str = Field(description="by the model")
    closeness: float = Field(description="to the seeds, 0 to 1")
    similarity: float = Field(description="to the closest seed")
    seed: str = Field(description="the closest")
    reason: str = Field(examples=["like Prelude (0.93); Bach"])


class Playlist(BaseModel):
    """Songs in their order."""

    variety: float
    notes: list[str] = Field(description="what the library did not allow")
    songs: list[Listed]
