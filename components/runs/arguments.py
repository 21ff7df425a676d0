"""What the parameters of the endpoints have to be; those of the same name mean the same in all of them."""

from typing import Annotated

from pydantic import AfterValidator, Field, Strict

from components.ui.arguments import UNICODE, OneOf, RealNumber, Text, WholeNumber
from pipelines.image.request import MAX_GUIDANCE_SCALE, MAX_STEPS, SCHEDULERS
from pipelines.serving import catalogue
from pipelines.text.tokens import MAX_CHARACTERS as MAX_TOKENIZED


def _ids(role: str | None) -> tuple[str, ...]:
    return tuple(entry.id for entry in catalogue.entries(role))


def _preselected(role: str) -> AfterValidator:
    return AfterValidator(lambda model: model or catalogue.default_id(role))


MOST_WEIGHTS = 512  # token places of the longest text encoder of the catalogue

GuidanceScale = Annotated[RealNumber, Field(ge=0, le=MAX_GUIDANCE_SCALE)]
GuidanceScales = Annotated[list[GuidanceScale], Strict(), Field(min_length=1, max_length=8)]
Steps = Annotated[WholeNumber, Field(ge=1, le=MAX_STEPS)]
SwitchSteps = Annotated[
    list[Annotated[WholeNumber, Field(ge=0, le=MAX_STEPS)]], Strict(), Field(min_length=1, max_length=16)
]
# pairs, as JSON has them: lists of two
TokenWeights = Annotated[
    list[Annotated[list[RealNumber], Strict(), Field(min_length=2, max_length=2)]],
    Strict(),
    Field(max_length=MOST_WEIGHTS),
]
LaterTexts = Annotated[
    list[Annotated[list[WholeNumber | Text], Strict(), Field(min_length=2, max_length=2)]],
    Strict(),
    Field(max_length=32),
]
LongText = Annotated[str, Strict(), Field(max_length=MAX_TOKENIZED), UNICODE]
Scheduler = Annotated[str, Strict(), OneOf(lambda: SCHEDULERS)]
# an empty id means the preselected model
ImageModel = Annotated[str, Strict(), OneOf(lambda: ("", *_ids("image"))), _preselected("image")]
VideoModel = Annotated[str, Strict(), OneOf(lambda: ("", *_ids("video"))), _preselected("video")]
AudioModel = Annotated[str, Strict(), OneOf(lambda: ("", *_ids("audio"))), _preselected("audio")]
ClipModel = Annotated[str, Strict(), OneOf(lambda: _ids("clip"))]
VisionModel = Annotated[str, Strict(), OneOf(lambda: _ids("dino"))]
AnyModel = Annotated[str, Strict(), OneOf(lambda: _ids(None))]
