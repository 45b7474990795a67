// @ts-check
// The campaign editor: a preview that follows what is typed, saving without leaving, files, fields that are put in at
// the cursor. Rendering and checking is the server's, by the code that sends.
import { announce, openDialog, problem } from "./forms.js";
import { goToLine, numberLines, put } from "./lines.js";

const QUIET = 400;
const IDLE = 5000;
const OF_THE_PREVIEW = ["as", "view", "images", "csrf_token", "idempotency_key", "version", "campaign_id", "file"];
const CHECKED = ["subject", "html", "text"];

const form = /** @type {HTMLFormElement} */ (document.getElementById("campaign-form"));
const mayEdit = !form.matches("[data-read-only]");
const refreshButton = /** @type {HTMLButtonElement} */ (form.querySelector("[data-refresh]"));
const frames = /** @type {HTMLElement} */ (form.querySelector(".frames"));
const old = /** @type {HTMLElement} */ (form.querySelector("[data-old]"));
const as = /** @type {HTMLInputElement} */ (form.querySelector("[name=as]"));
const asOf = /** @type {HTMLElement} */ (form.querySelector("[data-as-of]"));
const draft = `draft:campaign:${form.dataset.draft}`;

const time = () => new Date().toLocaleTimeString([], { hourCycle: "h23" });

// What is written, as one text: two that are alike need no saving.
function written() {
  const data = [...new FormData(form)].filter(([name]) => !OF_THE_PREVIEW.includes(name));
  return new URLSearchParams(/** @type {any} */ (data)).toString();
}

let saved = written();

// The preview.

/** @type {number | undefined} */
let timer;
/** @type {AbortController | undefined} */
let asking;
let count = 0;
let summary = "";
let fills = false;

async function look() {
  clearTimeout(timer);
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const data = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  data.delete("idempotency_key");
  let page;
  try {
    const answer = await fetch(form.dataset.preview ?? "", { method: "POST", body: data, signal: mine.signal, headers: { "X-Fragment": "1", Accept: "text/html" } });
    page = answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    if (mine.signal.aborted) return;
    page = null;
  }
  const checks = page?.getElementById("checks");
  if (!page || !checks) {
    old.hidden = false;
    return;
  }
  for (const id of ["envelope", "checks", "fields", "readers"]) {
    const fresh = page.getElementById(id);
    if (fresh) document.getElementById(id)?.replaceWith(fresh);
  }
  offerFields();
  if (mayEdit) showErrors(CHECKED, (name) => page.querySelector(`[data-of="${name}"]`));
  if (summary && checks.dataset.summary !== summary) announce(checks.dataset.summary ?? "");
  summary = checks.dataset.summary ?? "";
  old.hidden = !checks.matches("[data-broken]");
  if (old.hidden) showMail();
  asOf.hidden = !old.hidden;
}

// A fresh frame for each mail, seen when it is there: nothing flickers, and going back in the browser leaves the page.
function showMail() {
  for (const coming of frames.querySelectorAll("[data-coming]")) coming.remove();
  const now = /** @type {HTMLIFrameElement} */ (frames.firstElementChild);
  const next = /** @type {HTMLIFrameElement} */ (now.cloneNode());
  next.name = `preview-${++count}`;
  next.setAttribute("data-coming", "");
  frames.append(next);
  next.addEventListener("load", () => {
    if (!next.isConnected) return;
    for (const other of [...frames.children]) if (other !== next) other.remove();
    next.removeAttribute("data-coming");
    frames.removeAttribute("data-stale");
    asOf.textContent = `As of ${time()}`;
  }, { once: true });
  fills = true;
  refreshButton.formTarget = next.name;
  form.requestSubmit(refreshButton);
  fills = false;
}

function lookSoon() {
  clearTimeout(timer);
  frames.setAttribute("data-stale", "");
  timer = setTimeout(look, QUIET);
}

/** @param {number} step */
function stepReader(step) {
  const options = /** @type {HTMLOptionElement[]} */ ([...document.querySelectorAll("#readers option")]);
  const shown = as.value.trim() || document.getElementById("envelope")?.dataset.reader;
  const at = options.findIndex((option) => option.value === shown);
  const next = options[(at + step + options.length) % options.length];
  if (!next) return;
  as.value = next.value;
  look();
}

// What is wrong stands at its field.

/** @param {string[]} names @param {(name: string) => Element | null} errorOf */
function showErrors(names, errorOf) {
  for (const name of names) {
    const control = document.getElementById(name);
    const field = control?.closest(".field");
    if (!control || !field) continue;
    const id = `${name}-error`;
    document.getElementById(id)?.remove();
    const error = errorOf(name);
    const described = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
    if (error) {
      error.id = id;
      field.append(error);
      described.push(id);
    }
    field.toggleAttribute("data-wrong", Boolean(error));
    if (error) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
    if (described.length) control.setAttribute("aria-describedby", described.join(" "));
    else control.removeAttribute("aria-describedby");
  }
}

// Saving.

/** @type {number | undefined} */
let idle;
let refused = ""; // what the server would not save: it is not asked again by itself

/**
 * Where no schedule sends the campaign, what is typed is saved by itself; else half a sentence could go out.
 * @param {HTMLElement | null} button none: nobody has asked for it, so the focus stays where it is
 */
async function save(button) {
  clearTimeout(idle);
  if (form.getAttribute("aria-busy") === "true") return;
  const data = new URLSearchParams(/** @type {any} */ (new FormData(form, button)));
  const sent = written();
  form.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { "X-Fragment": "1", Accept: "text/html" } });
    const leadsTo = answer.headers.get("X-Leads-To");
    if (answer.ok) {
      saved = sent;
      localStorage.removeItem(draft);
      if (leadsTo) return location.assign(leadsTo);
    } else refused = sent;
    show(new DOMParser().parseFromString(await answer.text(), "text/html"), answer, button);
    mark(answer.ok ? "" : "Not saved: look at what is marked");
  } catch {
    newKey();
    keep();
    mark("Not saved: offline, kept in this browser");
    if (button) problem("There is no connection to Sendonce. Nothing was saved; what you typed is kept in this browser. Try again.");
  } finally {
    idle = setTimeout(saveAlone, IDLE);
    form.removeAttribute("aria-busy");
    button?.removeAttribute("aria-disabled");
  }
}

function saveAlone() {
  if (!isDirty()) return;
  keep();
  if (form.matches("[data-autosave]") && written() !== refused && !document.querySelector("dialog[open]")) save(null);
}

// What is not saved yet survives the window that it was typed in.
function keep() {
  localStorage.setItem(draft, JSON.stringify({ at: new Date().toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }), text: written() }));
}

function offerKept() {
  const kept = JSON.parse(localStorage.getItem(draft) ?? "null");
  const slot = /** @type {HTMLElement | null} */ (form.querySelector("[data-kept]"));
  if (!kept || !slot || !mayEdit || kept.text === saved) return;
  const at = slot.querySelector("[data-kept-at]");
  if (at) at.textContent = kept.at;
  slot.hidden = false;
  slot.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest("button");
    if (!button) return;
    slot.hidden = true;
    if (button.matches("[data-forget]")) return localStorage.removeItem(draft);
    const typed = new URLSearchParams(kept.text);
    for (const control of /** @type {Iterable<any>} */ (form.elements)) {
      if (!control.name || OF_THE_PREVIEW.includes(control.name) || control.type === "submit") continue;
      if (control.type === "radio" || control.type === "checkbox") control.checked = typed.getAll(control.name).includes(control.value);
      else if (typed.has(control.name)) control.value = typed.get(control.name);
    }
    form.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

/** @param {Document} page @param {Response} answer @param {HTMLElement | null} button */
function show(page, answer, button) {
  const state = page.getElementById("campaign-state");
  if (!state) {
    newKey();
    problem(page.querySelector("[data-problem]")?.textContent?.trim() || `The server answered ${answer.status}. What you typed stays here.`);
    return;
  }
  const names = [...form.querySelectorAll(".field [id]:is(input, textarea, select), fieldset.field[id]")].map(({ id }) => id);
  showErrors(names, (name) => page.getElementById(`${name}-error`));
  for (const error of form.querySelectorAll(".error")) error.closest("details")?.setAttribute("open", "");
  document.getElementById("campaign-state")?.replaceWith(state);
  if (!answer.ok && !button) {
    announce("Not saved: look at what is marked");
    return;
  }
  if (!answer.ok) {
    const write = /** @type {HTMLInputElement | null} */ (document.querySelector("[name=pane][value=write]"));
    if (write) write.checked = true;
    /** @type {HTMLElement | null} */ (state.querySelector("[data-focus]"))?.focus();
    return;
  }
  const title = document.querySelector(".page-head h1");
  const fresh = page.querySelector(".page-head h1");
  if (title && fresh) title.textContent = fresh.textContent;
  document.title = page.title;
  if (button) announce(state.querySelector("[data-saved]")?.textContent ?? "Saved");
}

// What is sent again after a break may be another text, which the old key would refuse.
function newKey() {
  const key = /** @type {HTMLInputElement | null} */ (form.elements.namedItem("idempotency_key"));
  if (key) key.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isDirty() {
  return mayEdit && written() !== saved;
}

function mark(words = "Not saved yet") {
  const unsaved = document.querySelector("[data-unsaved-mark]");
  const says = isDirty() ? words || "Not saved yet" : "";
  if (unsaved && unsaved.textContent !== says) unsaved.textContent = says;
}

// Files: sent by themselves, at once; what else is typed stays unsaved.

function attachAtOnce() {
  form.querySelector("[data-attach]")?.setAttribute("hidden", "");
}

/** @param {HTMLButtonElement} button */
async function sendFile(button) {
  if (form.getAttribute("aria-busy") === "true") return;
  const version = /** @type {HTMLInputElement} */ (form.elements.namedItem("version"));
  const data = new FormData();
  for (const name of ["csrf_token", "file"]) for (const one of new FormData(form).getAll(name)) data.append(name, one);
  form.setAttribute("aria-busy", "true");
  button.hidden = false;
  button.textContent = button.dataset.busy ?? "";
  announce(button.dataset.busy ?? "");
  try {
    const answer = await fetch(button.formAction, { method: "POST", body: data, headers: { "X-Fragment": "1", Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("attachments");
    const before = document.getElementById("attachments");
    if (!fresh || !before) throw new Error(page.querySelector("[data-problem]")?.textContent?.trim() || `The server answered ${answer.status}. Nothing was changed.`);
    // What somebody else saved in between is a conflict still.
    if (version.value === before.dataset.version) version.value = fresh.dataset.version ?? "";
    before.replaceWith(fresh);
    attachAtOnce();
    fresh.focus();
    if (answer.ok) announce("Done");
  } catch (error) {
    problem(error instanceof TypeError ? "There is no connection to Sendonce. The file was not sent; try again." : String(error).replace("Error: ", ""));
    button.textContent = "Try again";
  } finally {
    form.removeAttribute("aria-busy");
  }
  look();
}

// Putting fields in.

/** @type {HTMLInputElement | HTMLTextAreaElement | null} */
let last = null;

function offerFields() {
  if (!mayEdit) return;
  for (const code of form.querySelectorAll("code[data-insert]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.dataset.insert = code.textContent ?? "";
    button.textContent = code.textContent;
    code.replaceWith(button);
  }
}

/** @param {string} text */
function insert(text) {
  const into = last?.isConnected ? last : /** @type {HTMLTextAreaElement} */ (document.getElementById("html"));
  into.focus();
  put(into, text);
}

form.addEventListener("submit", (event) => {
  if (fills) return;
  event.preventDefault();
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  if (button === refreshButton) look();
  else if (button?.matches("[data-attachments]")) sendFile(button);
  else if (mayEdit) save(/** @type {HTMLElement | null} */ (event.submitter));
});
form.addEventListener("formdata", (event) => {
  if (fills) event.formData.delete("idempotency_key");
});
form.addEventListener("input", (event) => {
  if (/** @type {HTMLInputElement} */ (event.target).name === "file") return;
  lookSoon();
  mark();
  clearTimeout(idle);
  idle = setTimeout(saveAlone, IDLE);
});
form.addEventListener("change", (event) => {
  const target = /** @type {HTMLInputElement} */ (event.target);
  const attach = /** @type {HTMLButtonElement | null} */ (form.querySelector("[data-attach]"));
  if (target.name === "file" && target.value && attach) sendFile(attach);
  else if (target.id in { name: 1, subject: 1, html: 1, text: 1 }) saveAlone();
});
form.addEventListener("focusin", (event) => {
  const target = /** @type {HTMLInputElement} */ (event.target);
  if (CHECKED.includes(target.id)) last = target;
});
form.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[data-insert], [data-step]"));
  if (button?.dataset.insert) insert(button.dataset.insert);
  else if (button?.dataset.step) stepReader(Number(button.dataset.step));
  const link = /** @type {Element} */ (event.target).closest("#checks a");
  const line = Number(link?.parentElement?.textContent?.match(/line (\d+)/i)?.[1]);
  const field = document.getElementById(link?.getAttribute("href")?.slice(1) ?? "");
  if (line && field instanceof HTMLTextAreaElement) {
    event.preventDefault();
    goToLine(field, line);
  }
});
as.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  look();
});
as.addEventListener("focus", () => as.select());
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.shiftKey) return;
  if (event.altKey && event.code === "KeyP" && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    const views = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("[name=view]")]);
    views[(views.findIndex((one) => one.checked) + 1) % views.length]?.click();
    return;
  }
  if (!mayEdit || !(event.ctrlKey || event.metaKey) || event.altKey) return;
  const test = /** @type {HTMLAnchorElement | null} */ (document.querySelector("[data-test]"));
  if (event.key.toLowerCase() === "s") {
    event.preventDefault();
    form.requestSubmit(/** @type {HTMLElement | null} */ (document.querySelector("[data-save]")));
  } else if (event.key === "Enter" && test) {
    event.preventDefault();
    openDialog(test.href, test);
  }
});
document.addEventListener("sendonce:shown", (event) => {
  const note = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).querySelector("[data-unsaved]"));
  if (note) note.hidden = !isDirty();
});
addEventListener("beforeunload", (event) => {
  if (!isDirty()) return;
  keep();
  event.preventDefault();
});

for (const step of form.querySelectorAll("[data-step]")) step.removeAttribute("hidden");
refreshButton.hidden = true;
offerFields();
attachAtOnce();
offerKept();
// What the dialog needs, once somebody is about to open it.
const opener = document.querySelector("[data-schedule]");
for (const about of ["focus", "pointerenter"]) opener?.addEventListener(about, () => import("./schedule.js"), { once: true });
const html = /** @type {HTMLTextAreaElement | null} */ (form.querySelector("textarea[data-lines]"));
if (html) numberLines(html);
look();
