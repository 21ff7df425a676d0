#!/usr/bin/env bash
# Train what goes on from the shipped weights, side by side, and gather the weights that came of it.
#
#   tools/train_all.sh [--minutes 9] [--out FOLDER] [NAME ...]
#
# Each NAME is one of the trainings below; without any, all run. They share the machine: each gets an equal part of
# the cores for drawing its scenes. None waits for another, since each learns against shipped weights: what the
# picture model reads (CLIP's texts, the latents) stays as it is. FOLDER gets the weights, by model, and one log.
# What is better is decided by `make evaluate` afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A WITH=(
    [scorers]="--lr 5e-4 --fall 0.7"
    [clip]="--lock-text --lr 7e-4 --fall 0.5"
    [dino]="--fall 0.5"
    [unet]="--lr 2e-4 --fall 0.7"
    [motion]="--whole --fall 0.5"
    [music]="--lr 1e-3 --fall 0.5"
)
ALL=(clip scorers dino motion unet music) # the first are those whose figures are missed by most
declare -A FILES=([unet]=image/unet [music]=audio)
minutes=9 out=runs/out names=()
while (($#)); do
    case $1 in
        --minutes) minutes=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        *) [[ -v WITH[$1] ]] || { echo "no training $1; there are: ${ALL[*]}" >&2; exit 2; }
           names+=("$1"); shift ;;
    esac
done
((${#names[@]})) || names=("${ALL[@]}")
python=.venv/bin/python
[[ -x $python ]] || python=python3
cores=$(nproc) each=$(($(nproc) / ${#names[@]}))
((each > 0)) || each=1
mkdir -p "$out" runs

declare -A running=()
trap 'kill "${running[@]}" 2>/dev/null || true' EXIT
for name in "${names[@]}"; do
    # shellcheck disable=SC2086  # several words
    OMP_NUM_THREADS=$each "$python" -m "training.train_$name" --minutes "$minutes" --workers "$each" ${WITH[$name]} \
        >"runs/$name.log" 2>&1 &
    running[$name]=$!
done
echo "${names[*]}: $minutes minutes on $cores cores, $each each"

failed=()
for name in "${names[@]}"; do
    if wait "${running[$name]}"; then
        folder=${FILES[$name]:-$name}
        mkdir -p "$out/$folder"
        cp "assets/models/$folder/"*.safetensors "$out/$folder/"
    else
        failed+=("$name")
    fi
    { echo "== $name"; tr '\r' '\n' <"runs/$name.log" | tail -n 12; } | tee -a "$out/log.txt"
done
running=()
((${#failed[@]} == 0)) || { echo "failed: ${failed[*]}" >&2; exit 1; }
