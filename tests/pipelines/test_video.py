"""Films step by step: the library's own film to the bit, schedules, seeds, stops, and what is refused."""

import inspect
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AnimateDiffPipeline, StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.image.load import assemble
from pipelines.serving import catalogue
from pipelines.serving.catalogue import ASSETS
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.errors import InputError
from pipelines.video import video
from pipelines.video.animatediff import read_schedule
from pipelines.video.load import video_pipeline
from pipelines.video.request import VideoRequest

REQUEST = VideoRequest(
    "A cat walks right in a meadow.", seed=3, num_inference_steps=3, num_frames=5, model="classroom-video"
)
SMALL = replace(REQUEST, height=32, width=32, num_frames=4)


@pytest.fixture(scope="module")
def pipe() -> AnimateDiffPipeline:
    return video_pipeline("classroom-video")


@on_compute_thread
def library_film(pipe: AnimateDiffPipeline, request: VideoRequest, **kwargs: object) -> torch.Tensor:
    """`[frame, 4, y, x]` of the unchanged pipeline."""
    found = pipe(
        request.prompt, num_frames=request.num_frames, num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale, negative_prompt=request.negative_prompt or None,
        height=request.height, width=request.width, output_type="latent",
        generator=torch.Generator().manual_seed(request.seed), **kwargs,
    )  # fmt: skip
    return found.frames[0].transpose(0, 1)


def test_a_film_is_the_librarys_to_the_bit_while_it_is_looked_at(pipe: AnimateDiffPipeline) -> None:
    steps = list(video.generate(REQUEST))
    expected = library_film(pipe, REQUEST)
    assert np.array_equal(steps[-1].latents, expected.numpy())
    assert [step.index for step in steps] == [0, 1, 2]
    assert all(step.inside is not None for step in steps)
    drawn = pipe.video_processor.postprocess_video(
        video=pipe.decode_latents(expected.transpose(0, 1)[None], 16), output_type="pil"
    )[0]
    trace = video.finish(REQUEST, steps)
    assert [a.tobytes() for a in trace.frames] == [b.tobytes() for b in drawn]


@pytest.mark.parametrize("scale", [1.5, 9.0])
def test_negative_prompt_scale_and_size_reach_the_library_as_they_are(
    pipe: AnimateDiffPipeline, scale: float
) -> None:
    request = replace(SMALL, guidance_scale=scale, negative_prompt="text, blur", height=40)
    found = list(video.generate(request))[-1].latents
    assert found.shape == (4, 4, 10, 8)
    assert np.array_equal(found, library_film(pipe, request).numpy())


def test_without_attention_between_frames_each_is_a_picture_of_its_own(pipe: AnimateDiffPipeline) -> None:
    """Each frame is what the picture model draws from that frame's noise alone."""
    request = replace(SMALL, motion=False)
    steps = list(video.generate(request))
    assert all(step.inside is None for step in steps)
    pictures: StableDiffusionPipeline = assemble(ASSETS / "image")
    pictures.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(request.seed))
    for frame in range(4):
        alone = pictures(
            request.prompt, num_inference_steps=3, guidance_scale=5.0, latents=noise[:, :, frame],
            output_type="latent", height=32, width=32,
        ).images  # fmt: skip
        np.testing.assert_allclose(steps[-1].latents[frame], alone[0].numpy(), atol=2e-4)
    together = list(video.generate(SMALL))[-1].latents
    assert np.abs(together - steps[-1].latents).max() > 0.05


def test_the_last_estimate_is_the_film_and_seeds_decide_it() -> None:
    steps = list(video.generate(SMALL))
    np.testing.assert_allclose(steps[-1].denoised, steps[-1].latents, atol=1e-4)
    again = list(video.generate(SMALL))
    assert np.array_equal(steps[-1].latents, again[-1].latents)
    other = list(video.generate(replace(SMALL, seed=4)))
    assert not np.allclose(steps[-1].latents, other[-1].latents)


def test_a_schedule_goes_over_from_text_to_text_as_the_librarys_does(
    pipe: AnimateDiffPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what `enable_free_noise` sets; it also looks for motion modules in the middle block, which ours has not
    monkeypatch.setattr(pipe, "_free_noise_prompt_interpolation_callback", pipe._lerp, raising=False)
    later = ((2, "A dog in the snow."), (6, "A red car."))
    request = replace(REQUEST, later=later, num_frames=9, negative_prompt="blur").validated()
    ours = on_compute_thread(read_schedule)(pipe, request)
    theirs, _ = pipe._encode_prompt_free_noise(
        {0: request.prompt, **dict(later)}, 9, pipe.device, 1, True, "blur"
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours[9 + 6], ours[9 + 8])
    assert not torch.equal(ours[9], ours[9 + 1])


def test_a_text_for_later_frames_leaves_the_text_of_the_first_ones_alone() -> None:
    """Without attention between frames, only the frames that are told something else change."""
    apart = replace(SMALL, motion=False)
    told = replace(apart, later=((1, apart.prompt), (2, "A red car on the beach at night.")))
    one, other = (list(video.generate(r))[-1].latents for r in (apart, told))
    np.testing.assert_allclose(one[:2], other[:2], atol=1e-4)
    assert all(np.abs(one[i] - other[i]).max() > 0.05 for i in (2, 3))
    whole = list(video.generate(replace(apart, prompt="A red car on the beach at night.")))[-1].latents
    np.testing.assert_allclose(other[2:], whole[2:], atol=1e-4)


def test_a_run_stops_between_two_steps_and_others_go_on() -> None:
    run, other = video.generate(SMALL), video.generate(SMALL)
    first = next(run)
    run.close()
    assert list(run) == []
    assert len(list(other)) == 3
    trace = video.finish(SMALL, [first])
    assert not trace.whole and len(trace.frames) == 4


def test_a_run_can_be_stopped_from_another_thread() -> None:
    run = video.generate(replace(SMALL, num_inference_steps=50))
    next(run)
    thread = threading.Thread(target=run.close)
    thread.start()
    thread.join()
    assert list(run) == []


def test_films_and_pictures_of_several_visitors_do_not_mix() -> None:
    alone = [list(video.generate(replace(SMALL, seed=seed)))[-1].latents for seed in (1, 2)]
    found: dict[int, np.ndarray] = {}

    def draw(seed: int) -> None:
        found[seed] = list(video.generate(replace(SMALL, seed=seed)))[-1].latents

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[seed], alone[seed - 1]) for seed in (1, 2))


@pytest.mark.parametrize(
    "change, key",
    [
        ({"prompt": "  "}, "film_prompt_empty"),
        ({"prompt": "a" * 2001}, "prompt_too_long"),
        ({"num_frames": 0}, "frames_range"),
        ({"num_frames": 500}, "frames_range"),
        ({"num_frames": 3.5}, "frames_range"),
        ({"num_frames": True}, "frames_range"),
        ({"height": 63}, "film_size_range"),
        ({"width": 24}, "film_size_range"),
        ({"width": float("nan")}, "film_size_range"),
        ({"later": [[8, "a"], [3, "b"]], "num_frames": 16}, "schedule_order"),
        ({"later": [[3, "a"], [3, "b"]]}, "schedule_order"),
        ({"later": [[5, "a"]]}, "schedule_frame"),
        ({"later": [[0, "a"]]}, "schedule_frame"),
        ({"later": [[2, " "]]}, "film_prompt_empty"),
        ({"later": "later"}, "schedule_shape"),
        ({"later": [[1]]}, "schedule_shape"),
        ({"num_inference_steps": 0}, "steps_range"),
        ({"guidance_scale": float("inf")}, "guidance_scale_range"),
        ({"seed": -1}, "seed_range"),
        ({"model": "classroom-image"}, "model_unknown"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_first_step(change: dict, key: str) -> None:
    with pytest.raises(InputError) as refused:
        video.generate(replace(REQUEST, **change))
    assert refused.value.key == key


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 20), st.sampled_from(["a cat", "", "x"])), max_size=4),
    st.one_of(st.integers(-5, 600), st.floats(allow_nan=True), st.none()),
)
def test_any_schedule_is_accepted_in_order_or_refused_with_a_key(later: list, frames: object) -> None:
    request = replace(REQUEST, later=tuple(later), num_frames=frames)  # type: ignore[arg-type]
    refused = _refusal(request)
    if refused is not None:
        assert refused in ("schedule_order", "schedule_frame", "film_prompt_empty", "frames_range")
        return
    checked = request.validated()
    order = [frame for frame, _ in checked.later]
    assert order == sorted(set(order))
    assert all(1 <= frame < checked.num_frames for frame in order)
    assert VideoRequest(**checked.parameters()).validated() == checked


def _refusal(request: VideoRequest) -> str | None:
    try:
        request.validated()
    except InputError as error:
        return error.key
    return None


def test_only_listed_models_load_and_nothing_loads_at_import() -> None:
    assert next(e.id for e in catalogue.entries("video")) == "classroom-video"
    assert all(e.frame is not None for e in catalogue.entries("video"))
    assert "import torch" not in inspect.getsource(video)
    assert (Path(catalogue.entry("classroom-video").source) / "config.json").exists()
