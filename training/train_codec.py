"""Train the classroom codec: 16 kHz sound to four codes of 256 at 50 frames a second, and back.

Run: `python -m training.train_codec --minutes 40` (CPU or CUDA; resumes from its checkpoint, or from
the shipped weights). Writes `runs/codec`, an `EncodecModel` folder; `training.train_music` ships it
together with the music model that reads its codes. `--decoder-only` keeps the codes as they are and
writes into the shipped folder.

Source: Défossez et al. 2022, arXiv:2210.13438, sections 3.2 and 3.4 (without the discriminator).
"""

from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from pipelines.world.sound import SAMPLE_RATE
from training import quantiser, together
from training.common import (
    MODELS,
    RUNS,
    Average,
    Progress,
    load_fp32,
    parse_args,
    save_fp16,
    train,
)
from training.muon import Muon
from training.sound_pool import SoundPool, SoundStream, to_waves

NAME = "codec"
FOLDER = RUNS / "codec"
SHIPPED = MODELS / "audio" / "model.safetensors"
PREFIX = "audio_encoder."  # where `MusicgenForConditionalGeneration` holds its codec
# Zeros before the first sample, not a mirror of what follows: what is decoded never changes afterwards,
# so that sound can be heard while it is being made.
CONFIG: dict[str, Any] = {
    "sampling_rate": SAMPLE_RATE,
    "upsampling_ratios": [8, 5, 4, 2],
    "target_bandwidths": [1.6],  # kbit/s: 50 frames x 4 codebooks x 8 bits
    "codebook_size": 256,
    "codebook_dim": 64,
    "hidden_size": 64,
    "num_filters": 8,
    "num_lstm_layers": 1,
    "pad_mode": "constant",
}
CROP = SAMPLE_RATE // 2  # samples of a training example
FREE_STEPS = 4000  # steps before vectors become codes
SCALES = ((256, 24), (512, 40), (1024, 64), (2048, 80))  # window in samples, mel bands
TONES = (512, 2048)  # windows of the linear spectra, samples
# Weights of two losses beside that of the samples: before there are codes, and with codes.
MEL, TONAL = (0.1, 0.5), (0.3, 0.5)
SHALLOW = 0.25  # share of examples that use but one, two or three codebooks
_FLOOR = 2e-2  # some -55 dB of full scale: below it, nobody hears a difference


class MelDistance(nn.Module):
    """Distance of two waves in mel spectra of several window lengths.

    Source: Défossez et al. 2022, arXiv:2210.13438, eq. 2, with logarithms in place of squares.
    """

    def __init__(self, scales: tuple[tuple[int, int], ...] = SCALES) -> None:
        super().__init__()
        self.spectra = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                SAMPLE_RATE, window, hop_length=window // 4, n_mels=bands, power=1, normalized="window"
            )
            for window, bands in scales
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean absolute difference of the natural logarithms, a scalar, of `[batch, 1, sample]` waves."""
        parts = []
        for spectrum in self.spectra:
            x, y = spectrum(a), spectrum(b)
            parts.append(F.l1_loss((x + _FLOOR).log(), (y + _FLOOR).log()))
        return torch.stack(parts).mean()


def tonal_distance(decoded: Tensor, waves: Tensor) -> Tensor:
    """How much of the strongest tones is missed, a scalar: 0 for none, 1 for silence.

    The logarithms of `MelDistance` count loud and soft alike, and mel bands are wide: by them alone, a buzz
    with the right outline is a good sound, and the codec stays with it for very long.

    Source: Arık et al. 2018, arXiv:1808.06719, eq. 1 (spectral convergence).
    """
    parts = []
    for window in TONES:
        shape = torch.hann_window(window, device=waves.device)
        a, b = (
            torch.stft(w[:, 0], window, window // 4, window=shape, return_complex=True).abs()
            for w in (decoded, waves)
        )
        # A tone of this amplitude counts as silence, of which nothing can be missed.
        quiet = _FLOOR * window / 4 * a.shape[2] ** 0.5
        parts.append(((a - b).norm(dim=(1, 2)) / (b.norm(dim=(1, 2)) + quiet)).mean())
    return torch.stack(parts).mean()


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of `[batch, sample]` waves, dB, `[batch]`.

    Source: Le Roux et al. 2018, arXiv:1811.02508, eq. 4.
    """
    scale = (estimate * target).sum(1, keepdim=True) / target.pow(2).sum(1, keepdim=True).clamp(min=1e-8)
    part = scale * target
    noise = (estimate - part).pow(2).sum(1).clamp(min=1e-8)
    return 10 * torch.log10(part.pow(2).sum(1).clamp(min=1e-8) / noise)


def crops(waves: Tensor) -> Tensor:
    """Half a second of each of `[batch, 1, sample]` waves, beginning anywhere."""
    starts = torch.randint(waves.shape[2] - CROP + 1, (len(waves),))
    return torch.stack([w[:, s : s + CROP] for w, s in zip(waves, starts.tolist(), strict=True)])


def depths(batch: int, device: str) -> Tensor:
    """How many codebooks each example uses, so that the first ones alone give a coarse sound already."""
    shallow = torch.rand(batch, device=device) < SHALLOW
    return torch.where(shallow, torch.randint(1, 4, (batch,), device=device), 4)


def has_codes(model: Any) -> bool:
    """Whether the codebooks hold anything yet."""
    return bool(model.quantizer.layers[0].codebook.embed.any())


def loss_of(model: EncodecModel, waves: Tensor, distance: MelDistance) -> tuple[Tensor, dict[str, float]]:
    """What the codec minimises: the samples' squared error, and distances of spectra.

    Until the codebooks hold something, vectors pass as they are: codes put among vectors that still
    mean nothing are lost as soon as those move. From then on the encoder stays as it is, so that codes
    have something to settle on.
    """
    vectors = model.encoder(waves)
    coded, used = has_codes(model), {}
    if coded:
        vectors, codes = quantiser.quantise(model, vectors, depths(len(waves), str(waves.device)))
        used = {f"used_{i}": len(c.unique()) / CONFIG["codebook_size"] for i, c in enumerate(codes)}
    decoded = model.decoder(vectors)
    mel, tonal, wave = distance(decoded, waves), tonal_distance(decoded, waves), wave_error(decoded, waves)
    metrics = {"mel": mel.item(), "tonal": tonal.item(), "wave": wave.item(), **used}
    return wave + MEL[coded] * mel + TONAL[coded] * tonal, metrics


def wave_error(decoded: Tensor, waves: Tensor) -> Tensor:
    """Mean squared error of the samples as a share of the sound's own power, a scalar.

    This is what finds pitch: the notes of the world begin on frames and always alike, so the samples can
    be predicted, and the spectra alone leave the codec with a buzz of the right outline for very long.
    """
    error, power = ((w.pow(2).sum((1, 2))) for w in (decoded - waves, waves))
    return (error / (power + 1.0)).mean()


@torch.no_grad()
def reconstruction(model: EncodecModel, waves: Tensor) -> dict[str, float]:
    """How well whole clips come back, and how many codes each book uses, on `[clip, 1, 64000]` waves."""
    distance = MelDistance().to(waves.device)
    codes = torch.cat([model.encode(part).audio_codes for part in waves.split(16)], 1)
    decoded = torch.cat([model.decode(part, [None]).audio_values for part in codes.split(16, 1)])
    counts = quantiser.counted(codes[0])
    perplexities = quantiser.perplexity(counts.float())
    return {
        "log_mel": distance(decoded, waves).item(),
        "si_sdr": si_sdr(decoded[:, 0], waves[:, 0]).median().item(),
        **{f"usage_{i}": float(u) for i, u in enumerate((counts > 0).float().mean(1))},
        **{f"perplexity_{i}": float(p) for i, p in enumerate(perplexities)},
    }


def fresh_waves(seed: int, count: int) -> Tensor:
    """Clips that no training has seen, `[clip, 1, 64000]`."""
    return to_waves(next(iter(SoundStream(seed, count))))


def convolutions(model: nn.Module) -> dict[str, Any]:
    """All convolutions by name."""
    kinds = (nn.Conv1d, nn.ConvTranspose1d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def build(weights: dict[str, Tensor] | None = None) -> EncodecModel:
    """The codec as it is trained: each weight as one tensor, not as a direction and a length.

    The library's weight norm computes every weight anew at every step, and orthogonal steps (Muon) have no
    meaning for it. `normed` brings it back.

    Args:
        weights: in the library's form, or None for random ones.
    """
    model = EncodecModel(EncodecConfig(**CONFIG))
    if weights is not None:
        model.load_state_dict(weights)
    for layer in convolutions(model).values():
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
    return model


@torch.no_grad()
def normed(weights: dict[str, Tensor]) -> EncodecModel:
    """The library's own model, computing the same, from the weights of a `build` model."""
    model = EncodecModel(EncodecConfig(**CONFIG))
    model.load_state_dict({k: v for k, v in weights.items() if k in model.state_dict()}, strict=False)
    for name, layer in convolutions(model).items():
        layer.weight = weights[f"{name}.weight"].cpu()
    return model.eval()


def optimizer_of(model: EncodecModel) -> Muon:
    """Muon for all but what touches samples, vectors and codes."""
    last = len(model.encoder.layers) - 1
    edges = tuple(f"{part}.layers.{i}." for part in ("encoder", "decoder") for i in (0, last))
    return Muon(model, outer=edges, weight_decay=0.0)


def shipped_weights() -> dict[str, Tensor] | None:
    """The codec inside the shipped music model, or None."""
    everything = load_fp32(SHIPPED)
    return everything and {k.removeprefix(PREFIX): v for k, v in everything.items() if k.startswith(PREFIX)}


def load_codec(device: str) -> EncodecModel:
    """The codec that `export` wrote last, else the shipped one; frozen."""
    weights = load_fp32(FOLDER / "model.safetensors") or shipped_weights()
    if weights is None:
        raise FileNotFoundError("there is no codec yet: run `python -m training.train_codec`")
    model = EncodecModel(EncodecConfig(**CONFIG))
    model.load_state_dict(weights)
    return model.to(device).eval().requires_grad_(False)


def export(weights: dict[str, Tensor], *, into_shipped: bool) -> dict[str, float]:
    """Write the averaged weights as an `EncodecModel` folder. Returns the metrics of what was written."""
    model = normed(weights)
    halves = {k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(halves)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(FOLDER)
    save_fp16(model.state_dict(), FOLDER / "model.safetensors")
    everything = load_fp32(SHIPPED) if into_shipped else None
    if everything is not None:
        save_fp16(everything | {PREFIX + k: v for k, v in model.state_dict().items()}, SHIPPED)
    return reconstruction(model.eval(), fresh_waves(99, 24))


@torch.no_grad()
def even_out(model: EncodecModel, waves: Tensor) -> None:
    """Scale the fresh weights so that every convolution's channels have mean 0 and deviation 1, in place.

    With the library's initial weights what depends on the input fades from layer to layer, and the
    codec spends its first thousand steps on silence.

    Args:
        waves: `[batch, 1, sample]`, to measure with.

    Source: Salimans & Kingma 2016, arXiv:1602.07868, section 3.
    """

    def scale(layer: Any, _: tuple[Tensor], out: Tensor) -> Tensor:
        mean, deviation = out.mean((0, 2)), out.std((0, 2)).clamp(min=1e-6)
        layer.weight /= deviation.view((1, -1, 1) if isinstance(layer, nn.ConvTranspose1d) else (-1, 1, 1))
        layer.bias.copy_((layer.bias - mean) / deviation)
        return (out - mean[:, None]) / deviation[:, None]

    hooks = [layer.register_forward_hook(scale) for layer in convolutions(model).values()]
    model.decoder(model.encoder(waves))
    for hook in hooks:
        hook.remove()
    last = model.decoder.layers[-1].conv
    last.weight *= waves.std()
    last.bias.zero_()


@torch.no_grad()
def begin_codes(run: Progress, pool: SoundPool, device: str) -> None:
    """Put the codebooks where the averaged encoder's vectors are; it moves no more."""
    model: Any = run.model
    model.load_state_dict(run.average.weights)
    model.encoder.requires_grad_(False)
    waves = pool.column("sounds")[:512].to(device)
    vectors = torch.cat([model.encoder(part) for part in waves.split(8)])
    quantiser.start(model, vectors.transpose(1, 2).flatten(0, 1))
    together.share_weights(model.quantizer)
    run.average.weights |= {k: v.clone() for k, v in model.state_dict().items() if k.startswith("quantizer")}


def main() -> None:
    args = parse_args(
        "train_codec",
        minutes=40,
        batch=4,
        lr=1e-3,
        fresh=4,
        pool=3000,
        decoder_only="keep the codes as they are: a music model was trained on them",
    )
    torch.manual_seed(args.seed)
    model = build(None if args.restart else shipped_weights()).to(args.device)
    run = Progress.resume(NAME, model, optimizer_of(model), args)
    if args.decoder_only:
        model = build(shipped_weights()).to(args.device)
        run = Progress(NAME, model, optimizer_of(model), Average(model), run.step)
    model.encoder.requires_grad_(not has_codes(model))
    pool = SoundPool(args)
    if run.step == 0 and not has_codes(model):
        even_out(model, pool.column("sounds")[:16].to(args.device))
        together.share_weights(model)
        run.average = Average(model)
    model.train()
    model.quantizer.train(not args.decoder_only)
    distance = MelDistance().to(args.device)
    taken = run.step

    def compute() -> tuple[Tensor, dict[str, float]]:
        nonlocal taken
        if taken >= FREE_STEPS and not has_codes(model):
            begin_codes(run, pool, args.device)
        taken += 1
        return loss_of(model, crops(pool.sample()["sounds"]).to(args.device), distance)

    def write(averaged: dict[str, Tensor]) -> dict[str, float]:
        # Codes are running means already; averaged once more, they would lag behind.
        codes = {k: v for k, v in model.state_dict().items() if k.startswith("quantizer")}
        return export(averaged | codes, into_shipped=args.decoder_only)

    train(run, args, compute, export=write, save_every=500)


if __name__ == "__main__":
    main()
