// How long a picture takes from its encoding in the server to this screen.

// Answers to remember; the clocks drift, and a picture may be shown at another pace.
const KEPT = 20;

// Finds it from the answers to questions on the same socket, each with the server's clock and the position of the
// newest picture there. The fastest answer tells how the clocks stand to each other; the earliest time a position was
// seen at tells when its picture was made.
export class Latency {
  #trips = [];
  #beginnings = [];
  #sum = 0;
  #count = 0;

  // A question was asked and answered at these times of ours, in seconds, and this is what the server said.
  hear(asked, answered, { time, position }) {
    this.#keep(this.#trips, { trip: answered - asked, ahead: time - (asked + answered) / 2 });
    if (position !== null) {
      this.#keep(this.#beginnings, time - position);
    }
  }

  // A picture is on the screen.
  paint(position, now) {
    if (this.#trips.length > 0 && this.#beginnings.length > 0) {
      const { ahead } = this.#fastest;
      this.#sum += now + ahead - (position + Math.min(...this.#beginnings));
      this.#count += 1;
    }
  }

  // The mean since the last call, in seconds; half a trip where no picture told its position; null if nothing is known.
  read() {
    if (this.#trips.length === 0) {
      return null;
    }
    const mean = this.#count > 0 ? this.#sum / this.#count : this.#fastest.trip / 2;
    this.#sum = this.#count = 0;
    return Math.max(0, mean);
  }

  // Positions stand at other times from now on: after a pause, a jump, or another speed.
  restart() {
    this.#beginnings = [];
    this.#sum = this.#count = 0;
  }

  get #fastest() {
    return this.#trips.reduce((best, one) => (one.trip < best.trip ? one : best));
  }

  #keep(list, one) {
    list.push(one);
    if (list.length > KEPT) {
      list.shift();
    }
  }
}
