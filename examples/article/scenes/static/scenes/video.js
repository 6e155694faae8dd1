// Scenes 3 and 4: pictures that arrive as base64 text, and the controls of the fourth.

import { Line } from "./line.js";
import { Pictures } from "./screen.js";
import { SeekBar } from "./seekbar.js";

// Shows pictures, and counts those that come.
class Screen {
  #scene;
  #image;
  #shown;
  #pictures = 0;
  #letters = 0;

  constructor(scene) {
    this.#scene = scene;
    this.#image = scene.querySelector(".screen img");
    this.#shown = new Pictures(this.#image);
    this.#shown.onpaint = () => this.#draw(true);
  }

  show(base64) {
    this.#pictures += 1;
    this.#letters += base64.length;
    this.#shown.show(base64);
  }

  // Takes the old picture away while none of the new line has come.
  clear(words) {
    this.#draw(false);
    this.#scene.querySelector(".curtain").textContent = words;
    this.#pictures = this.#letters = 0;
  }

  // Says how many pictures came since it last did, about one second ago.
  countRate() {
    const each = this.#pictures === 0 ? 0 : (this.#letters * 0.75) / this.#pictures / 1024;
    const words = this.#pictures === 0 ? "no pictures" : `${this.#pictures} pictures/s · ${each.toFixed(0)} KiB each`;
    this.#scene.querySelector(".rate").textContent = words;
    this.#pictures = this.#letters = 0;
  }

  #draw(visible) {
    this.#image.hidden = !visible;
    this.#scene.querySelector(".curtain").hidden = visible;
  }
}

// A line whose messages are pictures, errors or, for those who ask, something else.
function videoLine(scene, onstatus = () => {}) {
  const line = new Line(scene);
  const screen = new Screen(scene);
  let timer = null;
  line.onopen = () => {
    screen.clear("Waiting for the first picture…");
    timer = window.setInterval(() => screen.countRate(), 1000);
  };
  line.onmessage = (data) => {
    const message = JSON.parse(data);
    if ("img_base64" in message) {
      screen.show(message.img_base64);
    } else if ("error" in message) {
      line.complain(message.error);
      scene.querySelector(".curtain").textContent = "No picture.";
    } else {
      onstatus(message);
    }
  };
  line.onclose = () => {
    window.clearInterval(timer);
    scene.querySelector(".rate").textContent = "\u00a0";
  };
  return line;
}

export function video(scene) {
  videoLine(scene);
}

export function videoWithControl(scene) {
  const line = videoLine(scene, (status) => show(status));
  const controls = scene.querySelector(".controls");
  const toggle = scene.querySelector(".toggle");
  const bar = new SeekBar(scene);
  const words = { playing: "Pause", paused: "Play", ended: "Play again" };
  let playing = false;

  function show({ status, position, duration, quality }) {
    // Only this page changes the quality: later news could only undo a choice that is still on its way.
    if (controls.disabled) {
      for (const choice of scene.querySelectorAll(".quality input")) {
        choice.checked = Number(choice.value) === quality;
      }
    }
    controls.disabled = false;
    playing = status === "playing";
    toggle.textContent = words[status];
    for (const element of scene.querySelectorAll(".seeking")) {
      element.hidden = !duration;
    }
    if (duration) {
      bar.duration = duration;
      bar.moveTo(status === "ended" ? duration : position);
    } else {
      scene.querySelector(".time").textContent = "live";
    }
  }

  function seekTo(position) {
    line.send({ command: "seek", position });
  }

  toggle.addEventListener("click", () => line.send({ command: playing ? "pause" : "play" }));
  bar.onseek = seekTo;
  for (const jump of scene.querySelectorAll(".jump")) {
    jump.addEventListener("click", () => seekTo(Math.max(0, bar.position + Number(jump.dataset.seconds))));
  }
  for (const choice of scene.querySelectorAll(".quality input")) {
    choice.addEventListener("change", () => line.send({ command: "quality", quality: Number(choice.value) }));
  }
  const closed = line.onclose;
  line.onclose = () => {
    closed();
    controls.disabled = true;
    bar.letGo();
  };
}
