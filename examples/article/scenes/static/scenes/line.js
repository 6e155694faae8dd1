// A WebSocket together with the state, the button and the complaint that the page shows for it.

const MEANINGS = {
  1000: "normal end",
  1001: "the server went away",
  1002: "protocol error",
  1003: "this kind of message is not taken",
  1005: "no code given",
  1006: "connection lost or refused",
  1007: "not UTF-8",
  1008: "refused",
  1009: "message too big",
  1011: "the view raised an exception",
  1012: "the server restarts",
  1013: "too slow to keep up",
};
const WORTH_ANOTHER_TRY = new Set([1001, 1006, 1012, 1013]);
const LONGEST_DELAY = 15000;

export class Line {
  onopen = () => {};
  onmessage = () => {};
  onclose = () => {};

  #scene;
  #socket = null;
  #timer = null;
  #tries = 0;

  constructor(scene) {
    this.#scene = scene;
    this.#button.addEventListener("click", () => {
      if (this.#socket === null && this.#timer === null) {
        this.connect();
      } else {
        this.disconnect();
      }
    });
  }

  get isOpen() {
    return this.#socket !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  connect() {
    this.#forgetRetry();
    this.complain("");
    const scheme = window.location.protocol === "https:" ? "wss://" : "ws://";
    const socket = new WebSocket(scheme + window.location.host + this.#scene.dataset.path);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#show("connecting", "connecting…", "Cancel");
    socket.onopen = () => {
      this.#tries = 0;
      this.#show("open", "open", "Disconnect");
      this.onopen();
    };
    socket.onmessage = (event) => this.onmessage(event.data);
    socket.onclose = (event) => this.#closed(event);
  }

  disconnect() {
    if (this.#timer !== null) {
      this.#forgetRetry();
      this.#show("closed", "not connected", "Connect");
      return;
    }
    this.#show("connecting", "closing…", "Disconnect");
    this.#button.disabled = true;
    this.#socket.close(1000, "disconnected here");
  }

  // Opens anew, to where the scene says now. Nothing happens unless it is open or about to be.
  reopen() {
    if (this.#drop("opened anew")) {
      this.connect();
    }
  }

  // Leaves for good.
  leave() {
    this.#forgetRetry();
    this.#drop("removed");
  }

  // Sends text as it is and anything else as JSON. Nothing happens unless the line is open.
  send(message) {
    if (this.isOpen) {
      this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
    }
  }

  // Shows what went wrong until the next connect; nothing to say hides it.
  complain(text) {
    const alert = this.#scene.querySelector(".alert");
    alert.textContent = text;
    alert.hidden = text === "";
  }

  #closed({ code, reason }) {
    this.#socket = null;
    const words = [`closed ${code}`, reason || MEANINGS[code] || ""].filter(Boolean);
    if (WORTH_ANOTHER_TRY.has(code)) {
      const delay = Math.min(1000 * 2 ** this.#tries, LONGEST_DELAY);
      this.#tries += 1;
      this.#timer = window.setTimeout(() => this.connect(), delay);
      words.push("trying again");
    }
    this.#show("closed", words.join(" · "), this.#timer === null ? "Connect" : "Cancel");
    this.onclose();
  }

  // Closes the socket without waiting for its end. Gives whether there was one.
  #drop(reason) {
    const socket = this.#socket;
    if (socket === null) {
      return false;
    }
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000, reason);
    this.#socket = null;
    this.onclose();
    return true;
  }

  #forgetRetry() {
    window.clearTimeout(this.#timer);
    this.#timer = null;
  }

  #show(state, words, action) {
    const badge = this.#scene.querySelector(".state");
    badge.dataset.state = state;
    badge.textContent = words;
    this.#button.textContent = action;
    this.#button.disabled = false;
  }

  get #button() {
    return this.#scene.querySelector(".connect");
  }
}
