"""One description per parameter of an endpoint: what is let in, the schema, and the sentence of refusal.

A parameter is described where it is declared, by its type: `Annotated[int, WHOLE, Field(ge=1, le=100)]`.
Pydantic checks it and writes its JSON schema; the sentence is read off that schema.
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import gradio as gr
from gradio_client.utils import python_type_to_json_schema
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from components.ui.language import Texts
from pipelines.serving.checks import MAX_CHARACTERS, MAX_SEED, has_lone_surrogate
from pipelines.serving.errors import InputError


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


def _file(value: Any) -> Any:
    if not (isinstance(value, dict) and isinstance(value.get("path"), str)):
        raise ValueError
    return value


def _unicode(text: str) -> str:
    if has_lone_surrogate(text):
        raise ValueError
    return text


WHOLE = BeforeValidator(_whole)  # JSON clients and language models may write 20.0 for 20
NUMBER = BeforeValidator(_number)
UNICODE = AfterValidator(_unicode)  # no halves of UTF-16 pairs


@dataclass(frozen=True)
class OneOf:
    """Metadata of a text that is one of a list, which is asked for when it is needed."""

    values: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def known(value: str) -> str:
            if value not in self.values():
                raise ValueError
            return value

        return core_schema.no_info_after_validator_function(known, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values())}


Text = Annotated[str, Strict(), Field(max_length=MAX_CHARACTERS), UNICODE]
WholeNumber = Annotated[int, WHOLE, Strict()]
RealNumber = Annotated[float, NUMBER, Strict(), Field(allow_inf_nan=False)]
Seed = Annotated[WholeNumber, Field(ge=0, le=MAX_SEED)]
Flag = Annotated[bool, Strict()]
File = Annotated[gr.FileData, PlainValidator(_file), WithJsonSchema(python_type_to_json_schema(gr.FileData))]


class ArgumentError(InputError):
    """A parameter that is not what it has to be.

    Args:
        name: of the parameter.
        schema: what it has to be, as a JSON schema.
        received: what came.
    """

    def __init__(self, name: str, schema: dict[str, Any], received: object) -> None:
        super().__init__("argument", name=name, received=received)
        self.schema = schema


@dataclass(frozen=True)
class Parameter:
    """One parameter of an endpoint."""

    adapter: TypeAdapter[Any]
    schema: dict[str, Any]


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """What each parameter of an endpoint has to be, in their order; with its words in the docstring."""
    hints, words = get_type_hints(function, include_extras=True), argument_words(function)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        adapter: TypeAdapter[Any] = TypeAdapter(hints[name])
        schema = _standard(adapter.json_schema()) | {"description": words.get(name, "")}
        if parameter.default is not inspect.Parameter.empty:
            schema["default"] = parameter.default
        found[name] = Parameter(adapter, schema)
    return found


def _standard(schema: Any) -> Any:
    """A schema with the standard's names for bounds, which pydantic leaves out behind a validator."""
    names = {"ge": "minimum", "le": "maximum"}
    if isinstance(schema, dict):
        return {names.get(name, name): _standard(value) for name, value in schema.items() if name != "title"}
    return [_standard(item) for item in schema] if isinstance(schema, list) else schema


def argument_words(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each parameter, whole: Gradio alone reads the first line of each."""
    doc = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", doc, re.MULTILINE)
    entry = r"^    (\w+): ((?:.*\n?)(?:     +.*\n?)*)"
    found = re.findall(entry, section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def checked(function: Callable[..., Any], parameters: Mapping[str, Parameter]) -> Callable[..., Any]:
    """An endpoint whose arguments are what its signature says, as `parameters_of` read it.

    Whole numbers written as 3.0 arrive as 3, numbers written as 3 as 3.0; nothing else is converted.

    Raises:
        ArgumentError: when it is called, for the first parameter that is something else.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind_partial(*args, **kwargs)
        bound.apply_defaults()
        for name in parameters:
            value = bound.arguments.get(name)  # what is missing and needed is refused as None is
            try:
                bound.arguments[name] = parameters[name].adapter.validate_python(value)
            except (ValidationError, RecursionError):
                raise ArgumentError(name, parameters[name].schema, value) from None
        return function(*bound.args, **bound.kwargs)

    return wrapped


def required(schema: dict[str, Any], t: Texts) -> str:
    """A JSON schema in words, such as "a whole number from 1 to 100"."""
    if options := schema.get("anyOf"):
        return t("errors.or").join(required(option, t) for option in options)
    if "enum" in schema:
        return t("errors.one_of", known=", ".join(f"“{v}”" if v == "" else str(v) for v in schema["enum"]))
    if "properties" in schema:
        return t("errors.a_file")
    kind = schema.get("type", "value")
    if kind == "array":
        return _list_in_words(schema, t)
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind in ("integer", "number") and low is not None:
        key = f"errors.a_{kind}_between" if high is not None else f"errors.a_{kind}_from"
        return t(key, low=low, high=high)
    return t(f"errors.a_{kind}", most=schema.get("maxLength", MAX_CHARACTERS))


def _list_in_words(schema: dict[str, Any], t: Texts) -> str:
    items = schema.get("prefixItems") or [schema.get("items", {})]
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    each = t("errors.and").join(dict.fromkeys(required(item, t) for item in items))
    if most is None:
        return t("errors.a_list", each=each)
    if least == most:
        return t("errors.a_list_of", most=most, each=each)
    return t("errors.a_list_between", least=least, most=most, each=each)
