"""The same experiments for programs: one endpoint per tab, listed once."""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from components.runs.queues import endpoint_queue
from components.ui.errors import message
from components.ui.language import load_texts
from pipelines.serving.errors import InputError

log = logging.getLogger(__name__)
# Runs of the image model share their steps, trainings take turns step by step; everything else that runs a
# model waits its turn.
_STEPPED = {
    "generate_image",
    "generate_video",
    "generate_film",
    "guidance_sweep",
    "cross_attention",
    "switch_prompts",
    "cut_blocks",
    "steer",
    "follow_prompt",
    "prompt_variants",
    "leave_one_out",
    "train_contrastive",
    "train_dino",
    "generate_audio",
}


def _clear_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """An `InputError` becomes its English sentence; anything else is logged and kept calm."""
    t = load_texts("en")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            raise gr.Error(message(error, t), print_exception=False) from error
        except Exception as error:
            log.error("unexpected error in /%s", function.__name__, exc_info=error)
            raise gr.Error(t("errors.unexpected"), print_exception=False) from error

    return wrapped


def register(api: dict[str, Callable[..., Any]]) -> None:
    """List functions as endpoints of the page being built.

    Args:
        api: typed functions with Google docstrings by endpoint name. Their parameters need
            defaults, so that a call names only what it changes.
    """
    for name, function in api.items():
        stepped = name in _STEPPED
        gr.api(
            _clear_errors(function),
            api_name=name,
            api_description=inspect.getdoc(function),  # Gradio alone lists only its first part
            **endpoint_queue(stepped),
        )
