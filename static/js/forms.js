// @ts-check
// Forms and dialogs without leaving the page. Each works as a plain form or link where there is no script, and where
// the script can't reach the server it says so and leaves what was typed.
import { refresh, stale } from "./live.js";

const KEY = "idempotency_key";
/** How many clicks the newest one is part of, as the browser counts: 2 is the second half of a double click. */
let clicks = 0;

/** By address, the keys of what was sent and not answered. @type {Map<string, string>} */
const unanswered = new Map();

const FRAGMENT = { "X-Fragment": "1", Accept: "text/html" };

/** Says something to screen readers, politely. @param {string} words */
export function announce(words) {
  const announcer = document.getElementById("announcer");
  if (announcer) announcer.textContent = words;
}

/** Returns where a form leads; form.action would be the field of that name, where it has one. @param {HTMLFormElement} form */
function addressOf(form) {
  return new URL(form.getAttribute("action") ?? "", location.href).href;
}

/** @param {SubmitEvent} event */
async function onSubmit(event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  if (form.matches("[data-dialog]")) {
    event.preventDefault();
    const query = new URLSearchParams(/** @type {any} */ (new FormData(form, button))).toString();
    return openDialog(addressOf(form) + (query ? `?${query}` : ""), button);
  }
  const frame = button?.formTarget || form.target;
  if (form.method !== "post" || frame || form.matches("[data-plain]")) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") === "true") return;
  // The second half of a double click must not press what has come into the first one's place.
  if (form.matches(".act") && clicks > 1) return;
  form.setAttribute("aria-busy", "true");
  const label = button ? [...button.childNodes] : [];
  button?.setAttribute("aria-disabled", "true");
  if (button?.dataset.busy) {
    button.replaceChildren(button.dataset.busy);
    announce(button.dataset.busy);
  }
  let leadsTo;
  try {
    leadsTo = await send(form, button);
  } catch {
    problem("There is no connection to Sendonce, so it is not known whether this was done. Press the same button again: it is done once at most.");
  } finally {
    form.removeAttribute("aria-busy");
    button?.removeAttribute("aria-disabled");
    if (button?.dataset.busy) button.replaceChildren(...label);
  }
  if (!leadsTo) return;
  /** @type {HTMLElement | null} */ (form.closest("[popover]"))?.hidePopover();
  try {
    await follow(leadsTo);
  } catch {
    stale(true); // it was done; only this page can't show it
  }
}

/**
 * Sends a form, and shows what is wrong with it where something is.
 * @param {HTMLFormElement} form @param {HTMLButtonElement | null} button
 * @returns {Promise<string | undefined>} where it leads, once it was done
 */
async function send(form, button) {
  const data = new FormData(form, button);
  const address = button?.hasAttribute("formaction") ? button.formAction : addressOf(form);
  // An earlier one that nobody answered may have been carried out: this is the same one again.
  const key = unanswered.get(address) ?? String(data.get(KEY) ?? "");
  if (key) {
    data.set(KEY, key);
    unanswered.set(address, key);
  }
  const multipart = form.enctype === "multipart/form-data";
  const body = multipart ? data : new URLSearchParams(/** @type {any} */ (data));
  const answer = await fetch(address, { method: "POST", body, headers: FRAGMENT });
  const text = await answer.text();
  // A gateway's answer in the server's place says nothing about what was done.
  if (answer.status < 500) unanswered.delete(address);
  const leadsTo = answer.headers.get("X-Leads-To");
  if (answer.ok && leadsTo) return leadsTo;
  const page = new DOMParser().parseFromString(text, "text/html");
  const again = form.id && page.getElementById(form.id);
  if (again) {
    form.replaceWith(again);
    /** @type {HTMLElement | null} */ (again.querySelector("[data-focus]"))?.focus();
    again.dispatchEvent(new CustomEvent("sendonce:shown", { bubbles: true }));
    return;
  }
  const said = page.querySelector("[data-problem]");
  problem(said?.textContent?.trim() || `The server answered ${answer.status}. Load the page again.`);
}

/** Goes where an answer leads; on the page that is open, by bringing it up to date. @param {string} where */
async function follow(where) {
  const to = new URL(where, location.href);
  if (to.pathname + to.search !== location.pathname + location.search) {
    location.assign(to);
    return;
  }
  for (const dialog of document.querySelectorAll("dialog[open]")) /** @type {HTMLDialogElement} */ (dialog).close();
  await refresh();
  if (to.hash) {
    history.replaceState(null, "", to);
    document.getElementById(to.hash.slice(1))?.focus();
  }
}

/** @param {string} words */
export function problem(words) {
  const slot = document.getElementById("problem");
  if (!slot) return;
  const text = document.createElement("p");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "small";
  close.textContent = "Close";
  close.addEventListener("click", () => slot.replaceChildren());
  // Behind an open dialog nobody could read or close it.
  (document.querySelector("dialog[open] .dialog-body") ?? document.body).prepend(slot);
  slot.replaceChildren(text, close);
}

/** Shows what a page has as its dialog's content. @param {string} address @param {Element | null} opener */
export async function openDialog(address, opener) {
  let content;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    content = /** @type {HTMLElement | null} */ (page.querySelector("[data-dialog-content]"));
  } catch {
    content = null;
  }
  if (!content) {
    location.assign(address);
    return;
  }
  const dialog = document.createElement("dialog");
  const title = document.createElement("h2");
  title.id = "dialog-title";
  title.textContent = content.dataset.title ?? "";
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const head = document.createElement("div");
  head.className = "dialog-head";
  head.append(title, close);
  const body = document.createElement("div");
  body.className = "dialog-body";
  body.append(content);
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(head, body);
  dialog.addEventListener("close", () => {
    const slot = document.getElementById("problem");
    if (slot && dialog.contains(slot)) document.body.append(slot);
    slot?.replaceChildren();
    dialog.remove();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  // Where there is nothing to fill in, the way out: Enter by habit must not send.
  const first = "[autofocus], select, input:not([type=hidden]), textarea, a[data-close-dialog], button";
  /** @type {HTMLElement | null} */ (content.querySelector(first))?.focus();
  content.dispatchEvent(new CustomEvent("sendonce:shown", { bubbles: true }));
}

/** @param {MouseEvent} event */
function onClick(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const target = /** @type {Element} */ (event.target);
  if (target.closest("[data-close-dialog]")) {
    const dialog = target.closest("dialog");
    if (dialog) {
      event.preventDefault();
      dialog.close();
    }
    return;
  }
  const link = target.closest("a[data-dialog]");
  if (link instanceof HTMLAnchorElement) {
    event.preventDefault();
    const menu = /** @type {HTMLElement | null} */ (link.closest("[popover]"));
    menu?.hidePopover();
    openDialog(link.href, menu ? document.querySelector(`[popovertarget="${menu.id}"]`) : link);
    return;
  }
  const copy = target.closest("[data-copy]");
  if (copy) {
    const from = document.getElementById(copy.getAttribute("data-copy") ?? "");
    navigator.clipboard?.writeText(from?.textContent?.trim() ?? "").then(() => {
      copy.lastChild && (copy.lastChild.textContent = "Copied");
    });
  }
}

document.addEventListener("click", (event) => { clicks = event.detail; }, true);
document.addEventListener("submit", onSubmit);
document.addEventListener("click", onClick);
