// An authenticator app (RFC 6238): reads the secret off the page, shows a code of each time step once.
import { createHmac } from "node:crypto";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export class App {
  constructor(secret) {
    const bits = [...secret.replace(/\s/g, "")].map((c) => LETTERS.indexOf(c).toString(2).padStart(5, "0")).join("");
    this.key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
    this.last = 0;
  }

  at(step) {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(step));
    const tag = createHmac("sha1", this.key).update(counter).digest();
    const word = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
    return String(word % 1_000_000).padStart(6, "0");
  }

  /** A code the gateway has not seen yet: the gateway takes one step either way, so three in a row need no wait. */
  async code() {
    for (;;) {
      const now = Math.floor(Date.now() / 30_000);
      const step = Math.max(this.last + 1, now - 1);
      // Not in the last moment of its time.
      if (step <= now + 1 && (step > now - 1 || Date.now() % 30_000 < 25_000)) {
        this.last = step;
        return this.at(step);
      }
      if (step === now - 1) this.last = step;
      else await new Promise((done) => setTimeout(done, 500));
    }
  }
}
