// Scenes 3 and 4: pictures that arrive as base64 text, and the controls of the fourth.

import { Line } from "./line.js";

// Shows the newest picture; those that come faster than the display draws are left out.
class Screen {
  #scene;
  #image;
  #newest = null;
  #pictures = 0;
  #letters = 0;

  constructor(scene) {
    this.#scene = scene;
    this.#image = scene.querySelector(".screen img");
    this.#image.decoding = "sync";
    this.#image.addEventListener("load", () => this.#draw(true));
  }

  show(base64) {
    this.#pictures += 1;
    this.#letters += base64.length;
    if (this.#newest === null) {
      window.requestAnimationFrame(() => this.#paint());
    }
    this.#newest = base64;
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

  #paint() {
    this.#image.src = `data:image/jpeg;base64,${this.#newest}`;
    this.#newest = null;
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

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function video(scene) {
  videoLine(scene);
}

export function videoWithControl(scene) {
  const line = videoLine(scene, (status) => show(status));
  const controls = scene.querySelector(".controls");
  const toggle = scene.querySelector(".toggle");
  const seek = scene.querySelector(".seek");
  const time = scene.querySelector(".time");
  const words = { playing: "Pause", paused: "Play", ended: "Play again" };
  let playing = false;
  let dragging = false;

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
    if (duration && !dragging) {
      seek.max = duration;
      seek.value = status === "ended" ? duration : position;
      showTime();
    } else if (!duration) {
      time.textContent = "live";
    }
  }

  function showTime() {
    time.textContent = `${clock(Number(seek.value))} / ${clock(Number(seek.max))}`;
    seek.setAttribute("aria-valuetext", `${clock(Number(seek.value))} of ${clock(Number(seek.max))}`);
  }

  function seekTo(position) {
    line.send({ command: "seek", position });
  }

  toggle.addEventListener("click", () => line.send({ command: playing ? "pause" : "play" }));
  seek.addEventListener("input", () => {
    dragging = true;
    showTime();
  });
  seek.addEventListener("change", () => {
    dragging = false;
    seekTo(Number(seek.value));
  });
  for (const jump of scene.querySelectorAll(".jump")) {
    jump.addEventListener("click", () => seekTo(Math.max(0, Number(seek.value) + Number(jump.dataset.seconds))));
  }
  for (const choice of scene.querySelectorAll(".quality input")) {
    choice.addEventListener("change", () => line.send({ command: "quality", quality: Number(choice.value) }));
  }
  const closed = line.onclose;
  line.onclose = () => {
    closed();
    controls.disabled = true;
    dragging = false;
  };
}
