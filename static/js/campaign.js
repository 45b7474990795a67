// @ts-check
// The campaign editor: a preview that follows what is typed, saving without leaving, fields that are put in at the
// cursor. Rendering and checking is the server's, by the code that sends.
import { announce, problem } from "./forms.js";

const QUIET = 400;
const OF_THE_PREVIEW = ["as", "view", "images", "csrf_token", "idempotency_key", "version"];
const CHECKED = ["subject", "html", "text"];

const form = /** @type {HTMLFormElement} */ (document.getElementById("campaign-form"));
const mayEdit = !form.matches("[data-read-only]");
const refreshButton = /** @type {HTMLButtonElement} */ (form.querySelector("[data-refresh]"));
const frames = /** @type {HTMLElement} */ (form.querySelector(".frames"));
const old = /** @type {HTMLElement} */ (form.querySelector("[data-old]"));
const as = /** @type {HTMLInputElement} */ (form.querySelector("[name=as]"));

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
  }, { once: true });
  fills = true;
  refreshButton.formTarget = next.name;
  form.requestSubmit(refreshButton);
  fills = false;
}

function lookSoon() {
  clearTimeout(timer);
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

/** @param {HTMLElement | null} button */
async function save(button) {
  if (form.getAttribute("aria-busy") === "true") return;
  clearTimeout(timer);
  const data = new URLSearchParams(/** @type {any} */ (new FormData(form, button)));
  const sent = written();
  form.setAttribute("aria-busy", "true");
  button?.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { "X-Fragment": "1", Accept: "text/html" } });
    const leadsTo = answer.headers.get("X-Leads-To");
    if (answer.ok) saved = sent;
    if (answer.ok && leadsTo) return location.assign(leadsTo);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"), answer);
  } catch {
    newKey();
    problem("There is no connection to Sendonce. Nothing was saved; what you typed stays here. Try again.");
  } finally {
    form.removeAttribute("aria-busy");
    button?.removeAttribute("aria-disabled");
    mark();
  }
}

/** @param {Document} page @param {Response} answer */
function show(page, answer) {
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
  announce(state.querySelector("[data-saved]")?.textContent ?? "Saved");
}

// What is sent again after a break may be another text, which the old key would refuse.
function newKey() {
  const key = /** @type {HTMLInputElement | null} */ (form.elements.namedItem("idempotency_key"));
  if (key) key.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isDirty() {
  return mayEdit && written() !== saved;
}

function mark() {
  const unsaved = document.querySelector("[data-unsaved-mark]");
  if (unsaved) /** @type {HTMLElement} */ (unsaved).hidden = !isDirty();
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
  // Unlike setRangeText this can be undone with Ctrl+Z; browsers without it get the other.
  if (document.execCommand("insertText", false, text)) return;
  into.setRangeText(text, into.selectionStart ?? 0, into.selectionEnd ?? 0, "end");
  into.dispatchEvent(new Event("input", { bubbles: true }));
}

form.addEventListener("submit", (event) => {
  if (fills) return;
  event.preventDefault();
  if (event.submitter === refreshButton) look();
  else if (mayEdit) save(/** @type {HTMLElement | null} */ (event.submitter));
});
form.addEventListener("formdata", (event) => {
  if (fills) event.formData.delete("idempotency_key");
});
form.addEventListener("input", () => {
  lookSoon();
  mark();
});
form.addEventListener("focusin", (event) => {
  const target = /** @type {HTMLInputElement} */ (event.target);
  if (CHECKED.includes(target.id)) last = target;
});
form.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[data-insert], [data-step]"));
  if (button?.dataset.insert) insert(button.dataset.insert);
  else if (button?.dataset.step) stepReader(Number(button.dataset.step));
});
as.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  look();
});
as.addEventListener("focus", () => as.select());
document.addEventListener("keydown", (event) => {
  if (!mayEdit || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "s") return;
  event.preventDefault();
  if (!document.querySelector("dialog[open]")) form.requestSubmit(/** @type {HTMLElement | null} */ (document.querySelector("[data-save]")));
});
document.addEventListener("sendonce:shown", (event) => {
  const note = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).querySelector("[data-unsaved]"));
  if (note) note.hidden = !isDirty();
});
addEventListener("beforeunload", (event) => {
  if (isDirty()) event.preventDefault();
});

for (const step of form.querySelectorAll("[data-step]")) step.removeAttribute("hidden");
refreshButton.hidden = true;
offerFields();
look();
