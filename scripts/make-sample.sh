#!/bin/sh
# Makes the demo's video: ten seconds, 640x360, 25 frames a second, H.264, without sound.
# Needs ffmpeg (with libx264 and drawtext) and DejaVu Sans Mono. Usage: scripts/make-sample.sh [OUTPUT]
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
output=${1:-"$here/examples/article/media/sample.mp4"}
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf}

for need in ffmpeg; do
    command -v "$need" >/dev/null || { echo "make-sample: $need is not installed" >&2; exit 1; }
done
[ -r "$font" ] || { echo "make-sample: no font at $font (set FONT)" >&2; exit 1; }

# A drifting two-colour gradient, a ball on a Lissajous curve, the time code, and a bar that fills as the clip
# plays. The gradient has a fixed seed and the encoder one thread, so the picture is the same on every run.
dusk='0x1b2a49|0x5b2a6e'
filters="
[0:v]format=yuv420p[sky];
[1:v]format=rgba,geq=r=255:g=196:b=92:a='255*clip(30.5-hypot(X-32,Y-32),0,1)'[ball];
[2:v]format=rgba[bar];
[sky][ball]overlay=x='288+232*sin(2*PI*t/5)':y='116+84*sin(4*PI*t/5+0.8)':eval=frame[moving];
[moving][bar]overlay=x='-640+64*t':y=352:eval=frame[filled];
[filled]drawtext=fontfile=$font:text='%{pts\\:hms}':fontsize=44:fontcolor=white:shadowcolor=black@0.5:shadowx=2:shadowy=2:x=(w-tw)/2:y=28,
drawtext=fontfile=$font:text='dwebsocket-rs':fontsize=22:fontcolor=white@0.85:x=(w-tw)/2:y=h-56,
drawtext=fontfile=$font:text='frame %{n}':fontsize=18:fontcolor=white@0.7:x=(w-tw)/2:y=84,
format=yuv420p[out]"

mkdir -p "$(dirname "$output")"
ffmpeg -hide_banner -loglevel error -y \
    -f lavfi -i "gradients=size=640x360:rate=25:duration=10:seed=7:speed=0.02:nb_colors=2:c0=${dusk%|*}:c1=${dusk#*|}" \
    -f lavfi -i "color=c=black:size=64x64:rate=25:duration=10" \
    -f lavfi -i "color=c=0xffc45c:size=640x8:rate=25:duration=10" \
    -filter_complex "$filters" -map '[out]' -an \
    -c:v libx264 -preset veryslow -tune animation -profile:v main -crf 22 -g 50 -threads 1 \
    -movflags +faststart -fflags +bitexact -flags:v +bitexact -map_metadata -1 "$output"
