// @ts-check
// Accounts: a provider's server fills the form in place, and a test that went well shows on the page.
import { announce, problem } from "./forms.js";
import { refresh } from "./live.js";
import "./passwords.js";

/** @param {MouseEvent} event */
function onClick(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const chip = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest("a[data-preset]"));
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById("account-form"));
  const says = document.getElementById("preset-says");
  if (!chip || !form || !says) return;
  event.preventDefault();
  const names = [...document.querySelectorAll("a[data-preset]")].map((one) => one.getAttribute("data-name"));
  const name = /** @type {HTMLInputElement} */ (form.elements.namedItem("name"));
  // A name of one's own stays.
  if (!name.value || names.includes(name.value)) name.value = chip.dataset.name ?? "";
  for (const field of ["host", "port", "security", "preset"]) {
    const input = /** @type {HTMLInputElement | RadioNodeList | null} */ (form.elements.namedItem(field));
    if (input) input.value = chip.dataset[field] ?? "";
  }
  for (const one of document.querySelectorAll("a[data-preset]")) one.toggleAttribute("aria-current", false);
  chip.setAttribute("aria-current", "true");
  says.hidden = false;
  says.textContent = chip.dataset.says ?? "";
}

/** What parts the pieces of the answer; see web/pages/account_test.py. */
const PIECE_ENDS = "\u001e";

/** Shows the steps of a test as they end. Without it the form shows them all at the end. @param {SubmitEvent} event */
async function onSubmit(event) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.dataset.steps) return;
  event.preventDefault();
  event.stopPropagation();
  if (form.dataset.testing) return;
  form.dataset.testing = "on";
  const button = event.submitter;
  button?.setAttribute("aria-disabled", "true");
  announce("Testing…");
  try {
    const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    const answer = await fetch(form.dataset.steps, { method: "POST", body, headers: { Accept: "text/html" } });
    const whole = await read(answer, (piece) => put(form, piece));
    const page = new DOMParser().parseFromString(whole, "text/html");
    const again = page.getElementById(form.id);
    if (again) {
      form.replaceWith(again);
      /** @type {HTMLElement | null} */ (again.querySelector("[data-focus]"))?.focus();
      again.dispatchEvent(new CustomEvent("sendonce:shown", { bubbles: true }));
    } else {
      problem(page.querySelector("[data-problem]")?.textContent?.trim() ?? `The server answered ${answer.status}.`);
    }
  } catch {
    problem("The connection to Sendonce was lost before the test was over. Run it again.");
  } finally {
    delete form.dataset.testing;
    button?.removeAttribute("aria-disabled");
  }
}

/**
 * Returns the last piece of an answer, after each other one has been passed on.
 * @param {Response} answer @param {(piece: string) => void} pass
 */
async function read(answer, pass) {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    const pieces = (text + part.value).split(PIECE_ENDS);
    text = pieces.pop() ?? "";
    const newest = pieces.pop();
    if (newest) pass(newest);
  }
  return text;
}

/** @param {HTMLFormElement} form @param {string} piece HTML that our server rendered */
function put(form, piece) {
  const fresh = new DOMParser().parseFromString(piece, "text/html").querySelector("[data-result]");
  if (!fresh) return;
  const old = form.querySelector("[data-result]");
  if (old) old.replaceWith(fresh);
  else form.append(fresh);
}

document.addEventListener("click", onClick);
// Before forms.js, which would wait for the end.
document.addEventListener("submit", onSubmit, true);
document.addEventListener("sendonce:shown", (event) => {
  // A test that went well ends failing and paused: the page says so too.
  if (/** @type {Element} */ (event.target).id === "test-form") refresh().catch(() => {});
});
