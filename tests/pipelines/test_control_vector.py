"""What the generator is handed, against the library's own encoders; the levers, against lone runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.image import control_vector as cv
from pipelines.image import image
from pipelines.image.encoding import PromptCache, encode
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.text.tokens import token_view

pytestmark = pytest.mark.usefixtures("tiny_models")

A, B = "A small cat on a bed.", "A red car in the snow."
LONG = "a red cat and " * 40
TYPED_END = "cat <|endoftext|> dog"  # the encoders pool at the first end mark, which is the typed one
REQUEST = ImageRequest(A, seed=3, num_inference_steps=4, model="classroom-image")


@on_compute_thread
@torch.no_grad()
def library(prompt: str, model: str) -> tuple[np.ndarray, ...]:
    """The last encoder called by itself: last and last but one hidden states, and what it pools."""
    pipe = image_pipeline(model)
    second = getattr(pipe, "text_encoder_2", None)
    tokenizer, encoder = (pipe.tokenizer_2, second) if second else (pipe.tokenizer, pipe.text_encoder)
    ids = tokenizer(prompt, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    out = encoder(ids.input_ids, output_hidden_states=True)
    pooled = out.text_embeds if second else out.pooler_output
    return tuple(part[0].numpy() for part in (out.last_hidden_state, out.hidden_states[-2], pooled))


@pytest.mark.parametrize("prompt", [A, "", LONG, "ein Kätzchen 🐈", TYPED_END, f"{TYPED_END} {LONG}"])
@pytest.mark.parametrize("model", ["classroom-image", "tiny-sd"])
def test_the_sequence_is_the_librarys_and_the_pooled_row_is_the_end_tokens(prompt, model):
    vector = cv.control_vector(prompt, model)
    states, _, pooled = library(prompt, model)
    np.testing.assert_allclose(vector.sequence, states, atol=1e-5)
    np.testing.assert_allclose(vector.pooled, pooled, atol=1e-5)
    np.testing.assert_array_equal(vector.pooled, vector.sequence[vector.end])
    assert vector.pooled_is_row


def test_stable_diffusion_xl_is_handed_both_encoders_side_by_side_and_a_pooled_vector():
    vector = cv.control_vector(A, "tiny-turbo")
    _, last_but_one, pooled = library(A, "tiny-turbo")
    assert vector.sequence.shape == (77, 64)
    np.testing.assert_allclose(vector.sequence[:, 32:], last_but_one, atol=1e-5)
    np.testing.assert_allclose(vector.pooled, pooled, atol=1e-5)
    assert not vector.pooled_is_row


def test_what_a_model_reads_is_its_own_configuration():
    kinds = {
        "classroom-image": ("attended", 0, 1),
        "tiny-sd": ("sequence", 0, 1),
        "tiny-turbo": ("pooled", 32, 2),
    }
    for model, (kind, pooled, encoders) in kinds.items():
        unet = image_pipeline(model).unet
        layers = sum(".attn2." in name for name in unet.attn_processors)
        reads = cv.control_vector(A, model).reads
        assert reads == cv.Reads(kind, layers, unet.config.cross_attention_dim, pooled, encoders)


@pytest.mark.parametrize("prompt", [A, LONG, "", TYPED_END])
def test_the_end_is_where_the_engine_takes_the_pooled_vector_from(prompt):
    request = replace(REQUEST, prompt=prompt, guidance_scale=5)
    read = on_compute_thread(encode)(image_pipeline(REQUEST.model), request)
    vector = cv.control_vector(prompt, REQUEST.model)
    assert vector.end == read.pools[-1]
    assert vector.tokens.used - 1 == read.ends[-1]
    np.testing.assert_array_equal(vector.sequence, read.states[-1].numpy())


def test_nearest_rows_are_found_one_by_one():
    vector = cv.control_vector(A, REQUEST.model)
    rows = vector.sequence.astype(float)
    for place in (0, 3, vector.end, 76):
        cosines = {
            other: rows[place] @ row / np.linalg.norm(rows[place]) / np.linalg.norm(row)
            for other, row in enumerate(rows)
            if other != place
        }
        best = sorted(cosines.values(), reverse=True)[: cv.NEAREST]
        np.testing.assert_allclose(vector.cosines[place], best, atol=1e-5)
        for other, cosine in zip(vector.nearest[place], vector.cosines[place], strict=True):
            assert cosines[int(other)] == pytest.approx(cosine, abs=1e-5)
    np.testing.assert_allclose(vector.lengths, np.sqrt((rows**2).sum(1)), rtol=1e-5)


def test_padding_is_not_empty_and_the_start_reads_nothing_but_itself():
    vector = cv.control_vector(A, REQUEST.model)
    change = np.abs(vector.sequence - vector.empty).max(axis=1)
    assert change[0] < 1e-5
    assert (change[vector.tokens.used :] > 0.1).all()


def test_the_scale_is_the_same_for_every_text():
    assert cv.control_vector(A, REQUEST.model).limit == cv.control_vector(LONG, REQUEST.model).limit > 0


def test_the_strip_in_one_batch_is_its_lone_runs_and_its_ends_are_the_plain_pictures():
    requests = cv.strip_requests(REQUEST, B)
    drawn = cv.draw(requests, (A, B))
    assert [r.steering.blend for r in drawn.requests] == list(cv.STATIONS)
    assert drawn.clip_scores.shape == (7, 2)
    for request, picture in zip(requests, drawn.images, strict=True):
        alone = np.asarray(image.run(request).image, int)
        assert np.abs(np.asarray(picture, int) - alone).max() <= 1
    for end, prompt in ((0, A), (6, B)):
        plain = np.asarray(image.run(replace(REQUEST, prompt=prompt)).image, int)
        assert np.abs(np.asarray(drawn.images[end], int) - plain).max() <= 1
    middle = np.asarray(drawn.images[3], int)
    assert all(np.abs(middle - np.asarray(drawn.images[i], int)).max() > 3 for i in (0, 6))


def test_the_middle_of_the_strip_is_the_mean_of_both_sequences():
    request = cv.at_blend(cv.strip_requests(REQUEST, B)[0], 0.5)
    states = {p: torch.tensor(cv.control_vector(p, REQUEST.model).sequence) for p in (A, B)}
    pipe = image_pipeline(REQUEST.model)
    empty = torch.tensor(cv.control_vector("", REQUEST.model).sequence)

    @on_compute_thread
    def library_call() -> np.ndarray:
        return pipe(
            prompt_embeds=((states[A] + states[B]) / 2)[None], negative_prompt_embeds=empty[None],
            num_inference_steps=4, guidance_scale=5.0, output_type="latent",
            generator=torch.Generator().manual_seed(3),
        ).images[0].numpy()  # fmt: skip

    drawn = image.run(request).steps[-1].latents
    np.testing.assert_allclose(drawn, library_call(), atol=1e-3)


def test_weight_one_changes_nothing_and_weights_stand_where_they_belong():
    tokens = token_view(A, REQUEST.model)
    requests = cv.weight_requests(REQUEST, cv.places_from(tokens, 3, onwards=False))
    assert [r.steering.token_weights for r in requests] == [((3, w),) for w in cv.WEIGHTS]
    drawn = cv.draw(requests, (A, "cat"))
    plain = np.asarray(image.run(REQUEST).image, int)
    assert np.abs(np.asarray(drawn.images[2], int) - plain).max() <= 1
    assert np.abs(np.asarray(drawn.images[0], int) - plain).max() > 3
    assert np.abs(np.asarray(drawn.images[4], int) - plain).max() > 3


def test_from_a_token_on_means_end_and_padding_too():
    tokens = token_view(A, REQUEST.model)
    assert cv.places_from(tokens, 3, onwards=True) == tuple(range(3, 77))
    everything = cv.weight_requests(
        replace(REQUEST, guidance_scale=1), cv.places_from(tokens, 1, onwards=True)
    )
    nothing = image.run(replace(REQUEST, guidance_scale=0))
    latents = image.run(everything[0]).steps[-1].latents
    np.testing.assert_allclose(latents, nothing.steps[-1].latents, atol=1e-3)  # only the empty prompt is left
    with pytest.raises(InputError, match="token_place_unknown"):
        cv.places_from(tokens, 77, onwards=False)


def test_pooled_runs_come_in_pairs_of_seeds():
    requests = cv.pooled_requests(replace(REQUEST, seed=2**32 - 2))
    assert [r.seed for r in requests] == [2**32 - 2, 2**32 - 1, 0, 1] * 2
    assert [r.steering.pooled_only for r in requests] == [False] * 4 + [True] * 4


def test_runs_that_were_stopped_show_their_estimates():
    steps = [next(image.generate(request)) for request in (REQUEST, replace(REQUEST, seed=4))]
    drawn = cv.finish([REQUEST, replace(REQUEST, seed=4)], steps, [A])
    expected = image.decode(np.stack([s.denoised_guided for s in steps]), REQUEST.model)
    assert [p.tobytes() for p in drawn.images] == [p.tobytes() for p in expected]


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-turbo"])
def test_other_peoples_models_are_steered_by_the_same_code(model):
    request = replace(REQUEST, model=model, num_inference_steps=2, guidance_scale=1)
    drawn = cv.draw(cv.strip_requests(request, B), (A, B))
    assert np.isfinite(drawn.clip_scores).all()
    plain = image.run(replace(request, prompt=B)).image
    assert np.abs(np.asarray(drawn.images[6], int) - np.asarray(plain, int)).max() <= 1
    alone = cv.draw(cv.pooled_requests(request), [A])
    assert len({p.tobytes() for p in alone.images}) > 4


@pytest.mark.parametrize(
    ("before", "prompt", "kept"),
    [
        (None, A, (3, "cat")),
        (None, "the moody fog", (2, "moody")),
        (None, "on the", (1, "on")),
        (None, "dimm", (1, "di")),
        (None, "", None),
        ((3, "cat"), "A cat.", (2, "cat")),
        ((3, "cat"), "a cat and a very small cat", (2, "cat")),
        ((7, "cat"), "a cat and a very small cat", (7, "cat")),
        ((3, "cat"), "A small dog on a bed.", (3, "dog")),
        ((3, "cat"), "catalogue fog", (1, "catalogue")),
    ],
)
def test_a_chosen_token_is_found_again_or_replaced(before, prompt, kept):
    choice = cv.Choice(*before, before[1]) if before else None
    found = cv.keep_choice(token_view(prompt, REQUEST.model), choice)
    assert (found and (found.place, found.text)) == kept


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("prompts_equal", lambda: cv.strip_requests(REQUEST, A)),
        ("prompts_equal", lambda: cv.strip_requests(REQUEST, "a  SMALL cat on a bed.")),
        ("prompts_equal", lambda: cv.check_pair(LONG, LONG + "and a dog", REQUEST.model)),
        ("prompt_b_empty", lambda: cv.strip_requests(REQUEST, " ")),
        ("prompt_empty", lambda: cv.strip_requests(replace(REQUEST, prompt=""), B)),
        ("prompt_too_long", lambda: cv.control_vector("a" * 2001, REQUEST.model)),
        ("text_broken", lambda: cv.control_vector("\ud800", REQUEST.model)),
        ("model_unknown", lambda: cv.control_vector(A, "classroom-clip")),
        ("blend_range", lambda: cv.at_blend(cv.strip_requests(REQUEST, B)[0], 1.1)),
        ("token_weight_range", lambda: cv.at_weight(cv.weight_requests(REQUEST, [3])[0], 2.5)),
        ("token_weights_shape", lambda: Steering(token_weights=[[1]]).validated(4)),
        ("token_weights_shape", lambda: Steering(token_weights="12").validated(4)),
        ("token_place_unknown", lambda: cv.draw(cv.weight_requests(REQUEST, [77]), [A])),
    ],
)
def test_what_cannot_be_steered_is_named(key, call):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.key == key


def test_the_pooled_vector_everywhere_is_that_of_the_first_end_mark():
    request = replace(REQUEST, prompt=TYPED_END, steering=Steering(pooled_only=True))
    states = on_compute_thread(PromptCache().of)(image_pipeline(REQUEST.model), request)[0].states[-1]
    pooled = library(TYPED_END, REQUEST.model)[2]
    np.testing.assert_allclose(states.numpy(), np.broadcast_to(pooled, states.shape), atol=1e-5)
