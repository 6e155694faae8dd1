// Scenes 3 and 4 with a feed: viewers side by side, each with its own form, size, quality and controls.

import { Latency } from "./latency.js";
import { Line } from "./line.js";
import { Film, Pictures } from "./screen.js";
import { SeekBar } from "./seekbar.js";

const MOST_VIEWERS = 6;
const ASK_EVERY = 500;

const SIGNALS = {
  connecting: "Connecting to the source…",
  live: "",
  lost: "The source is lost. Looking for it…",
  ended: "",
};

class Viewer {
  #scene;
  #line;
  #path;
  #pictures;
  #bar;
  #film = null;
  #latency = new Latency();
  #timer = null;
  #bytes = 0;
  #told = { state: null };
  #since = 0;
  // Where a recording goes on after it was opened anew.
  #resume = null;
  // Whether the view has ended over what was asked for.
  #refused = false;

  constructor(scene, path) {
    this.#scene = scene;
    this.#path = path;
    this.#line = new Line(scene);
    this.#pictures = new Pictures(this.#find(".screen img"));
    this.#pictures.onpaint = (position) => this.#painted(position);
    this.#bar = new SeekBar(scene);
    this.#bar.onseek = (position) => this.#command({ command: "seek", position });
    this.#line.onopen = () => this.#opened();
    this.#line.onmessage = (data) => this.#heard(data);
    this.#line.onclose = () => this.#closed();
    this.#listen();
    this.#choose();
  }

  connect() {
    this.#line.connect();
  }

  leave() {
    this.#line.leave();
  }

  #find(selector) {
    return this.#scene.querySelector(selector);
  }

  // What is chosen goes into the address.
  #choose() {
    const isFilm = this.#find(".form").value === "mp4";
    // A film is passed on as it is.
    this.#find(".size").disabled = this.#find(".fineness").disabled = isFilm;
    const wanted = new URLSearchParams({ form: this.#find(".form").value });
    if (!isFilm) {
      wanted.set("width", this.#find(".size").value);
      wanted.set("quality", this.#find(".fineness").value);
    }
    this.#scene.dataset.path = `${this.#path}?${wanted}`;
  }

  #listen() {
    for (const selector of [".form", ".size", ".fineness"]) {
      this.#find(selector).addEventListener("change", () => {
        const { state, paused, speed } = this.#told;
        this.#resume = this.#isRecording && state === "live" ? { position: this.#bar.position, paused, speed } : null;
        this.#choose();
        if (this.#refused && !this.#line.isOpen) {
          this.#line.connect();
        } else {
          this.#line.reopen();
        }
      });
    }
    this.#find(".toggle").addEventListener("click", () => this.#command({ command: this.#isPlaying ? "pause" : "play" }));
    this.#find(".step").addEventListener("click", () => this.#command({ command: "step" }));
    this.#find(".speed").addEventListener("change", (event) =>
      this.#command({ command: "speed", speed: Number(event.target.value) }),
    );
  }

  get #isRecording() {
    return this.#told.live === false;
  }

  get #isPlaying() {
    return this.#told.state === "live" && !this.#told.paused;
  }

  // Whether positions go with the clock.
  get #isSteady() {
    return this.#isPlaying && this.#told.speed === 1;
  }

  #command(command) {
    this.#latency.restart();
    this.#line.send(command);
    if (!this.#isRecording && this.#told.state !== null) {
      // Of a live source there is no notice for one viewer alone.
      this.#tell({ ...this.#told, paused: command.command === "pause" });
    }
  }

  #opened() {
    this.#told = { state: null };
    this.#refused = false;
    this.#latency = new Latency();
    this.#bytes = 0;
    this.#since = performance.now();
    this.#draw("none");
    this.#curtain("Waiting for the first picture…");
    this.#timer = window.setInterval(() => this.#tick(), ASK_EVERY);
  }

  #closed() {
    window.clearInterval(this.#timer);
    this.#film?.close();
    this.#film = null;
    this.#signal("");
    this.#find(".source").hidden = true;
    this.#find(".controls").disabled = true;
    this.#find(".rate").textContent = this.#find(".share").textContent = "\u00a0";
  }

  #heard(data) {
    if (typeof data !== "string") {
      this.#bytes += data.byteLength;
      if (this.#film === null) {
        this.#pictures.show(data);
      } else {
        this.#film.append(data);
      }
      return;
    }
    const message = JSON.parse(data);
    if ("img_base64" in message) {
      this.#bytes += data.length;
      this.#pictures.show(message.img_base64, message.t);
    } else if ("state" in message) {
      this.#tell(message);
    } else if ("mimeType" in message) {
      this.#begin(message);
    } else if ("stats" in message) {
      this.#learn(message);
    } else {
      this.#refused = true;
      this.#line.complain(message.error);
    }
  }

  // A film begins, or goes on elsewhere.
  #begin(start) {
    if (this.#film !== null) {
      this.#film.goOnWith(start);
      return;
    }
    try {
      this.#film = new Film(this.#find("video"), start, !this.#isRecording);
      this.#film.onerror = (words) => this.#line.complain(words);
      this.#draw("video");
    } catch (error) {
      this.#line.complain(error.message);
      this.#curtain("No film.");
    }
  }

  // The server says where its source is.
  #tell(told) {
    this.#told = told;
    this.#scene.dataset.feed = told.state;
    this.#find(".source").textContent = told.state;
    this.#find(".source").hidden = false;
    const isLost = ["lost", "ended"].includes(told.state);
    this.#signal(SIGNALS[told.state] || (told.paused ? "Paused" : ""));
    this.#line.complain(isLost && told.error !== null ? told.error : "");
    if (told.state === "ended" && told.error !== null) {
      this.#curtain("No picture.");
    }
    const isKnown = told.live !== null && told.state !== "lost";
    this.#find(".controls").disabled = !isKnown;
    for (const element of this.#scene.querySelectorAll(".recorded")) {
      element.hidden = told.live !== false;
    }
    this.#find(".toggle").textContent = this.#isPlaying ? "Pause" : told.state === "ended" ? "Play again" : "Play";
    this.#find(".speed").value = String(told.speed ?? 1);
    if (told.duration) {
      this.#bar.duration = told.duration;
    }
    if (this.#film !== null) {
      this.#film.isLive = told.live !== false;
      this.#film.pause(told.paused);
    }
    this.#moveTo(told.state === "ended" && told.error === null ? told.duration : told.t);
    if (told.state === "live" && this.#resume !== null) {
      this.#goOn();
    }
  }

  #goOn() {
    const { position, paused, speed } = this.#resume;
    this.#resume = null;
    if (paused) {
      this.#command({ command: "pause" });
    }
    if (speed !== 1) {
      this.#command({ command: "speed", speed });
    }
    this.#command({ command: "seek", position });
  }

  #learn({ stats, viewers, time, asked }) {
    this.#latency.hear(asked, performance.now() / 1000, { time, position: this.#isSteady ? stats.position : null });
    const others = viewers > 1 ? `${viewers} viewers share one capture` : "the only viewer of this capture";
    this.#find(".share").textContent = `${others} · ${stats.sent} sent · ${stats.skipped} skipped`;
    if (!this.#isRecording && stats.paused !== this.#told.paused) {
      this.#tell({ ...this.#told, paused: stats.paused });
    }
    if (this.#told.state === "live") {
      this.#moveTo(stats.position);
    }
  }

  #painted(position) {
    this.#draw("img");
    if (position !== null && this.#isSteady) {
      this.#latency.paint(position, performance.now() / 1000);
    }
    // The last picture is painted after the news of the end, which knows better.
    if (this.#told.state === "live") {
      this.#moveTo(position);
    }
  }

  // Every other time tells how fast the pictures come, as the numbers would be hard to read otherwise.
  #tick() {
    this.#line.send({ command: "stats", asked: performance.now() / 1000 });
    const now = performance.now();
    if (now - this.#since < 1.5 * ASK_EVERY) {
      return;
    }
    const seconds = (now - this.#since) / 1000;
    this.#since = now;
    const shown = this.#film === null ? this.#pictures.painted : this.#film.countFrames();
    this.#pictures.painted = 0;
    const rate = this.#bytes / seconds / 1024;
    const latency = this.#latency.read();
    const words = [`${Math.round(shown / seconds)} pictures/s`, `${rate.toFixed(0)} KiB/s`];
    if (latency !== null && shown > 0) {
      words.push(`latency ${Math.round((latency + (this.#film?.ahead ?? 0)) * 1000)} ms`);
    }
    this.#find(".rate").textContent = shown === 0 ? "no pictures" : words.join(" · ");
    this.#bytes = 0;
  }

  #moveTo(position) {
    if (this.#isRecording && position !== null && position !== undefined) {
      this.#bar.moveTo(position);
    }
  }

  // "img", "video" or "none" is to be seen.
  #draw(what) {
    this.#find(".screen img").hidden = what !== "img";
    this.#find(".screen video").hidden = what !== "video";
    this.#find(".curtain").hidden = what !== "none";
  }

  #curtain(words) {
    this.#find(".curtain").textContent = words;
  }

  #signal(words) {
    const signal = this.#find(".signal");
    signal.textContent = words;
    signal.hidden = words === "";
  }
}

export function viewers(section, template) {
  const list = section.querySelector(".viewers");
  const add = section.querySelector(".add");
  let issued = 0;

  function open() {
    issued += 1;
    const scene = template.content.firstElementChild.cloneNode(true);
    scene.setAttribute("aria-label", `Viewer ${issued}`);
    scene.querySelector("h3").textContent = `Viewer ${issued}`;
    scene.querySelector(".screen img").alt = `The picture of viewer ${issued}`;
    list.append(scene);
    const viewer = new Viewer(scene, section.dataset.path);
    scene.querySelector(".remove").addEventListener("click", () => {
      viewer.leave();
      scene.remove();
      show();
      add.focus();
    });
    show();
    return viewer;
  }

  function show() {
    add.disabled = list.childElementCount >= MOST_VIEWERS;
    for (const remove of list.querySelectorAll(".remove")) {
      remove.hidden = list.childElementCount === 1;
    }
  }

  add.addEventListener("click", () => open().connect());
  open();
}
