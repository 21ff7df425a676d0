"""The embeddings tab: where a prompt stands in meaning space, and whether one can calculate there."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from components.embeddings.arithmetic import build_arithmetic
from components.embeddings.directions import build_directions
from components.embeddings.map import lay_out_map, wire_map
from components.page.prompt_bar import PromptBar
from components.runs.arguments import ClipModel
from components.runs.queues import TEXT, endpoint
from components.ui.arguments import Text, WholeNumber
from components.ui.language import Texts
from components.ui.layout import tab_frame
from pipelines.clip.embeddings import difference, embed


def build_embeddings_tab(bar: PromptBar, t: Texts) -> None:
    """Draw the tab and wire it.

    Args:
        bar: the prompt bar; this tab reads its two prompts and its CLIP model.
    """
    with tab_frame(t, "embeddings") as tab:
        view = lay_out_map(t)
        wire_map(bar, view, tab, t)
        build_directions(bar, tab, view.is_open, t)
        build_arithmetic(bar, tab, t)


@endpoint(TEXT)
def embeddings(
    prompt: Text = "A small cat on a bed.",
    prompt_b: Text = "",
    model: ClipModel = "classroom-clip",
    neighbours: Annotated[WholeNumber, Field(ge=1, le=50)] = 8,
) -> dict[str, Any]:
    """Place a prompt in CLIP's space: its vector, its nearest captions, its position on the map.

    Args:
        prompt: the text to read.
        prompt_b: a second text to compare with; may be empty.
        model: id of a CLIP model of the catalogue.
        neighbours: how many of the world's captions to list, 1 to 50.

    Returns:
        `vector` (numbers of a vector of length one), `neighbours` (caption and cosine, found in
        the original space), `map` (position on the three fixed principal axes); with a second
        prompt also `vector_b`, `neighbours_b`, `map_b`, their `cosine`, and `words`: how much the
        difference points to each word of the world.
    """
    texts = [prompt, prompt_b] if prompt_b.strip() else [prompt]
    found = embed(texts, model, neighbours)
    answer: dict[str, Any] = {"model": model}
    for suffix, e in zip(("", "_b"), found, strict=False):
        answer |= {
            f"vector{suffix}": [round(float(v), 6) for v in e.vector],
            f"neighbours{suffix}": [
                {"caption": n.world.text, "cosine": round(n.cosine, 6)} for n in e.neighbours
            ],
            f"map{suffix}": [round(float(v), 6) for v in e.position],
        }
    if len(found) == 2:
        change = difference(found[0].vector, found[1].vector, model)
        answer["cosine"] = round(change.cosine, 6)
        answer["words"] = [
            {"kind": w.kind, "word": w.value, "cosine": round(w.cosine, 6)} for w in change.words
        ]
    return answer


API: dict[str, Callable[..., Any]] = {"embeddings": embeddings}
