// Scenes 1 and 2: a log of what was said and a form to say something.

import { Line } from "./line.js";

const MOST_ENTRIES = 200;

class Log {
  #element;

  constructor(element) {
    this.#element = element;
  }

  // Messages are other people's words: they go in as text, never as markup.
  add(kind, text, from = "") {
    const entry = document.createElement("p");
    entry.className = kind;
    if (from) {
      const name = document.createElement("span");
      name.className = "from";
      name.textContent = from;
      entry.append(name);
    }
    entry.append(text);
    this.#element.append(entry);
    while (this.#element.childElementCount > MOST_ENTRIES) {
      this.#element.firstElementChild.remove();
    }
    this.#element.scrollTop = this.#element.scrollHeight;
  }
}

// Connects the form of a scene to a line: what is said goes out, and can only be said while the line is open.
function connectForm(scene, line, said) {
  const form = scene.querySelector(".say");
  const button = form.querySelector("button");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = form.elements.text.value.trim();
    if (text !== "" && line.isOpen) {
      line.send(text);
      said(text);
      form.reset();
    }
  });
  line.onopen = () => {
    button.disabled = false;
  };
  line.onclose = () => {
    button.disabled = true;
  };
}

export function chatWithOneself(scene) {
  const line = new Line(scene);
  const log = new Log(scene.querySelector(".log"));
  connectForm(scene, line, (text) => log.add("mine", text));
  line.onmessage = (text) => log.add("theirs", text);
  line.connect();
}

export function chatWithMany(scene) {
  const line = new Line(scene);
  const log = new Log(scene.querySelector(".log"));
  const people = scene.querySelector(".people");
  let name = "";
  connectForm(scene, line, () => {});
  line.onmessage = (data) => {
    const message = JSON.parse(data);
    if ("you" in message) {
      name = message.you;
      log.add("event", `You are ${name}.`);
    } else if ("text" in message) {
      const mine = message.from === name;
      log.add(mine ? "mine" : "theirs", message.text, mine ? "" : message.from);
    } else {
      const [who, did] = "joined" in message ? [message.joined, "joined"] : [message.left, "left"];
      if (who !== name) {
        log.add("event", `${who} ${did}.`);
      }
      people.textContent = message.people === 1 ? "Nobody else is here." : `${message.people} people are here.`;
    }
  };
  const closed = line.onclose;
  line.onclose = () => {
    closed();
    people.textContent = "";
  };
  line.connect();
}
