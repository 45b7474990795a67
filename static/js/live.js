// @ts-check
// Live pages: one event stream for all tabs of this browser says that something changed, and the page brings its parts
// marked data-live up to date from the server's own HTML. Where no stream is to be had, it asks every few seconds.

const CHANNEL = "sendonce-live";
const LOOK_EVERY = 3000;
const AT_MOST_EVERY = 200;
const FIRST_EVENT_WITHIN = 5000;
const TRY_AGAIN_AFTER = 15_000;

const wants = (document.body.dataset.liveOn ?? "").split(" ").filter(Boolean);
const runId = document.body.dataset.run;

let paused = false;
let caughtUp = false;
let lastAnswer = Date.now();

/** Brings this page's live parts up to date. @returns {Promise<boolean>} whether they are */
export async function refresh() {
  const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
  if (answer.redirected) {
    // Nobody is led away from what they have typed.
    strip("Your session has ended. Sign in again in another tab, then go on here; nothing that you typed is lost.");
    return false;
  }
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = part.id && page.getElementById(part.id);
    if (fresh) morph(part, fresh);
  }
  const toasts = document.getElementById("toasts");
  const said = page.getElementById("toasts");
  if (toasts && said?.childElementCount) {
    toasts.replaceChildren(...said.children);
    document.dispatchEvent(new CustomEvent("sendonce:said"));
  }
  document.title = page.title;
  lastAnswer = Date.now();
  document.dispatchEvent(new CustomEvent("sendonce:refreshed"));
  return true;
}

/**
 * Makes a node like a fresh one, keeping what the viewer has: focus, open menus, what was typed.
 * @param {Element} old @param {Element} fresh
 */
function morph(old, fresh) {
  // What is being sent stays as it was pressed: with its key, it is done once.
  if (old.getAttribute("aria-busy") === "true") return;
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const olds = [...old.childNodes];
  const byId = new Map(olds.filter((n) => n instanceof Element && n.id).map((n) => [/** @type {Element} */ (n).id, n]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const named = wanted instanceof Element && wanted.id ? byId.get(wanted.id) : undefined;
    const match = named ?? (at && isLike(at, wanted) ? at : null);
    if (!match) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    if (match instanceof Element && wanted instanceof Element) {
      if (!match.isEqualNode(wanted)) morph(match, wanted);
    } else if (match.nodeValue !== wanted.nodeValue) {
      match.nodeValue = wanted.nodeValue;
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** @param {Node} one @param {Node} other */
function isLike(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  if (!(one instanceof Element) || !(other instanceof Element)) return true;
  // A button that does something else is another button, also where it stands in the same place.
  return one.id === other.id && one.getAttribute("action") === other.getAttribute("action");
}

let waiting = false;
let again = false;
let lastRefresh = 0;

/** Refreshes soon, at most five times a second, and never while nobody looks. */
async function refreshSoon() {
  if (paused || document.hidden) return;
  again = true;
  if (waiting) return;
  waiting = true;
  // What comes while a page is on its way may not be in it.
  while (again) {
    const wait = Math.max(0, lastRefresh + AT_MOST_EVERY - Date.now());
    await new Promise((done) => setTimeout(done, wait));
    again = false;
    try {
      if (await refresh()) stale(false);
    } catch {
      stale(true);
    }
    lastRefresh = Date.now();
  }
  waiting = false;
}

/** @param {"live" | "reconnecting" | "paused" | "polling" | "offline"} state */
function say(state) {
  const button = /** @type {HTMLElement | null} */ (document.querySelector("[data-live-state]"));
  const word = document.querySelector("[data-live-word]");
  if (!button || !word) return;
  button.hidden = false;
  button.dataset.state = state;
  word.textContent = {
    live: "Live",
    reconnecting: "Reconnecting…",
    paused: "Paused",
    polling: "Live, every 3 s",
    offline: "Offline",
  }[state];
  button.setAttribute("aria-pressed", String(state !== "paused"));
  button.title = state === "paused" ? "Update this page again by itself" : "Stop updating this page by itself";
}

/** Says something on top of the page until it is taken back. @param {string} words */
function strip(words) {
  const there = document.getElementById("stale") ?? document.createElement("p");
  there.id = "stale";
  there.className = "stale";
  there.setAttribute("role", "status");
  if (there.textContent !== words) there.textContent = words;
  if (!there.isConnected) document.getElementById("banners")?.before(there);
}

/** @param {boolean} lost */
export function stale(lost) {
  if (!lost) {
    document.getElementById("stale")?.remove();
    return;
  }
  say("offline");
  const since = new Date(lastAnswer).toLocaleTimeString([], { hour12: false });
  strip(`No connection to Sendonce since ${since}. Sending goes on without this page, which shows what was so then.`);
}

/** @param {{kind: string, data: any}} message */
function onMessage({ kind, data }) {
  if (kind === "lost") return poll();
  if (paused) return;
  if (kind === "reconnecting") {
    say("reconnecting");
    // Whether the server is gone, or only the stream of it, is seen by asking for the page.
    refreshSoon();
    return;
  }
  say("live");
  if (kind === "scheduler") document.dispatchEvent(new CustomEvent("sendonce:beat", { detail: data }));
  // Between this page's making and the first news of the stream something may have changed.
  if (!caughtUp && wants.length) refreshSoon();
  caughtUp = true;
  const mine = kind === "run" && (runId ? String(data.id) === runId : wants.includes("runs"));
  if (mine || (kind === "schedule" && wants.includes("schedules")) || kind === "again") refreshSoon();
}

/** @type {EventSource | null} */
let stream = null;
/** @type {number | undefined} */
let poller;

function poll() {
  if (poller !== undefined) return;
  poller = setInterval(() => {
    if (paused || document.hidden) return;
    if (!document.getElementById("stale")) say("polling");
    if (wants.length) refreshSoon();
  }, LOOK_EVERY);
}

function stopPolling() {
  clearInterval(poller);
  poller = undefined;
}

/** Holds the stream, for this tab and all others. @param {(message: {kind: string, data: any}) => void} pass */
function listen(pass) {
  let opened = poller !== undefined;
  let heard = false;
  stream = new EventSource("/api/events");
  setTimeout(() => {
    if (!heard) poll();
  }, FIRST_EVENT_WITHIN);
  stream.onopen = () => {
    // After a break nobody knows what was missed.
    if (opened) pass({ kind: "again", data: null });
    opened = true;
  };
  for (const kind of ["run", "schedule", "scheduler"]) {
    stream.addEventListener(kind, (event) => {
      heard = true;
      stopPolling();
      pass({ kind, data: JSON.parse(/** @type {MessageEvent} */ (event).data) });
    });
  }
  stream.onerror = () => {
    pass({ kind: "reconnecting", data: null });
    if (stream?.readyState !== EventSource.CLOSED) return;
    // The server has no thread to spare (503), or is not there: all tabs ask by themselves until it is tried again.
    pass({ kind: "lost", data: null });
    setTimeout(() => {
      if (stream) listen(pass);
    }, TRY_AGAIN_AFTER);
  };
}

function start() {
  if (!("BroadcastChannel" in window)) return poll();
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = (event) => {
    if (!["lost", "reconnecting"].includes(event.data.kind)) stopPolling();
    onMessage(event.data);
  };
  /** @param {{kind: string, data: any}} message */
  const pass = (message) => {
    channel.postMessage(message);
    onMessage(message);
  };
  if (!navigator.locks) {
    // Plain http over a network: no lock, so a tab holds a stream only while it is seen.
    const whileSeen = () => {
      if (document.hidden) stream?.close();
      else listen(onMessage);
    };
    document.addEventListener("visibilitychange", whileSeen);
    return whileSeen();
  }
  let heard = false;
  channel.addEventListener("message", () => { heard = true; }, { once: true });
  setTimeout(() => {
    if (!heard && !stream) poll();
  }, FIRST_EVENT_WITHIN);
  const lead = () =>
    navigator.locks.request(CHANNEL, () =>
      new Promise((/** @type {(value?: unknown) => void} */ release) => {
        listen(pass);
        addEventListener("pagehide", () => {
          stream?.close();
          stream = null;
          release();
        }, { once: true });
      }),
    );
  lead();
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    lead();
    refreshSoon();
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && wants.length) refreshSoon();
});
addEventListener("offline", () => stale(true));
addEventListener("online", refreshSoon);
document.querySelector("[data-live-state]")?.addEventListener("click", () => {
  paused = !paused;
  say(paused ? "paused" : "live");
  if (!paused) refreshSoon();
});
if (document.body.classList.contains("shell")) start();
