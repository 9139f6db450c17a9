// A browser without a screen: follows redirects, keeps cookies, fills in the gateway's forms.

const unescape = (text) =>
  text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replace(/&#x([0-9a-f]+);/gi, (_, n) => String.fromCharCode(parseInt(n, 16)))
    .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"').replace(/&amp;/g, "&");

const hidden = (html) =>
  Object.fromEntries([...html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map((m) => [unescape(m[1]), unescape(m[2])]));

export class Browser {
  constructor() {
    this.cookies = new Map();
    this.seen = [];
  }

  async fetch(url, options = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", ...options, headers: { ...(cookie && { cookie }), ...options.headers } });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split("=");
      if (/max-age=0/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  post(url, fields) {
    return this.fetch(url, { method: "POST", body: new URLSearchParams(fields) });
  }

  /** Goes on from `url` until the browser would leave for `callback`; says with which address (or form) it would. */
  async authorize(url, callback, { email, password, consent = "allow" }) {
    for (let step = 0; step < 12; step++) {
      const response = await this.fetch(url);
      const answer = await this.step(response, url, callback, { email, password, consent });
      if (answer.done) return answer.done;
      url = answer.next;
    }
    throw new Error("going in circles");
  }

  async step(response, url, callback, who) {
    if (response.status === 303 || response.status === 302) {
      const next = new URL(response.headers.get("location"), url).href;
      return next.startsWith(callback) ? { done: next } : { next };
    }
    const html = await response.text();
    const title = html.match(/<title>([^<]*)/)?.[1] ?? "";
    this.seen.push(title);
    const action = html.match(/<form[^>]* action="([^"]*)"/)?.[1];
    if (title.startsWith("Sign in")) {
      const answer = await this.post(new URL(unescape(action), url), { ...hidden(html), email: who.email, password: who.password });
      if (answer.status !== 303) throw new Error(`sign-in refused: ${answer.status}`);
      return this.step(answer, url, callback, who);
    }
    if (title.startsWith("Allow")) {
      return this.step(await this.post(new URL(unescape(action), url), { ...hidden(html), consent: who.consent }), url, callback, who);
    }
    if (title.startsWith("Going on")) return { done: { action: unescape(action), fields: hidden(html) } };
    throw new Error(`${response.status} ${title}: ${html.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ")}`);
  }
}
