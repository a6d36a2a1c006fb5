#!/usr/bin/env bash
# Gate a face recogniser in a pipeline: embed labelled photographs with it, score pairs of them,
# and end with 1 where a rate is not met. Nothing is downloaded, and nothing leaves the machine.
#
#   MODEL=recogniser.onnx PHOTOS=heldout/ ANCHORS=training.h5 bash examples/ci/verify.sh
#
#   MODEL     the recogniser, .onnx or PyTorch's
#   PHOTOS    a folder of photographs, one folder a person; nobody of them among the anchors
#   ANCHORS   an anchor set of this model (damcli build-anchors), or photographs to make one of,
#             one folder a person
#   PREPARE   how photographs become the model's input (--preset arcface)
#   REQUIRE   one gate a line (TAR@1e-3 >= 0.9); see docs/operating-points.md
#   BASELINE  scores.csv of an earlier run, kept elsewhere than in OUT: the rates must not be
#             worse than there
#   OUT       where everything is written (verify/)
set -euo pipefail
umask 077 # scores name people

model=${MODEL:?say which model to gate}
photos=${PHOTOS:?say where the labelled photographs are}
anchors=${ANCHORS:?say which anchors to take}
read -ra prepare <<<"${PREPARE:---preset arcface}"
require=${REQUIRE:-TAR@1e-3 >= 0.9}
out=${OUT:-verify}
read -ra damcli <<<"${DAMCLI:-damcli}"
mkdir -p "$out"

step() { # a command, shown before it runs
    printf '\n+ damcli %s\n' "$*" >&2
    "${damcli[@]}" "$@"
}

embed() { # FOLDER OUTPUT: --strict ends at the first photograph that cannot be used
    step embed "$1" --model "$model" "${prepare[@]}" -o "$2" --strict --quiet --force
}

embed "$photos" "$out/emb.h5"
if [[ -d $anchors ]]; then
    embed "$anchors" "$out/training.h5"
    step build-anchors "$out/training.h5" -o "$out/anchors.h5" --kind real-db \
        --exclude-subjects "$out/emb.h5" --quiet --force
    anchors=$out/anchors.h5
fi
step score --all-pairs -e "$out/emb.h5" -a "$anchors" -o "$out/scores.csv" --quiet --force \
    --resamples 0 >/dev/null

gates=()
while IFS= read -r gate; do
    [[ -z $gate ]] || gates+=(--require "$gate")
done <<<"$require"
[[ -z ${BASELINE:-} ]] || gates+=(--baseline "$BASELINE" --not-worse)
step evaluate "$out/scores.csv" "${gates[@]}" --json >"$out/report.json"
printf '\nall gates are met: %s/report.json\n' "$out" >&2
