// The bar that shows where a recording is, and sends it elsewhere.

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export class SeekBar {
  // Called with the position, in seconds, that somebody chose.
  onseek = () => {};

  #bar;
  #time;
  #dragging = false;

  constructor(scene) {
    this.#bar = scene.querySelector(".seek");
    this.#time = scene.querySelector(".time");
    this.#bar.addEventListener("input", () => {
      this.#dragging = true;
      this.#show();
    });
    this.#bar.addEventListener("change", () => {
      this.letGo();
      this.onseek(this.position);
    });
  }

  get position() {
    return Number(this.#bar.value);
  }

  set duration(seconds) {
    this.#bar.max = seconds;
  }

  // Whoever drags it decides where it stands.
  moveTo(position) {
    if (!this.#dragging) {
      this.#bar.value = position;
      this.#show();
    }
  }

  letGo() {
    this.#dragging = false;
  }

  #show() {
    const [now, end] = [clock(this.position), clock(Number(this.#bar.max))];
    this.#time.textContent = `${now} / ${end}`;
    this.#bar.setAttribute("aria-valuetext", `${now} of ${end}`);
  }
}
