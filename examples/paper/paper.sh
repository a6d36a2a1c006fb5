#!/usr/bin/env bash
# The paper, from the training images to its tables. See README.md beside this file.
#
#   SCALE=small OUT=small bash examples/paper/paper.sh      about a minute, needs no data
#   TRAIN=train.rec LFW=lfw/ bash examples/paper/paper.sh   days, on a GPU
#
# Started again with the same OUT, it goes on where it stopped.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
scale=${SCALE:-full}
out=${OUT:-paper}
device=${DEVICE:-auto}
run=$out/run
mkdir -p "$out/tables"

damcli() { # the command, shown before it runs
    printf '\n+ damcli %s\n' "$*" >&2
    "$python" -m damcli "$@"
}

on_gpus() { # the same in one process a GPU, where there are several
    if [[ ${GPUS:-1} == 1 ]]; then
        damcli "$@"
    else
        printf '\n+ torchrun --nproc-per-node %s -m damcli %s\n' "$GPUS" "$*" >&2
        torchrun --nproc-per-node "$GPUS" -m damcli "$@"
    fi
}

missing() { # whether an output is still to be made
    [[ ! -e $1 ]]
}

case $scale in
small)
    data=$out/data
    missing "$data/generator.onnx" && "$python" "$here/synthetic.py" "$data"
    TRAIN=$data/train LFW=$data/lfw GENERATOR=$data/generator.onnx VALIDATE=$data/validation
    train=(--recipe cpu --steps 60 --batch 32 --warmup 10 --validate-every 20 --log-every 5)
    lidr=(--iterations 1000)
    fakes=(--size 200)
    fars=(--far 1e-2,1e-1 --resamples 200)
    ;;
full)
    : "${TRAIN:?name the training images: TRAIN=train.rec, or a folder with a folder a person}"
    train=(--recipe "${RECIPE:-casia}" --precision "${PRECISION:-bf16}")
    lidr=(--recipe paper)
    fakes=(--size 50000)
    fars=()
    ;;
*)
    echo "SCALE is '$scale'; expected small or full" >&2
    exit 2
    ;;
esac
train+=(--device "$device")
for spec in ${VALIDATE:-}; do
    train+=(--validate "$spec")
done
frame=(${DETECTOR:+--detector "$DETECTOR"})

# 1. Backbone and head, trained once.
if missing "$run/model.onnx"; then
    resume=()
    missing "$run/options.json" || resume=(--resume)
    on_gpus train "$TRAIN" -o "$run" "${train[@]}" "${resume[@]}"
fi

embed() { # NAME IMAGES [more options]: embeddings of images, $out/NAME.h5
    missing "$out/$1.h5" || return 0
    on_gpus embed "$2" -m "$run" -o "$out/$1.h5" --device "$device" --resume "${@:3}"
}

# 2. Anchors of three kinds, of people who are in no test.
embed train "$TRAIN"
missing "$out/real-db.h5" &&
    damcli build-anchors "$out/train.h5" -o "$out/real-db.h5" --kind real-db --per-subject 1
missing "$out/fc-weights.h5" &&
    damcli build-anchors "$run" -o "$out/fc-weights.h5" --kind fc-weights
anchors=(real-db fc-weights)
if [[ -n ${GENERATOR:-} ]]; then
    anchors+=(fake-db)
    missing "$out/fake-db.h5" &&
        damcli build-anchors -o "$out/fake-db.h5" --kind fake-db --generator "$GENERATOR" \
            --model "$run" --device "$device" "${fakes[@]}" "${frame[@]}" --resume
fi

# 3. The regressor that needs no anchors (DAM-L).
missing "$out/lidr.h5" &&
    damcli fit-lidr "$out/train.h5" -a "$out/real-db.h5" -o "$out/lidr.h5" --device "$device" \
        "${lidr[@]}"

score() { # PROTOCOL ROOT EMBEDDINGS: cosine against DAM, for each kind of LID
    local kind lid
    for kind in "${anchors[@]}" lidr; do
        lid=(-a "$out/$kind.h5")
        [[ $kind == lidr ]] && lid=(--lidr "$out/lidr.h5")
        missing "$out/tables/$1-$kind.txt" || continue
        damcli score --protocol "$1" --root "$2" -e "$out/$3.h5" "${lid[@]}" "${fars[@]}" \
            >"$out/tables/$1-$kind.part"
        mv "$out/tables/$1-$kind.part" "$out/tables/$1-$kind.txt"
    done
}

# 4. The benchmarks, as far as they are there.
for name in lfw calfw rfw; do
    images=${name^^}
    if [[ -n ${!images:-} ]]; then
        embed "$name" "${!images}" "${frame[@]}"
        score "$name" "${!images}" "$name"
    fi
done
if [[ -n ${YTF:-} ]]; then # a video is the mean of its frames
    embed ytf-frames "$YTF/frame_images_DB" "${frame[@]}"
    missing "$out/ytf.h5" && damcli pool "$out/ytf-frames.h5" --by video -o "$out/ytf.h5"
    score ytf "$YTF" ytf
fi
for name in ijbb ijbc; do # a template is the sum over its media, weighted by the detector's score
    root=${name^^}
    if [[ -n ${!root:-} ]]; then
        meta=${!root}/meta
        embed "$name-images" "${!root}/loose_crop" --landmarks "$meta/${name}_name_5pts_score.txt"
        missing "$out/$name.h5" &&
            damcli pool "$out/$name-images.h5" --templates "$meta/${name}_face_tid_mid.txt" \
                --raw-norm --weighted -o "$out/$name.h5"
        score "$name" "${!root}" "$name"
    fi
done

tail -n +1 "$out"/tables/*.txt
