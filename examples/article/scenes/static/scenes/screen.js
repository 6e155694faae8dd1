// What a viewer sees: pictures one by one, or a film that the browser plays.

// Shows the newest JPEG; those that come faster than the display draws are left out.
export class Pictures {
  painted = 0;
  // Called with what was given beside a picture, once it is on the screen.
  onpaint = () => {};

  #image;
  #newest = null;
  #shown = null;

  constructor(image) {
    this.#image = image;
    image.decoding = "sync";
    image.addEventListener("load", () => this.#loaded());
  }

  // A picture: base64 text, or the bytes of a JPEG.
  show(jpeg, beside = null) {
    if (this.#newest === null) {
      window.requestAnimationFrame(() => this.#paint());
    }
    this.#newest = { jpeg, beside };
  }

  #paint() {
    const { jpeg, beside } = this.#newest;
    this.#newest = null;
    this.#forget();
    const isText = typeof jpeg === "string";
    const url = isText ? `data:image/jpeg;base64,${jpeg}` : URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" }));
    this.#shown = { url, beside, isText };
    this.#image.src = url;
  }

  #loaded() {
    this.painted += 1;
    this.onpaint(this.#shown.beside);
  }

  // Gives back the memory of the picture before.
  #forget() {
    if (this.#shown !== null && !this.#shown.isText) {
      URL.revokeObjectURL(this.#shown.url);
    }
  }
}

const KEPT_SECONDS = 10;
const LATE_SECONDS = 1.5;

// Plays fragments of MP4 through Media Source Extensions, close to the newest.
export class Film {
  // Called with words for the reader when the browser cannot play it.
  onerror = () => {};

  #video;
  #mimeType;
  #buffer = null;
  // Fragments, and what is said before some of them.
  #waiting = [];
  // Where to play from, once that is there.
  #from = null;
  #frames = 0;

  constructor(video, { mimeType, t }, isLive) {
    this.#video = video;
    this.#mimeType = mimeType;
    this.#from = t;
    this.isLive = isLive;
    this.paused = false;
    if (!("MediaSource" in window) || !MediaSource.isTypeSupported(mimeType)) {
      throw new Error(`This browser does not play ${mimeType}; JSON and Binary work everywhere.`);
    }
    const source = new MediaSource();
    source.addEventListener("sourceopen", () => this.#open(source), { once: true });
    this.url = URL.createObjectURL(source);
    video.src = this.url;
    video.onerror = () => this.onerror(video.error?.message || "The browser cannot play this film.");
  }

  append(bytes) {
    this.#waiting.push(bytes);
    this.#work();
  }

  // What comes next does not go on with what came before.
  goOnWith(start) {
    this.#waiting.push(start);
    this.#work();
  }

  // Stands still where it is, or goes on.
  pause(paused) {
    this.paused = paused;
    if (paused) {
      this.#video.pause();
    } else {
      this.#goOn();
    }
  }

  // How far the newest that has come is ahead of what is shown, in seconds.
  get ahead() {
    const { buffered, currentTime } = this.#video;
    return buffered.length === 0 ? 0 : Math.max(0, buffered.end(buffered.length - 1) - currentTime);
  }

  // Frames shown since the last call.
  countFrames() {
    const { totalVideoFrames } = this.#video.getVideoPlaybackQuality();
    const count = Math.max(0, totalVideoFrames - this.#frames);
    this.#frames = totalVideoFrames;
    return count;
  }

  close() {
    this.#buffer = null;
    this.#waiting = [];
    this.#video.onerror = null;
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.url);
  }

  #open(source) {
    this.#buffer = source.addSourceBuffer(this.#mimeType);
    this.#buffer.addEventListener("updateend", () => {
      this.#follow();
      this.#work();
    });
    this.#work();
  }

  // One thing at a time: a buffer that is busy takes nothing.
  #work() {
    if (this.#buffer === null || this.#buffer.updating) {
      return;
    }
    const { buffered, currentTime } = this.#video;
    if (buffered.length > 0 && currentTime - buffered.start(0) > 2 * KEPT_SECONDS) {
      this.#buffer.remove(0, currentTime - KEPT_SECONDS);
    } else if (this.#waiting.length > 0) {
      try {
        this.#take(this.#waiting.shift());
      } catch (error) {
        this.onerror(error.message);
      }
    }
  }

  #take(next) {
    if (next instanceof ArrayBuffer) {
      this.#buffer.appendBuffer(next);
    } else {
      this.#buffer.changeType(next.mimeType);
      this.#from = next.t;
      this.#work();
    }
  }

  // Goes to where the film is: at its start, after a seek, a gap, or a pause in a live one.
  #follow() {
    const { buffered } = this.#video;
    if (this.#buffer === null || buffered.length === 0) {
      return;
    }
    if (this.#from !== null && this.#has(this.#from)) {
      this.#video.currentTime = this.#from;
      this.#from = null;
    } else if (this.isLive && !this.paused && this.ahead > LATE_SECONDS) {
      this.#video.currentTime = buffered.end(buffered.length - 1) - 0.1;
    }
    if (!this.paused) {
      this.#goOn();
    }
  }

  #has(time) {
    const { buffered } = this.#video;
    return [...Array(buffered.length).keys()].some((index) => buffered.start(index) <= time && time < buffered.end(index));
  }

  #goOn() {
    // Refused when the film is taken away before it begins, which needs no words.
    this.#video.play().catch((error) => error.name === "AbortError" || this.onerror(error.message));
  }
}
